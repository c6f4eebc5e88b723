"""Commands of plugins: loaded when they run or show their help."""

from __future__ import annotations

import click

from zoo.cli.session import Session
from zoo.errors import MissingModule, SpecError
from zoo.registry.extras import needing_extra

__all__ = ["load_command"]


def load_command(session: Session, name: str) -> click.Command:
    """Return the command of a plugin.

    Raises UnknownName, or SpecError if two plugins have it, or its target cannot be imported or is no click
    command; where a module is missing, the hint says which extra installs it.
    """
    entry = session.running = session.registry.command(name)
    try:
        with needing_extra(entry, f"`zoo {entry.spec.name}`"):
            return entry.spec.load()
    except SpecError as error:
        if isinstance(error.__cause__, MissingModule):
            raise
        raise SpecError(f"`zoo {entry.spec.name}` cannot run: {error}", hint=error.hint) from error
