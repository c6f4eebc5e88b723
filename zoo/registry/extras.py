"""What to install where a module is missing that an entry needs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from zoo.errors import MissingModule, SpecError
from zoo.registry.registry import Entry
from zoo.registry.specs import CommandSpec, ExporterSpec

Needing = Entry[CommandSpec] | Entry[ExporterSpec]


def how_to_install(entry: Needing) -> str:
    """Return what to type where a module is missing that an entry needs."""
    if entry.plugin.dist is None or not entry.spec.extra:
        return f"it is {entry.plugin.distribution} that needs it"
    return f'`pip install "{entry.plugin.distribution}[{entry.spec.extra}]"` installs it'


@contextmanager
def needing_extra(entry: Needing, what: str) -> Generator[None]:
    """Raise SpecError for a module that is missing inside, and say what installs it.

    Args:
        what: what needs it, such as `` `zoo serve` ``.
    """
    try:
        yield
    except (MissingModule, ModuleNotFoundError) as error:
        module = error.module if isinstance(error, MissingModule) else error.name
        message = f"{what} requires {module}, which is not installed"
        raise SpecError(message, hint=how_to_install(entry)) from error
