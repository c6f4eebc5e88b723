"""The `zoo` command: a group that imports a command only when it is run or asked for help.

A command parses, calls one function and prints. Errors end here, in one place: one sentence, a hint, and the
exit code of `zoo.errors`; with `--json` the same as a document on stdout.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

import zoo
from zoo.cli.session import Session
from zoo.errors import Interrupted, ZooError

__all__ = ["cli", "main", "run"]

# No name of a builtin is used as one in this module: `zoo.cli.list`, once imported, is the module's `list`.
COMMANDS = {
    "list": "Everything there is: architectures, datasets, analyzers, recipes, weights.",
    "show": "All that is known of one entry.",
    "plugins": "Each plugin, whether it loaded, and what it provides.",
    "train": "Train a recipe, or an architecture on a dataset.",
    "lr-find": "Suggest learning rates, from a short sweep that leaves nothing changed.",
    "eval": "Measure a weights file on a split of its data.",
    "sample": "Write text with a language model.",
    "analyze": "Look inside a trained model: where it looked, what it does.",
    "inspect": "What a weights file says of itself.",
    "check": "Whether a plugin keeps the contract: every check, and what failed.",
    "new-plugin": "A package to start from, which keeps the contract.",
}


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
        from zoo.errors import did_you_mean

        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(f"no command {name!r}{did_you_mean(name, COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(zoo.__version__, prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--strict", is_flag=True, envvar="ZOO_STRICT", help="Fail if any plugin fails to load.")
@click.pass_context
def cli(ctx: click.Context, debug: bool, strict: bool) -> None:
    """A zoo of small PyTorch models: list, train, evaluate, sample and look inside them."""
    ctx.obj = Session(strict=strict)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which like Ctrl-C lets everybody clean up who has begun to write."""


def main() -> None:
    """Run the command line and exit."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt as error:  # a second one, while the first was told of
        code = 143 if isinstance(error, _Terminated) else 130
    for number in (signal.SIGINT, signal.SIGTERM):  # there is nothing left to stop
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    as_json = "--json" in arguments
    debug = bool(arguments) and "--debug" in arguments[:2]
    try:
        answer: Any = cli.main([*arguments], prog_name="zoo", standalone_mode=False)
        sys.stdout.flush()
        return answer if isinstance(answer, int) else 0
    except BrokenPipeError:  # as in `zoo list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (click.Abort, KeyboardInterrupt) as error:
        terminated = isinstance(error, _Terminated) or isinstance(error.__cause__, _Terminated)
        return _fail(Interrupted("interrupted", signal=15 if terminated else 2), as_json)
    except click.UsageError as error:
        if as_json:
            return _fail(_usage(error), as_json)
        error.show()
        return error.exit_code
    except ZooError as error:
        if debug:
            raise
        return _fail(error, as_json)
    except Exception as error:
        if debug:
            raise
        return _fail(_foreign(error), as_json)


def _usage(error: click.UsageError) -> ZooError:
    told = ZooError(error.format_message(), hint=f"`{error.ctx.command_path if error.ctx else 'zoo'} --help`")
    told.kind, told.exit_code = "usage", error.exit_code
    return told


def _foreign(error: Exception) -> ZooError:
    """Name an error that nobody foresaw."""
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        return ZooError(f"{error.strerror}{place}", hint="`zoo --debug ...` shows where")
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.partition(".")[0]
        return ZooError(f"this needs {name}, and it is not installed", hint=f"pip install {name}")
    first = str(error).strip().split("\n")[0]
    return ZooError(f"{type(error).__name__}: {first}", hint="`zoo --debug ...` shows where this comes from")


def _fail(error: ZooError, as_json: bool) -> int:
    from zoo.cli.output import print_json

    if as_json:
        print_json({"error": str(error), "kind": error.kind, "hint": error.hint})
    else:
        click.echo(f"zoo: {error}", err=True)
        if error.hint:
            click.echo(f"     {error.hint}", err=True)
    return error.exit_code
