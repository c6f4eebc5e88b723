"""The right spelling of options that another tool would have, or a hurried hand would write."""

from __future__ import annotations

import contextlib
import difflib
import shlex
from collections.abc import Sequence

import click

from zoo.cli.session import Session
from zoo.cli.signature import flag_of
from zoo.config.declarations import declared
from zoo.config.synonyms import ways
from zoo.config.training import TrainConfig, fields_of
from zoo.errors import ZooError
from zoo.registry.registry import Registry

__all__ = ["respell", "respelled_word"]

# What other tools give by an option, and a command here as its first words
_WORDS = ("arch", "architecture", "dataset", "model-name", "recipe")


def respell(error: click.NoSuchOption, words: Sequence[str]) -> click.UsageError:
    """Return the error for an unknown option, with what may have been meant, ready to be pasted."""
    if error.ctx is None:
        return error
    wrong, value = _as_typed(error.option_name, words)
    name = wrong.lstrip("-").replace("_", "-")
    message = f"no such option: {wrong}"
    if name.replace("-", "_") in fields_of(TrainConfig) and not _find(error.ctx, f"--{name}"):
        message = f"{wrong} makes no difference to `{error.ctx.command_path}`"
    elif name in _WORDS and error.ctx.info_name in ("train", "lr-find"):
        message += f"; it is given without an option: `{error.ctx.command_path} ARCHITECTURE DATASET`"
    elif right := _meant(error.ctx, name, words):
        message += f"; did you mean `{_with_value(error.ctx, right, value)}`?"
    return click.UsageError(message, error.ctx)


def respelled_word(ctx: click.Context, word: str, words: Sequence[str]) -> click.UsageError:
    """Return the error for a word such as `epochs=5` that should have been an option."""
    key, _, value = word.partition("=")
    name = key.strip().lower().replace("_", "-")
    right = _meant(ctx, name, words)
    meant = f"; did you mean `{_with_value(ctx, right, value)}`?" if right else ""
    return click.UsageError(f"unexpected {word!r}{meant}", ctx)


def _as_typed(option: str, words: Sequence[str]) -> tuple[str, str]:
    """Return the whole word that click could not read, and the value that it was given."""
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == option or (not option.startswith("--") and name.startswith(option)):
            following = words[number + 1] if number + 1 < len(words) else ""
            return name, value if equals else following * (not following.startswith("-"))
    return option, ""


def _meant(ctx: click.Context, name: str, words: Sequence[str]) -> str:
    """Return the option of the command that a name may have meant, as it is typed; empty if there is none."""
    name = name.replace("-", "_")
    names = [name, *ways(name, "train", "options")]
    for flag in map(flag_of, names):
        if _find(ctx, flag.partition(" ")[0]):
            return flag
    params = ctx.command.get_params(ctx)
    known = {opt[2:].replace("-", "_"): opt for param in params for opt in param.opts if opt[:2] == "--"}
    if "model" in known or "data" in known:  # what follows imports the architecture and the dataset
        with contextlib.suppress(ZooError):  # a registry.toml that cannot be read is not what is wrong here
            known |= _entry_options((ctx.find_object(Session) or Session()).registry, words)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return next((known[key] for key in (*names, *near) if key in known), "")


def _find(ctx: click.Context, option: str) -> click.Parameter | None:
    params = ctx.command.get_params(ctx)
    return next((param for param in params if option in (*param.opts, *param.secondary_opts)), None)


def _with_value(ctx: click.Context, option: str, value: str) -> str:
    """Return an option with its value, as one types it."""
    if option.endswith("="):
        return f"{option}{shlex.quote(value) if value else '...'}"
    if option == "--device" and (not value or value.isdigit()):  # the number of GPUs, or of one
        value = "cuda"
    param = _find(ctx, option)
    takes_value = isinstance(param, click.Option) and not param.is_flag
    return f"{option} {shlex.quote(value) if value else '...'}" if takes_value else option


def _entry_options(registry: Registry, words: Sequence[str]) -> dict[str, str]:
    """Return each option of the architecture and the dataset among the words, as it is typed."""
    named = [*words]
    for recipe in (named for word in words for named in registry.names.matching(word, "recipe")[:1]):
        named += [registry.recipes[recipe.name].architecture, registry.recipes[recipe.name].dataset]
    typed: dict[str, str] = {}
    entries = {"--data": registry.entries("dataset"), "--model": registry.entries("architecture")}
    for flag, kind in entries.items():
        for entry in kind:
            if entry.name in named or entry.spec.name in named:
                with contextlib.suppress(ZooError):
                    dims = registry.task(entry.tasks[0]).dims if flag == "--model" else ()
                    keys = declared(entry.load()).keys() - {*dims}
                    typed |= {key: f"{flag} {key}=" for key in keys}
    return typed
