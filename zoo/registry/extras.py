"""Find the extra to install if a module that an entry needs is missing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from zoo.errors import MissingModule, SpecError
from zoo.registry.plugins import OURS
from zoo.registry.registry import Entry
from zoo.registry.specs import SpecWithExtra

# An entry of a plugin, or the name of one of zoo's own extras
Needing = Entry[SpecWithExtra] | str


def how_to_install(needing: Needing) -> str:
    """Return the hint for an entry, or a part of zoo, whose module is missing."""
    if isinstance(needing, str):
        return f'`pip install "{OURS}[{needing}]"` installs it'
    if needing.plugin.dist is None or not needing.spec.extra:
        return f"{needing.plugin.distribution} requires it"
    return f'`pip install "{needing.plugin.distribution}[{needing.spec.extra}]"` installs it'


@contextmanager
def needing_extra(needing: Needing, what: str) -> Generator[None]:
    """Convert an ImportError in the `with` block to a SpecError that explains how to install the module.

    Args:
        what: the command or entry that needs it, such as `` `zoo serve` ``.
    """
    try:
        yield
    except (MissingModule, ModuleNotFoundError) as error:
        module = error.module if isinstance(error, MissingModule) else error.name
        message = f"{what} requires {module}, which is not installed"
        raise SpecError(message, hint=how_to_install(needing)) from error
