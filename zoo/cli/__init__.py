"""The `zoo` command: a group that imports a command only when it runs or shows its help.

A command parses, calls one function and prints. Errors end here, in one place: one sentence, a hint, and the
exit code of `zoo.errors`; with `--json`, the same as a document on stdout.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from zoo._version import __version__
from zoo.cli.output import echo, print_json, quiet_option, warnings_as_lines
from zoo.cli.session import Session
from zoo.errors import Interrupted, ZooError, first_line

__all__ = ["cli", "main", "run"]

# Do not use builtins by name in this module: `zoo.cli.list`, once imported, becomes this module's `list`.
COMMANDS = {
    "list": "List architectures, datasets, analyzers, recipes and weights.",
    "show": "Show everything that is known about one name.",
    "plugins": "Show each plugin, whether it loaded, and what it provides.",
    "train": "Train a recipe, or an architecture on a dataset.",
    "resume": "Continue a run that was stopped.",
    "lr-find": "Suggest learning rates, from a short test run.",
    "eval": "Measure a trained model on a split of its data.",
    "sample": "Generate text with a language model.",
    "analyze": "Look inside a trained model: where it looks and what it computes.",
    "inspect": "Show the card of a weights file.",
    "trust": "Let the plugins that a folder's registry.toml names run.",
    "completion": "Print a script that makes TAB complete names and options.",
    "check": "Check that a plugin keeps the contract.",
    "new-plugin": "Create a plugin that keeps the contract, to start from.",
}


# Set by users who know how their threads should wait; read by OpenMP when torch is imported
_OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


class LazyGroup(click.Group):
    """A group whose commands live in `zoo.cli.<name>` as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"zoo.cli.{cmd_name.replace('-', '_')}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from zoo.cli.usage import unknown_command

            raise unknown_command(ctx, args, [*COMMANDS])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="zoo")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@quiet_option
@click.option("--strict", is_flag=True, envvar="ZOO_STRICT", help="Fail if any plugin fails to load.")
@click.pass_context
def cli(ctx: click.Context, strict: bool) -> None:
    """A zoo of small PyTorch models: list, train, evaluate, sample and look inside them."""
    ctx.obj = Session(strict=strict)
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which like Ctrl-C lets whoever is writing clean up."""


def main() -> None:
    """Run the command line and exit."""

    def terminate(*_: object) -> None:
        raise _Terminated

    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, terminate)
    if not any(name in os.environ for name in _OPENMP):
        os.environ["GOMP_SPINCOUNT"] = "1000"  # waiting threads spin for microseconds, not for 10 ms
    gc.set_threshold(*gc.get_threshold()[:2], 100)  # going through all that torch imports takes 0.1 s a time
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt as error:  # a second one, while the first is reported
        code = 143 if isinstance(error, _Terminated) else 130
    for number in (signal.SIGINT, signal.SIGTERM):  # there is nothing left to stop
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    as_json = "--json" in arguments
    debug = bool(arguments) and "--debug" in arguments[:2]
    try:
        with warnings_as_lines():
            answer: Any = cli.main([*arguments], prog_name="zoo", standalone_mode=False)
        sys.stdout.flush()
        return answer if isinstance(answer, int) else 0
    except BrokenPipeError:  # as in `zoo list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (click.Abort, KeyboardInterrupt) as error:
        terminated = isinstance(error, _Terminated) or isinstance(error.__cause__, _Terminated)
        return _fail(Interrupted("interrupted", signal=15 if terminated else 2), as_json)
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        from zoo.cli.spelling import respell
        from zoo.cli.usage import usage_error

        command = next((word for word in arguments if word in COMMANDS), "")
        with warnings_as_lines():  # to find the right spelling, plugins may be loaded
            error = respell(error, arguments) if isinstance(error, click.NoSuchOption) else error
            answer = usage_error(error, command)
        return _fail(answer, as_json)
    except Exception as error:
        if debug:
            raise
        return _fail(error if isinstance(error, ZooError) else _unexpected(error), as_json)


def _unexpected(error: Exception) -> ZooError:
    """Return an error for one that is not zoo's own."""
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        return ZooError(f"{error.strerror}{place}", hint="`zoo --debug ...` shows where")
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.partition(".")[0]
        hint = "`pip install -e .` in a clone of zoo installs all that zoo itself needs"
        return ZooError(f"this requires {name}, which is not installed", hint=hint)
    return ZooError(
        f"{type(error).__name__}: {first_line(error)}", hint="`zoo --debug ...` shows where this comes from"
    )


def _fail(error: ZooError, as_json: bool) -> int:
    if as_json:
        print_json({"error": str(error), "kind": error.kind, "hint": error.hint})
    else:
        echo(f"zoo: {error}", err=True)
        if error.hint:
            echo(f"     {error.hint}", err=True)
    return error.exit_code
