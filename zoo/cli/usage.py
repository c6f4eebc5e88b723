"""Usage errors in zoo's wording: what is wrong, what was found, what to do.

This module is imported only when an error occurs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Sequence
from typing import cast

import click

from zoo.cli.flags import flag_of
from zoo.cli.name_types import registry_of
from zoo.config.declarations import declared
from zoo.config.near_names import did_you_mean, nearest_names
from zoo.config.synonyms import ways
from zoo.config.train_config import TrainConfig, fields_of
from zoo.errors import ZooError
from zoo.registry.registry import Registry

# What other tools give by an option, and a command here as its first words
_WORDS = ("arch", "architecture", "dataset", "model_name", "recipe")
# What to type for an argument that is missing, if its name does not say so
_MISSING = {"RECIPE | ARCH DATASET": "give a recipe, or an architecture and a dataset"}


# click's words for a value that a choice or a range does not contain
_OUTSIDE = re.compile(r"(.+) is not (one of .+|in the range .+)")


class UnknownCommand(click.UsageError):
    """The command does not exist."""


def usage_error(error: click.UsageError, words: Sequence[str]) -> ZooError:
    """Convert a click usage error to an error with zoo's wording, such as `missing WEIGHTS`."""
    command = words[0] if words and not words[0].startswith("-") else ""
    path = error.ctx.command_path if error.ctx else f"zoo {command}".rstrip()
    shows = "lists the commands" if path == "zoo" else "shows its arguments and options"
    converted = ZooError(_message(error, words), hint=f"`{path} --help` {shows}")
    converted.kind, converted.exit_code = "usage", error.exit_code
    return converted


def _message(error: click.UsageError, words: Sequence[str]) -> str:
    if isinstance(error, UnknownCommand) and error.ctx:
        return _unknown_command(error.ctx, words[words.index(error.message) :])
    if isinstance(error, click.NoSuchOption) and error.ctx:
        return _no_such_option(error.ctx, error.option_name, words)
    if isinstance(error, click.MissingParameter) and error.param:
        choices = getattr(error.param.type, "choices", ())
        missing = f"missing {_name(error)}" + (f", one of {', '.join(choices)}" if choices else "")
        return _MISSING.get(_name(error), missing)
    message = error.message.rstrip(".")
    if isinstance(error, click.BadParameter) and (wrong := _OUTSIDE.fullmatch(message)):
        value, valid = wrong.groups()
        near = did_you_mean(value.strip("'"), getattr(error.param and error.param.type, "choices", ()))
        return f"{_name(error)} must be {valid} (got {value}){near}"
    if isinstance(error, click.BadParameter):
        return f"{_name(error)} {message}" if message.startswith("must ") else f"{_name(error)}: {message}"
    return f"{message[:1].lower()}{message[1:]}"


def _name(error: click.BadParameter) -> str:
    """Return a parameter's name as shown on the command line, such as `--split` or `WEIGHTS`."""
    if isinstance(error.param_hint, str):
        return error.param_hint
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return error.param.human_readable_name if error.param else "a value"


def _unknown_command(ctx: click.Context, words: Sequence[str]) -> str:
    """Return the message for words that do not start with a command, with a suggestion."""
    word, registry = words[0], registry_of(ctx)
    typed = word.lower().replace("_", "-")
    meant = next(iter(ways(typed, "commands")), "") or _command_for(registry, words)
    commands = cast("click.Group", ctx.command).list_commands(ctx)
    nearest = f"; did you mean `{meant}`?" if meant else did_you_mean(word.replace("_", "-"), commands)
    return f"unknown command {word!r}{registry.left_out(' ({})')}{nearest}"


def _command_for(registry: Registry, words: Sequence[str]) -> str:
    """Return the command to suggest for a catalog name or a path; empty if the word is neither."""
    word = words[0]
    named = registry.names.matching(word)
    kind = named[0].kind if named else "weights" if os.path.exists(word) else ""  # noqa: PTH110
    trains = kind == "recipe" or (kind == "architecture" and len(words) > 1)
    command = "train" if trains else {"weights": "inspect"}.get(kind, "show")
    return f"zoo {command} {shlex.join(words if trains else words[:1])}" if kind else ""


def _no_such_option(ctx: click.Context, option: str, words: Sequence[str]) -> str:
    """Return the message for an unknown option, or a word such as `epochs=5`."""
    wrong, value = _as_typed(option, words)
    name = wrong.lstrip("-").strip().lower().replace("-", "_")
    if name in fields_of(TrainConfig) and flag_of(name) not in _flags(ctx):
        return f"`{ctx.command_path}` does not accept {wrong}"
    message = f"no such option: {wrong}" if wrong.startswith("-") else f"unexpected {f'{wrong}={value}'!r}"
    if name in _WORDS and ctx.info_name in ("train", "lr-find"):
        return f"{message}; omit the option: `{ctx.command_path} ARCHITECTURE DATASET`"
    return f"{message}{_respelled(ctx, name, value, words)}"


def _as_typed(option: str, words: Sequence[str]) -> tuple[str, str]:
    """Return the option as the user typed it, and its value."""
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == option or (not option.startswith("--") and name.startswith(option)):
            following = words[number + 1] if number + 1 < len(words) else ""
            return name, value if equals else following * (not following.startswith("-"))
    return option, ""


def _flags(ctx: click.Context) -> dict[str, click.Parameter]:
    """Return the options of a command by flag."""
    params = ctx.command.get_params(ctx)
    return {flag: param for param in params for flag in (*param.opts, *param.secondary_opts)}


def _respelled(ctx: click.Context, name: str, value: str, words: Sequence[str]) -> str:
    """Return a suggestion to append to a message about a wrong name: the right option with the value.

    Users can paste the suggestion. The option can belong to the command, or to the architecture or dataset
    among the words.
    """
    flags = _flags(ctx)
    names = [name, *ways(name, "train", "options")]
    right = next((flag for flag in map(flag_of, names) if flag.partition(" ")[0] in flags), "")
    if not right:
        known = {flag[2:].replace("-", "_"): flag for flag in flags if flag.startswith("--")}
        if "--model" in flags or "--data" in flags:  # what follows imports the architecture and the dataset
            with contextlib.suppress(ZooError):  # a registry.toml that cannot be read is not what is wrong
                known |= _entry_options(registry_of(ctx), words)
        near = nearest_names(name, known)
        right = next((known[key] for key in (*names, *near) if key in known), "")
    if not right:
        return ""
    if right == "--device" and (not value or value.isdigit()):  # the number of GPUs, or of one
        value = "cuda"
    if right.endswith("="):
        right += shlex.quote(value) if value else "..."
    elif not getattr(flags.get(right), "is_flag", True):
        right += f" {shlex.quote(value) if value else '...'}"
    return f"; did you mean `{right}`?"


def _entry_options(registry: Registry, words: Sequence[str]) -> dict[str, str]:
    """Return the options of the architecture and the dataset among the words, as users type them."""
    named = [*words]
    for recipe in (named for word in words for named in registry.names.matching(word, "recipe")[:1]):
        named += [registry.recipes[recipe.name].architecture, registry.recipes[recipe.name].dataset]
    typed: dict[str, str] = {}
    entries = {"--data": registry.entries("dataset"), "--model": registry.entries("architecture")}
    for flag, some in entries.items():
        for entry in some:
            if entry.name in named or entry.spec.name in named:
                with contextlib.suppress(ZooError):
                    dims = registry.task(entry.tasks[0]).dims if flag == "--model" else ()
                    typed |= {key: f"{flag} {key}=" for key in declared(entry.load()) if key not in dims}
    return typed
