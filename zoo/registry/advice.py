"""Hints for errors that zoo did not raise: check the plugin whose code may have raised them."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Generator, Iterable

from zoo.errors import ZooError
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry


def advice(plugins: Iterable[Plugin]) -> str:
    """Return the hint that `zoo check PLUGIN` may explain an error; empty if all plugins are zoo's own."""
    others = [plugin for plugin in plugins if not plugin.ours]
    commands = [f"`zoo check {shlex.quote(p.name if p.dist else p.where)}`" for p in others]
    return f"{' or '.join(dict.fromkeys(commands))} may explain it" if commands else ""


@contextlib.contextmanager
def advising(registry: Registry, *names: str | None) -> Generator[None]:
    """Add the note that `zoo check PLUGIN` may explain it to a `sys.exit()` or an error not raised by zoo.

    Args:
        names: names of the entries in use; zoo's own plugins are not suggested.
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
