"""Checks of a command. They use only click; commands import zoo's parts from `zoo.cli.kit`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Generator, Iterator

import click

from zoo.errors import SpecError, ZooError, cause
from zoo.registry.specs import CommandSpec
from zoo.testing._case import Case, Inapplicable, ProcessFailed, message, without_extra
from zoo.testing._data import no_network
from zoo.testing._fresh import Fresh

_MISSING = "./no-such-weights.safetensors"


def shows_its_help(case: Case) -> None:
    """`zoo NAME --help` describes the command, and works without torch installed."""
    for name, leaf in _commands(case):
        assert (leaf.help or "").strip(), message(
            expected=f"help text for `{name} --help`",
            got="none",
            usually="a function without a docstring",
        )
    error, text = _help(case)
    assert not error, message(
        expected=f"`zoo {case.spec.name} --help` to work without torch",
        got=error,
        usually="`import torch` at the top of the command's module; import it where the command runs",
    )
    assert text.startswith(f"Usage: zoo {case.spec.name}"), message(
        expected=f"`zoo {case.spec.name} --help` to print the usage",
        got=repr(text[:80]),
        usually="an option that replaces --help",
    )


def takes_json_and_quiet(case: Case) -> None:
    """The command has --json and --quiet, like all zoo commands."""
    for name, leaf in _commands(case):
        spelled = {opt for param in leaf.params for opt in param.opts}
        lacking = [option for option in ("--json", "--quiet") if option not in spelled]
        assert not lacking, message(
            expected=f"`{name}` to accept --json and --quiet",
            got=f"no {' and no '.join(lacking)}",
            usually="a command without `standard_options` from zoo.cli.kit",
        )


def refuses_missing_weights(case: Case) -> None:
    """A command with an argument for weights or another file raises a ZooError if the file is missing.

    With --json, it prints nothing on stdout before the error.
    """
    reading = [pair for pair in _commands(case) if any(map(_names_a_file, pair[1].params))]
    if not reading:
        raise Inapplicable("it has no argument WEIGHTS or other argument for a file")
    for name, leaf in reading:
        ended = _ended(name, leaf)
        assert not ended, message(
            expected=f"a ZooError from `{name} {_MISSING}`, since the file does not exist",
            got=ended,
            usually="a file opened without `session.load`, an error printed by the command, or output from a "
            "library",
        )


def _commands(case: Case) -> list[tuple[str, click.Command]]:
    """Return the command, or the commands of a group. Raises Skip if its target cannot be imported."""
    spec = case.spec
    assert isinstance(spec, CommandSpec)
    try:
        command = spec.load()
    except SpecError as error:  # which targets_resolve finds, unless it is for want of the extra
        raise without_extra(spec, error) from None
    return [*_leaves(f"zoo {spec.name}", command)]


def _leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word, part in command.commands.items():
        yield from _leaves(f"{name} {word}", part)


def _help(case: Case) -> tuple[str, str]:
    """Return the reason that a new process could not print the command's help, and its output."""
    try:
        found = case.kept("help", lambda: Fresh(case.plugin).ask("help"), of="the plugin")
    except ProcessFailed as failed:
        return str(failed), ""
    return found.get(case.spec.name, ("the process ended", ""))


def _ended(name: str, command: click.Command) -> str:
    """Describe how a command ended with missing weights; empty if it raised a ZooError."""
    words = [word for param in command.params if param.required for word in _typed(param)]
    words += ["--json"] * any("--json" in param.opts for param in command.params)
    shown, printed = io.StringIO(), io.StringIO()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_descriptor_of_stdout(printed))
            stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
            stack.enter_context(no_network())
            stack.enter_context(warnings.catch_warnings(action="ignore"))
            stack.enter_context(contextlib.redirect_stdout(shown))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            command.main(words, prog_name=name, standalone_mode=False)
    except (ZooError, click.UsageError):
        text = shown.getvalue() + printed.getvalue()
        return f"{text[:80]!r} on stdout before the error" if text and "--json" in words else ""
    except (Exception, SystemExit) as error:
        return cause(error)
    return f"no error, and the output {shown.getvalue()[-80:]!r}"


@contextlib.contextmanager
def _descriptor_of_stdout(found: io.StringIO) -> Generator[None]:
    """Collect output to stdout that bypasses `sys.stdout`, such as output of compiled code."""
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            if sys.__stdout__:
                sys.__stdout__.flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            found.write(file.read().decode(errors="replace"))


def _names_a_file(param: click.Parameter) -> bool:
    """Return whether a parameter names weights, or is a required argument for a file."""
    path = isinstance(param, click.Argument) and isinstance(param.type, click.Path)
    return param.name == "weights" or (path and param.required)


def _typed(param: click.Parameter) -> list[str]:
    """Return command-line words with a value for a required parameter."""
    choices = param.type.choices if isinstance(param.type, click.Choice) else ["1"]
    value = _MISSING if _names_a_file(param) else str(choices[0])
    return [value] if isinstance(param, click.Argument) else [param.opts[0], value]
