"""What every command shares: the registry, loaded once and only if needed, progress, a model, and options."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo.api.listing import default_registry
from zoo.console.terminal import echo
from zoo.errors import ZooError, ZooWarning, warn
from zoo.registry.extras import needing_extra
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import CommandSpec

if TYPE_CHECKING:
    from zoo.api.model import Model

F = TypeVar("F", bound=Callable[..., Any])

# The variable with which a shell asks what to complete
COMPLETE = "_ZOO_COMPLETE"


class Session:
    """One run of the command line.

    Attributes:
        strict: whether a plugin that failed to load is an error.
        progress: whether to show progress: not with --quiet.
        last: whether WEIGHTS means the last weights of a run directory: with --last.
        plugin_files: those that `--plugin` names.
        warnings: those that were printed; an error that says the same is not printed again.
        document: what `--json` prints in the end, unless there is an error; None if there is nothing.
        running: the command of a plugin that runs, if one does.
    """

    def __init__(self) -> None:
        self.strict = False
        self.progress = True
        self.last = False
        self.plugin_files: Sequence[str] = ()
        self.warnings: Sequence[str] = ()
        self.document: object = None
        self.running: Entry[CommandSpec] | None = None

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
        from zoo.api.load_weights import load

        model = load(weights, last=self.last, device=device, progress=self.progress, registry=self.registry)
        if not model.exported:
            import torch

            from zoo.models.torch_threads import default_threads

            torch.set_num_threads(default_threads())
        return model

    @functools.cached_property
    def registry(self) -> Registry:
        """The default registry. A plugin that failed is a warning, or an error if strict."""
        if COMPLETE in os.environ:  # no line of a warning belongs into a half-typed command
            return Registry.discover()
        registry = default_registry()
        if self.strict:
            registry.require_healthy()
        return registry

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

    def load_command(self, name: str) -> click.Command:
        """Return the command of a plugin.

        Raises UnknownName, or SpecError if two plugins have it, or its target cannot be imported or is no
        click command; where a module is missing, the hint says which extra installs it.
        """
        self.running = entry = self.registry.command(name)
        with needing_extra(entry, f"`zoo {entry.spec.name}`"):
            return entry.spec.load()


pass_session = click.make_pass_decorator(Session, ensure=True)  # one of its own where no `zoo` runs


def print_json(document: object) -> None:
    """Print a JSON document on stdout, once the command is done and nothing can go wrong any more."""
    session = click.get_current_context().find_object(Session)
    assert session is not None
    session.document = document


def quiet_option(command: F) -> F:
    """Add --quiet, and --plugin, which is read before the command is known."""
    plugin = click.option("--plugin", expose_value=False, metavar="FILE", help="Load a one-file plugin.")
    quiet = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_be_quiet,
        help="Hide progress and notices.",
    )
    return quiet(plugin(command))


def standard_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every command has: the session, its first argument; --json, `as_json`; --quiet and --plugin.

    With --json, what a plugin prints while the command runs goes to stderr: the document is alone.
    """

    @functools.wraps(command)
    def alone(*arguments: Any, as_json: bool, **settings: Any) -> Any:
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            return command(*arguments, as_json=as_json, **settings)

    json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
    return json(quiet_option(pass_session(alone)))


def _be_quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value:
        ctx.ensure_object(Session).progress = False
        warnings.simplefilter("ignore", ZooWarning)  # until `warnings_as_lines` ends


def _take_last(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    ctx.ensure_object(Session).last = value


last_option = click.option(
    "--last",
    is_flag=True,
    expose_value=False,
    callback=_take_last,
    help="Use the last weights of a run directory instead of the best ones.",
)
device_option = click.option(
    "--device", metavar="NAME", help="Device, such as cpu or cuda.  [default: a GPU if there is one]"
)
