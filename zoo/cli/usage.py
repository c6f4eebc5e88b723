"""Wrong usage in zoo's own words: what is wrong, what was found, what to do. Imported only for an error."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

import click

from zoo.cli.session import Session
from zoo.config.synonyms import ways
from zoo.errors import ZooError, did_you_mean

__all__ = ["unknown_command", "usage_error"]


def usage_error(error: click.UsageError, command: str = "") -> ZooError:
    """Return what click found wrong as an error of zoo's: `missing WEIGHTS`.

    Args:
        command: the command that was run, for errors that do not know it.
    """
    path = error.ctx.command_path if error.ctx else f"zoo {command}".rstrip()
    shows = "lists the commands" if path == "zoo" else "shows its arguments and options"
    converted = ZooError(_message(error), hint=f"`{path} --help` {shows}")
    converted.kind, converted.exit_code = "usage", error.exit_code
    return converted


def _message(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"no such option: {error.option_name}"
    if isinstance(error, click.MissingParameter) and error.param:
        choices = getattr(error.param.type, "choices", ())
        return f"missing {_name(error)}" + (f", one of {', '.join(choices)}" if choices else "")
    message = error.message.rstrip(".")
    if isinstance(error, click.BadParameter):
        return f"{_name(error)} {message}" if message.startswith("must ") else f"{_name(error)}: {message}"
    return f"{message[:1].lower()}{message[1:]}"


def _name(error: click.BadParameter) -> str:
    """Return what the user calls a parameter: `--split`, or `WEIGHTS`."""
    if isinstance(error.param_hint, str):
        return error.param_hint
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return error.param.human_readable_name if error.param else "a value"


def unknown_command(ctx: click.Context, words: Sequence[str], commands: Sequence[str]) -> click.UsageError:
    """Return the error for words that begin with no command, and what may have been meant."""
    word = words[0]
    typed = word.lower().replace("_", "-")
    meant = next(iter(ways(typed, "commands")), "") or _meant(ctx.ensure_object(Session), words)
    nearest = f"; did you mean `{meant}`?" if meant else did_you_mean(word.replace("_", "-"), commands)
    chosen = ctx.ensure_object(Session).registry.left_out(" ({})")
    return click.UsageError(f"unknown command {word!r}{chosen}{nearest}", ctx)


def _meant(session: Session, words: Sequence[str]) -> str:
    """Return the command for a name of the catalogue, or for a path; empty if the word is neither."""
    word = words[0]
    named = session.registry.names.matching(word)
    kind = named[0].kind if named else "weights" if os.path.exists(word) else ""  # noqa: PTH110
    trains = kind == "recipe" or (kind == "architecture" and len(words) > 1)
    command = "train" if trains else {"weights": "inspect"}.get(kind, "show")
    return f"zoo {command} {shlex.join(words if trains else words[:1])}" if kind else ""
