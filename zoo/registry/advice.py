"""What to do about an error that is not zoo's own: check the plugin whose code may have raised it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Generator

from zoo.errors import ZooError
from zoo.registry.registry import Registry

__all__ = ["advising"]


@contextlib.contextmanager
def advising(registry: Registry, *names: str | None) -> Generator[None]:
    """Add a note to an error that is not zoo's own, or a `sys.exit()`: `zoo check PLUGIN` may explain it.

    Args:
        names: names of the entries in use; zoo's own plugins are not suggested.
    """
    try:
        yield
    except ZooError:
        raise
    except (Exception, SystemExit) as error:
        used = [
            e.plugin for e in registry.entries() if not e.plugin.ours and {e.name, e.spec.name} & {*names}
        ]
        commands = [f"`zoo check {shlex.quote(p.name if p.dist else p.where)}`" for p in used]
        if commands:
            error.add_note(f"{' or '.join(dict.fromkeys(commands))} may explain it")
        raise
