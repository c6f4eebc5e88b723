"""Hints for errors that zoo did not raise, which recommend checking the plugins in use."""

from __future__ import annotations

import contextlib
import shlex
import traceback
from collections.abc import Generator, Iterable

from zoo.errors import ZooError
from zoo.registry.plugins import LOCAL, Plugin
from zoo.registry.registry import Registry


def advice(plugins: Iterable[Plugin]) -> str:
    """Return a hint that `zoo check PLUGIN` may explain an error; empty if all plugins are zoo's own."""
    others = [plugin for plugin in plugins if not plugin.ours and plugin.name != LOCAL]
    commands = [f"`zoo check {shlex.quote(p.name if p.dist else p.where)}`" for p in others]
    return f"{' or '.join(dict.fromkeys(commands))} may explain this error" if commands else ""


@contextlib.contextmanager
def advising(registry: Registry, *names: str | None) -> Generator[None]:
    """For errors that zoo did not raise, and for `sys.exit()`, add a hint to check the plugins in use.

    The hint names the plugins whose code raised the error, or called the code that did; if there are none,
    it names the plugins of the entries in use.

    Args:
        names: names of the entries in use; the hint does not mention zoo's own plugins.
    """
    try:
        yield
    except ZooError:
        raise
    except (Exception, SystemExit) as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        running = {frame.f_code.co_filename for frame in frames}
        running |= {str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames}
        blamed = [p for p in registry.plugins if {p.where, p.where.partition(".")[0]} & running]
        used = [entry.plugin for entry in registry.entries() if {entry.name, entry.spec.name} & {*names}]
        if note := advice(blamed) or advice(used):
            error.add_note(note)
        raise
