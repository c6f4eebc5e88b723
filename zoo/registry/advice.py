"""Hints for errors that zoo did not raise, which recommend checking the plugins in use."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Generator, Iterable

from zoo.errors import ZooError
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry


def advice(plugins: Iterable[Plugin]) -> str:
    """Return a hint that `zoo check PLUGIN` may explain an error; empty if all plugins are zoo's own."""
    others = [plugin for plugin in plugins if not plugin.ours]
    commands = [f"`zoo check {shlex.quote(p.name if p.dist else p.where)}`" for p in others]
    return f"{' or '.join(dict.fromkeys(commands))} may explain this error" if commands else ""


@contextlib.contextmanager
def advising(registry: Registry, *names: str | None) -> Generator[None]:
    """For errors that zoo did not raise, and for `sys.exit()`, add a hint to check the plugins in use.

    Args:
        names: names of the entries in use; the hint does not mention zoo's own plugins.
    """
    try:
        yield
    except ZooError:
        raise
    except (Exception, SystemExit) as error:
        used = [entry.plugin for entry in registry.entries() if {entry.name, entry.spec.name} & {*names}]
        if note := advice(used):
            error.add_note(note)
        raise
