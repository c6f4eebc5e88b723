"""What every command shares: the registry, loaded once and only if needed, progress, a model, `--json`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

import click

from zoo.api.listing import default_registry
from zoo.cli.output import LAST, QUIET
from zoo.console.terminal import echo
from zoo.errors import ZooError, warn
from zoo.registry.catalog import Catalog
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import CommandSpec

if TYPE_CHECKING:
    from zoo.api.model import Model

__all__ = ["COMPLETE", "Session", "pass_session", "print_json"]

# The variable with which a shell asks what to complete
COMPLETE = "_ZOO_COMPLETE"


class Session:
    """One run of the command line.

    Attributes:
        strict: whether a plugin that failed to load is an error.
        plugin_files: those that `--plugin` names.
        document: what `--json` prints in the end, unless there is an error; None if there is nothing.
        running: the command of a plugin that runs, if one does.
    """

    def __init__(self) -> None:
        self.strict = False
        self.plugin_files: Sequence[str] = ()
        self.document: object = None
        self.running: Entry[CommandSpec] | None = None

    @property
    def progress(self) -> bool:
        """Whether to show progress: not with --quiet."""
        return QUIET not in click.get_current_context().meta

    @property
    def last(self) -> bool:
        """Whether WEIGHTS means the last weights of a run directory: with --last."""
        return click.get_current_context().meta.get(LAST, False)

    def begin(self, line: str) -> None:
        """Say on stderr what the command is about to do, before it imports what takes seconds."""
        if self.progress:
            echo(line, err=True)

    def working(self) -> AbstractContextManager[Callable[..., None]]:
        """Return a function that shows progress, `report(what, done, total, unit)`, as a context manager.

        It writes on stderr, and nothing with --quiet. Downloads meanwhile are shown, too.
        """
        from zoo.console.progress import Bar, quiet  # not needed for help

        return Bar() if self.progress else quiet()

    def load(self, weights: str, *, device: str | None = None) -> Model:
        """Return the model of WEIGHTS, to compute with on some threads: one core is left to other work.

        Raises WeightsError, UnknownName or another ZooError if it cannot be loaded.
        """
        from zoo.api.weights import load

        model = load(weights, last=self.last, device=device, progress=self.progress, registry=self.registry)
        if not model.exported:
            self.limit_threads()
        return model

    @cached_property
    def registry(self) -> Registry:
        """The default registry. A plugin that failed is a warning, or an error if strict."""
        if COMPLETE in os.environ:
            return _registry_for_completion()
        if self.strict:
            registry = Registry.discover()
            registry.require_healthy()
            for line in registry.notices():
                warn(line)
            return registry
        return default_registry()

    def commands(self) -> dict[str, str]:
        """Return the commands of plugins with what each does; none, and a warning, if plugins cannot be read.

        A folder's registry.toml must not keep `zoo --help` from helping.
        """
        try:
            return {entry.spec.name: entry.spec.summary for entry in self.registry.entries("command")}
        except ZooError as error:
            if COMPLETE not in os.environ:
                warn(str(error))
            return {}

    @staticmethod
    def limit_threads() -> None:
        """Leave a core to other work, as training does; call it before a model computes."""
        import torch

        from zoo.models.threads import default_threads

        torch.set_num_threads(default_threads())


def _registry_for_completion() -> Registry:
    try:
        return Registry.discover()
    except ZooError:  # no line of an error belongs into a half-typed command
        return Registry.discover(Catalog(), files=())


pass_session = click.make_pass_decorator(Session, ensure=True)  # one of its own where no `zoo` runs


def print_json(document: object) -> None:
    """Print a JSON document on stdout, once the command is done and nothing can go wrong any more."""
    session = click.get_current_context().find_object(Session)
    assert session is not None
    session.document = document
