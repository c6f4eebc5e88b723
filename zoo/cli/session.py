"""The state of a running command: the registry (loaded once, if needed), progress, and common options."""

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

from zoo.console.terminal import echo
from zoo.errors import ZooError, ZooWarning, warn
from zoo.registry.extras import needing_extra
from zoo.registry.registry import Entry, Registry, default_registry
from zoo.registry.specs import CommandSpec

if TYPE_CHECKING:
    from zoo.api.model import Model

F = TypeVar("F", bound=Callable[..., Any])

# The variable with which a shell asks what to complete
COMPLETE = "_ZOO_COMPLETE"


class Session:
    """The state of one invocation of `zoo`.

    Attributes:
        debug: whether to show the tracebacks of errors.
        strict: whether to raise an error if a plugin fails to load.
        progress: whether to show progress; False with --quiet.
        last: whether to use the last weights of a run directory instead of the best; True with --last.
        plugin_files: one-file plugins given with `--plugin`.
        warnings: warnings printed so far; an error with the same message is not printed again.
        document: JSON document to print at the end, unless there is an error; None without --json.
        running: the plugin command that is running, or the extra of the command of zoo's own that is.
    """

    def __init__(self) -> None:
        self.debug = False
        self.strict = False
        self.progress = True
        self.last = False
        self.plugin_files: Sequence[str] = ()
        self.warnings: Sequence[str] = ()
        self.document: object = None
        self.running: Entry[CommandSpec] | str = ""

    def begin(self, line: str) -> None:
        """Print a status line on stderr before slow imports."""
        if self.progress:
            echo(line, err=True)

    def working(self) -> AbstractContextManager[Callable[..., None]]:
        """Return a context manager that yields a progress function, `report(what, done, total, unit)`.

        This function writes to stderr, or does nothing with --quiet. Download progress is shown as well.
        """
        from zoo.console.progress import Bar, quiet  # not needed for help

        return Bar() if self.progress else quiet()

    def load(self, weights: str, *, device: str | None = None) -> Model:
        """Load the model from WEIGHTS, and limit torch's threads to leave one core free for other work.

        Raises WeightsError, UnknownName or another ZooError if the model cannot be loaded.
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
        """The default registry. A plugin that fails to load causes a warning or, with `strict`, an error."""
        if COMPLETE in os.environ:  # no line of a warning belongs into a half-typed command
            return Registry.discover()
        registry = default_registry()
        if self.strict:
            registry.require_healthy()
        return registry

    def commands(self) -> dict[str, str]:
        """Return the plugins' commands with their summaries; if plugins cannot be read, warn and return {}.

        A broken registry.toml in the current folder must not break `zoo --help`.
        """
        try:
            return {entry.spec.name: entry.spec.summary for entry in self.registry.entries("command")}
        except ZooError as error:
            if COMPLETE not in os.environ:
                warn(str(error))
            return {}

    def load_command(self, name: str) -> click.Command:
        """Return a plugin's command.

        Raises UnknownName if no plugin provides the command, and SpecError if the plugin's target cannot be
        imported or is not a click command. If a module is missing, the hint names the extra that installs it.
        """
        self.running = entry = self.registry.command(name)
        with needing_extra(entry, f"`zoo {entry.spec.name}`"):
            return entry.spec.load()


pass_session = click.make_pass_decorator(Session, ensure=True)  # one of its own where no `zoo` runs


def print_json(document: object) -> None:
    """Print a JSON document on stdout after the command succeeds."""
    session = click.get_current_context().find_object(Session)
    assert session is not None
    session.document = document


def quiet_option(command: F) -> F:
    """Add --quiet and --plugin. The value of --plugin is read earlier, before the command is looked up."""
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
    """Pass the session as the first argument, and add --json (`as_json`), --quiet and --plugin.

    With --json, anything that a plugin prints goes to stderr; only the document goes to stdout.
    """

    @functools.wraps(command)
    def alone(*arguments: Any, as_json: bool, **settings: Any) -> Any:
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            return command(*arguments, as_json=as_json, **settings)

    json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout.")
    return json(quiet_option(pass_session(alone)))


def track_options(command: F) -> F:
    """Add --track and --track-option."""
    return _track_option(_own_options(command))


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
_track_option = click.option(
    "--track",
    default="",
    metavar="TEXT",
    help="Send the metrics to this experiment tracker, from a separate process.",
)
_own_options = click.option("--track-option", multiple=True, metavar="K=V", help="Tracker option.")
card_device_option = click.option(
    "--device",
    metavar="NAME",
    help="Device, such as cpu or cuda.  [default: cpu, or a GPU for weights trained on one]",
)
device_option = click.option(
    "--device", metavar="NAME", help="Device, such as cpu or cuda.  [default: a GPU if available]"
)
