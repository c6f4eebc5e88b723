"""Commands of plugins: loaded when they run or show their help."""

from __future__ import annotations

import click

from zoo.cli.session import Session
from zoo.errors import MissingModule, SpecError
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
    except MissingModule as error:
        message = f"`zoo {entry.spec.name}` requires {error.module}, which is not installed"
        raise SpecError(message, hint=how_to_install(entry)) from error
    except SpecError as error:
        raise SpecError(f"`zoo {entry.spec.name}` cannot run: {error}", hint=error.hint) from error


def how_to_install(entry: Entry[CommandSpec]) -> str:
    """Return what to type where a module is missing that a command needs."""
    if entry.plugin.dist is None or not entry.spec.extra:
        return f"it is {entry.plugin.distribution} that needs it"
    return f'`pip install "{entry.plugin.distribution}[{entry.spec.extra}]"` installs it'
