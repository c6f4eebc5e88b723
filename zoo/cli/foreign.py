"""Commands of plugins: loaded when they run or show their help."""

from __future__ import annotations

import click

from zoo.cli.session import Session
from zoo.errors import SpecError
from zoo.registry.registry import Entry
from zoo.registry.specs import CommandSpec

__all__ = ["how_to_install", "load_command"]


def load_command(session: Session, name: str) -> click.Command:
    """Return the command of a plugin.

    Raises UnknownName, or SpecError if two plugins have it, or its target cannot be imported or is no click
    command; where a module is missing, the hint says which extra installs it.
    """
    entry = session.running = session.registry.command(name)
    try:
        return entry.spec.load()
    except SpecError as error:
        own, missing = entry.spec.target.partition(":")[0].partition(".")[0], _missing(error.__cause__)
        message, hint = f"`zoo {entry.spec.name}` cannot run: {error}", error.hint
        if missing and missing != own:
            message = f"`zoo {entry.spec.name}` requires {missing}, which is not installed"
            hint = how_to_install(entry)
        raise SpecError(message, hint=hint) from error.__cause__


def _missing(error: BaseException | None) -> str:
    """Return the package that an import did not find; empty if that is not what is wrong."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    return (name or "").partition(".")[0]


def how_to_install(entry: Entry[CommandSpec]) -> str:
    """Return what to type where a module is missing that a command needs."""
    if entry.plugin.dist is None:
        return f"install what {entry.plugin.where} needs"
    extra = f"[{entry.spec.extra}]" if entry.spec.extra else ""
    return f'`pip install "{entry.plugin.distribution}{extra}"` installs it'
