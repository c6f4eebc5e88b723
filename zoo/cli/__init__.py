"""The `zoo` command: a group that imports a subcommand only to run it or to show its help.

Each command parses its arguments, calls one function and prints the result. This module reports all errors:
one sentence, a hint, and the exit code from `zoo.errors`. With `--json`, it prints the error as a JSON
document on stdout.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import io
import itertools
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.exceptions import NoArgsIsHelpError

from zoo._version import __version__
from zoo.cli.plugin_option import naming, split_plugins
from zoo.cli.session import COMPLETE, Session, pass_session, quiet_option
from zoo.config.torchrun import is_first
from zoo.console.terminal import (
    BLANKS,
    StdoutClosed,
    echo,
    echo_json,
    is_terminal,
    warnings_as_lines,
)
from zoo.errors import Interrupted, OutputError, UnknownName, ZooError, first_line
from zoo.registry.advice import advice
from zoo.registry.extras import how_to_install, needing_extra
from zoo.registry.registry import Entry

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Do not use builtins by name in this module: `zoo.cli.list`, once imported, becomes this module's `list`.
COMMANDS = {
    "list": "List architectures, datasets, analyzers, recipes and weights.",
    "show": "Show the details of an entry, recipe or published model.",
    "plugins": "List plugins, their status, and what they provide.",
    "train": "Train a model from a recipe, or train an architecture on a dataset.",
    "resume": "Continue a stopped run.",
    "eval": "Evaluate a trained model on a split of its data.",
    "predict": "Predict classes for images, or score texts.",
    "embed": "Compute features of images or texts, for search or clustering.",
    "sample": "Generate text with a language model.",
    "analyze": "Look inside a trained model: heat maps, confusions, activations.",
    "compare": "Compare models on the same items, and test whether their results differ.",
    "calibrate": "Fit a temperature to a classifier, so that its confidence matches its accuracy.",
    "verify": "Measure published metrics again, and report differences.",
    "reproduce": "Retrain weights from their card, and compare old and new results.",
    "data": "Find duplicates and other common problems in a dataset.",
    "runs": "List, compare, plot and prune training runs.",
    "lr-find": "Suggest learning rates from a short test run.",
    "sweep": "Train a model with different options, and compare the runs.",
    "track": "Send the metrics of a run to an experiment tracker, live or afterward.",
    "export": "Export a trained model to ONNX or pt2, and verify the file.",
    "import": "Convert a PyTorch state dict to a weights file.",
    "serve": "Serve trained models through a web page and an HTTP API.",
    "publish": "Publish runs in a folder, a zoo that others can use.",
    "push": "Push trained weights to the Hugging Face Hub.",
    "remote": "Name the zoos of others, to use their weights.",
    "inspect": "Show the card of a weights file.",
    "card": "Write a model card for people, in Markdown or HTML.",
    "cache": "List or delete cached data.",
    "completion": "Print a shell script for TAB completion of names and options.",
    "check": "Check a plugin against the plugin contract.",
    "new-plugin": "Create a starter package for a plugin.",
}

# The commands that work without torch, which zoo-runtime does not have
WITHOUT_TORCH = {"list", "show", "plugins", "predict", "embed", "sample", "inspect", "cache", "completion"}
# The extras that commands need
EXTRAS = {"compare": "stats", "push": "hub", "reproduce": "stats", "serve": "serve", "sweep": "sweep"}
# The modules of commands that are keywords of Python
_MODULES = {"import": "import_weights"}


# Set by users who know how their threads should wait; read by OpenMP when torch is imported
_OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
# Kinds of errors that all processes of a distributed run raise alike, so only the first process prints them
_SHARED = ("ambiguous-name", "diverged", "interrupted", "lost", "option", "unknown-name", "usage")
_INSTALL = (
    "run `pip install -e .` in a clone of zoo to install all dependencies; "
    "zoo-runtime only runs exported files"
)


def module_of(name: str) -> str:
    """Return the module of one of zoo's commands."""
    return f"zoo.cli.{_MODULES.get(name, name).replace('-', '_')}"


def _usable() -> dict[str, str]:
    """Return the commands that this installation can run, with their summaries."""
    if importlib.util.find_spec("torch"):
        return COMMANDS
    return {name: about for name, about in COMMANDS.items() if name in WITHOUT_TORCH}


def command_of(name: str) -> click.Command:
    """Import and return one of zoo's commands. Raises SpecError if it needs an extra that is missing."""
    if name not in _usable() and importlib.util.find_spec("zoo.testing") is None:
        raise ModuleNotFoundError(name="torch")  # zoo-runtime has no tools either
    with needing_extra(EXTRAS[name], f"`zoo {name}`") if name in EXTRAS else contextlib.nullcontext():
        return importlib.import_module(module_of(name)).command


class LazyGroup(click.Group):
    """A click group of zoo's commands (`zoo.cli.<name>.command`) and plugin commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_usable(), *_session(ctx).commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command = command_of(cmd_name)
            _session(ctx).running = EXTRAS.get(cmd_name, "")
            return command
        try:
            return _session(ctx).load_command(cmd_name)
        except UnknownName:
            from zoo.cli.usage import UnknownCommand

            raise UnknownCommand(cmd_name, ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that start with `incomplete`, without importing commands."""
        from click.shell_completion import CompletionItem

        commands = {**_usable(), **_session(ctx).commands()}
        fitting = [(name, about) for name, about in commands.items() if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=about) for name, about in fitting), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        of_plugins = _session(ctx).commands()
        for title, commands in (("Commands", _usable()), ("Plugin commands", of_plugins)):
            if commands:
                with formatter.section(title):
                    formatter.write_dl([*commands.items()])


def _session(ctx: click.Context) -> Session:
    """Return the session that all commands share. --strict has been parsed, but the group has not run yet."""
    session = ctx.ensure_object(Session)
    session.strict = bool(ctx.params.get("strict"))
    return session


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@quiet_option
@click.option("--strict", is_flag=True, envvar="ZOO_STRICT", help="Fail if any plugin fails to load.")
@click.option("--verify", is_flag=True, help="Recompute checksums of all data files, even unchanged ones.")
@pass_session
@click.pass_context
def cli(ctx: click.Context, session: Session, debug: bool, strict: bool, verify: bool) -> None:
    """Train, evaluate and analyze small PyTorch models, and generate text with them."""
    session.debug, session.strict = debug, strict
    if verify and not os.environ.get("ZOO_VERIFY"):
        os.environ["ZOO_VERIFY"] = "1"  # for the processes that it starts, too
        ctx.call_on_close(lambda: os.environ.pop("ZOO_VERIFY"))


class _Terminated(KeyboardInterrupt):
    """An exception raised on SIGTERM, so that writers clean up as they do after Ctrl-C."""


class _Stops:
    """Handlers for Ctrl-C and SIGTERM, which interrupt a command at most twice and never after it ends."""

    def __init__(self) -> None:
        self.over = False
        self._left = 2  # one to stop, and one that does not wait for the other to be handled

    def listen(self) -> None:
        """Handle SIGINT and SIGTERM, except those that this process inherited as ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)

    def _stop(self, number: int, _: object) -> None:
        if self.over or not self._left:
            return
        self._left -= 1
        raise _Terminated if number == signal.SIGTERM else KeyboardInterrupt


def main() -> None:
    """Run the command line and exit."""
    stops = _Stops()
    session = Session()
    arguments = sys.argv[1:]
    try:
        stops.listen()
        if not any(name in os.environ for name in _OPENMP):
            os.environ["GOMP_SPINCOUNT"] = "1000"  # waiting threads spin for microseconds, not for 10 ms
        gc.set_threshold(*gc.get_threshold()[:2], 100)  # all that torch imports takes 0.1 s a time
        _open_closed_streams()
        _ignore_matplotlibrc()
        outcome = _carry_out(session, arguments)
        stops.over = True
    except KeyboardInterrupt as error:  # early, late, or a second one while the first is handled
        stops.over = True
        outcome = _interrupted(error)
    code = _print(session, outcome, as_json=_asks_for_json(arguments))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # Python would try again, and fail
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if "TORCHELASTIC_RUN_ID" in os.environ:  # its threads may abort Python while it exits
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    session = Session()
    return _print(session, _carry_out(session, arguments), as_json=_asks_for_json(arguments))


def _open_closed_streams() -> None:
    """Reopen closed standard streams, as in `zoo list >&-`, so that no other file becomes stdout."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _ignore_matplotlibrc() -> None:
    """Import matplotlib from a different working folder if the current folder contains a matplotlibrc file.

    Otherwise, matplotlib would read this file: some versions run code in it, and opening a pipe would block.
    """
    if os.path.lexists("matplotlibrc"):
        with contextlib.suppress(ImportError), contextlib.chdir(os.sep):
            importlib.import_module("matplotlib")


def _print(session: Session, outcome: ZooError | int, *, as_json: bool) -> int:
    """Print a command's JSON document, or the error that ended the command, and return the exit code."""
    error = outcome if isinstance(outcome, ZooError) else None
    code = outcome if isinstance(outcome, int) else outcome.exit_code
    if not is_first() and (error is None or error.kind in _SHARED):
        return code
    try:
        if error is None:
            if session.document is not None:
                echo_json(session.document)
        elif as_json:
            echo_json({"error": str(error), "kind": error.kind, "hint": error.hint})
        else:
            _print_error(error, known=str(error) in session.warnings)
    except StdoutClosed:
        pass
    except OutputError as failure:
        _print_error(failure)
        return failure.exit_code
    return code


def _print_error(error: ZooError, *, known: bool = False) -> None:
    if not known:
        echo(f"zoo: {error}", err=True)
    if error.hint:
        echo(f"     {error.hint}", err=True)


def _carry_out(session: Session, arguments: Sequence[str]) -> ZooError | int:
    """Run the command line; return its exit code, or the error that ended it.

    The only exception that it raises is a second KeyboardInterrupt.
    """
    rest = arguments
    try:
        with warnings_as_lines() as session.warnings:
            session.plugin_files, rest = split_plugins(arguments)
            with naming(session.plugin_files):
                return _invoke(session, rest)
    except (BrokenPipeError, StdoutClosed):  # as in `zoo list | head`
        return 0
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if "--debug" in rest[:2]:
            import traceback  # slow to import

            echo(traceback.format_exc(), err=True, keep=BLANKS)
        return _as_ours(error, arguments, session)


def _invoke(session: Session, arguments: Sequence[str]) -> int:
    """Run the command line as click's `main` does, but without exiting when stdout is closed."""
    if instruction := os.environ.get(COMPLETE):
        from zoo.cli.completion import complete

        return complete(cli, instruction)
    hidden = contextlib.nullcontext() if is_first() else contextlib.redirect_stdout(io.StringIO())
    try:
        with hidden, cli.make_context("zoo", [*arguments], obj=session) as ctx:
            code = cli.invoke(ctx)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether to print errors as JSON, that is, whether `--json` is given before any `--`."""
    options = itertools.takewhile(lambda word: word != "--", arguments)
    return any(word.partition("=")[0] == "--json" for word in options)


def _as_ours(error: BaseException, arguments: Sequence[str], session: Session) -> ZooError:
    """Convert an exception to a ZooError."""
    if isinstance(error, ZooError):
        return error
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _interrupted(error)
    if isinstance(error, click.UsageError):
        from zoo.cli.usage import usage_error

        with warnings_as_lines():  # to find the right spelling, plugins may be loaded
            return usage_error(error, arguments)
    if isinstance(error, click.ClickException):
        return ZooError(error.format_message())
    running = session.running
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = f"this command requires {error.name.partition('.')[0]}, which is not installed"
        return ZooError(missing, hint=how_to_install(running) if running else _INSTALL)
    notes = [advice([running.plugin])] if isinstance(running, Entry) else []
    notes += [*getattr(error, "__notes__", ()), "`zoo --debug ...` shows the traceback"]
    message = f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return ZooError(message, hint="; ".join(filter(None, notes)))


def _interrupted(error: BaseException) -> Interrupted:
    if is_terminal(sys.stderr):
        echo(err=True)  # below the ^C
    return Interrupted("interrupted", signal=15 if isinstance(error, _Terminated) else 2)
