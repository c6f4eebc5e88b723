"""Every option of every entry can be typed as zoo prints it."""

from __future__ import annotations

from zoo.config import options
from zoo.config.declarations import declared
from zoo.registry.registry import Registry


def test_the_defaults_of_all_options_can_be_typed_as_they_are_printed(registry: Registry) -> None:
    tried: set[tuple[int, str, str]] = set()
    for entry in registry.entries():
        if entry.kind not in ("architecture", "dataset", "analyzer"):
            continue
        known = declared(entry.load())
        usual = {name: option.default for name, option in known.items() if not option.required}
        for name, value in {**usual, **getattr(entry.spec, "config", {})}.items():
            typed, type_ = options.text(value), known[name].type
            if (once := (id(type_), name, typed)) not in tried:
                tried.add(once)
                read = options.convert(options.Typed(typed), type_, what=name)
                assert read == options.convert(value, type_, what=name), f"{entry.name}: {name}"
    assert len(tried) > 50
