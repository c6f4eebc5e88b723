"""Every option of every entry can be typed as zoo prints it."""

from __future__ import annotations

from typing import Any

import pytest

from zoo.config import options
from zoo.config.declarations import declared
from zoo.registry.registry import Entry, Registry

KINDS = ("architecture", "dataset", "analyzer")
ENTRIES = [entry for entry in Registry.discover().entries() if entry.kind in KINDS]


@pytest.mark.parametrize("entry", ENTRIES, ids=[f"{entry.kind} {entry.name}" for entry in ENTRIES])
def test_the_default_of_an_option_can_be_typed_as_it_is_printed(entry: Entry[Any]) -> None:
    target = entry.load()
    known = declared(target)
    usual = {name: option.default for name, option in known.items() if not option.required}
    for name, value in {**usual, **getattr(entry.spec, "config", {})}.items():
        read = options.convert(options.Typed(options.text(value)), known[name].type, what=name)
        assert read == options.convert(value, known[name].type, what=name)
