"""Find the extra to install if a module that an entry needs is missing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from zoo.errors import MissingModule, SpecError
from zoo.registry.registry import Entry
from zoo.registry.specs import SpecWithExtra

Needing = Entry[SpecWithExtra]


def how_to_install(entry: Needing) -> str:
    """Return the hint for an entry whose module is missing."""
    if entry.plugin.dist is None or not entry.spec.extra:
        return f"{entry.plugin.distribution} requires it"
    return f'`pip install "{entry.plugin.distribution}[{entry.spec.extra}]"` installs it'


@contextmanager
def needing_extra(entry: Needing, what: str) -> Generator[None]:
    """Convert an ImportError in the `with` block to a SpecError that explains how to install the module.

    Args:
        what: the command or entry that needs it, such as `` `zoo serve` ``.
    """
    try:
        yield
    except (MissingModule, ModuleNotFoundError) as error:
        module = error.module if isinstance(error, MissingModule) else error.name
        message = f"{what} requires {module}, which is not installed"
        raise SpecError(message, hint=how_to_install(entry)) from error
