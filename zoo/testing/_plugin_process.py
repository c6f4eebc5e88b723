"""The process in which a plugin is checked; see `zoo.testing._isolation`, which starts it.

It reads the request, a line of JSON, from stdin, and writes a line of JSON for each message to a separate
descriptor, so that a plugin's output is not mistaken for a message.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.console.terminal import warnings_as_lines
from zoo.distributed.parent import end_with
from zoo.errors import ZooError
from zoo.registry.name_index import KINDS
from zoo.registry.registry import Registry
from zoo.testing._outcomes import Outcome
from zoo.testing._suite import Suite
from zoo.testing.checked_plugins import resolve_target

# `what` it is, and fields of its own: `begun`, `checking`, `outcome`, `notice`, `refused` or `done`
Message = dict[str, Any]


def messages(
    target: str,
    *,
    thorough: bool = False,
    strict: bool = False,
    registry: Registry | None = None,
    done: Sequence[Outcome] = (),
) -> Generator[Message]:
    """Check a target, and yield messages: one when each check begins, then one with its outcome.

    Args:
        strict: do not run any check if an installed plugin fails to load.
        done: outcomes of checks that have already run and are not run again.
    """
    try:
        if strict:
            registry = registry or Registry.discover()
            registry.require_healthy()
        registry, names = resolve_target(target, registry)
        suites = [Suite(registry, name, thorough=thorough, done=done) for name in names]
    except ZooError as error:
        yield {"what": "refused", "class": type(error).__name__, "message": str(error), "hint": error.hint}
        return
    plugins = [
        {"name": plugin.name, "distribution": Path(plugin.distribution).name, "version": plugin.version}
        for plugin in (suite.plugin for suite in suites)
    ]
    yield {"what": "begun", "plugins": plugins, "total": sum(len(suite.items) for suite in suites)}
    entries = {outcome.entry for outcome in done}
    for suite in suites:
        for name in suite.left:
            about = suite.about(name)
            entries.add(about["entry"])
            yield {"what": "checking", **about, "expected": suite.expected.get(name)}
            yield {"what": "outcome", **asdict(suite.outcome(name))}
    for line in _shared_names(registry, entries):
        yield {"what": "notice", "text": line}
    yield {"what": "done"}


def _shared_names(registry: Registry, checked: Collection[str]) -> list[str]:
    """Return a line for each checked entry, recipe or weights whose short name refers to a different one."""
    lines: list[str] = []
    for kind in KINDS:
        for short in registry.names.words(kind):
            first, *others = registry.names.matching(short, kind)
            meant = first.name if "/" in first.name else f"the {kind} in registry.toml"
            lines += [
                f"{short!r} refers to {meant}, so users of the {kind} {other.name} must write its full name"
                for other in others
                if other.place > first.place and {other.name, other.name.partition("/")[0]} & {*checked}
            ]
    return lines


def _write(found: Iterable[Message], descriptor: int) -> None:
    for message in found:
        os.write(descriptor, json.dumps(message).encode() + b"\n")
        gc.collect()  # models that refer to themselves, or those of all checks would count against the next
        gc.freeze()  # what is left, which would be searched again each time


def main() -> None:
    """Run the checks requested on stdin."""
    asked = json.load(sys.stdin)
    end_with(asked["parent"])
    done = [Outcome(**outcome) for outcome in asked["done"]]
    with warnings_as_lines(printed=False):
        _write(
            messages(asked["target"], thorough=asked["thorough"], strict=asked["strict"], done=done),
            asked["descriptor"],
        )
    os._exit(0)  # whatever a plugin wants to do at the end, or waits for in a thread
