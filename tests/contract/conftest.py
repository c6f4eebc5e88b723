"""Which checks wait: for the night those of imports, and of all presets of a class but one."""

from __future__ import annotations

import pytest

from zoo.registry.registry import Registry
from zoo.registry.specs import ArchitectureSpec

# Alone in its class, but its 21 million parameters take minutes
_LARGE = "resnet34-cam"
# The model that stands for all of timm's, which have one class
_OF_TIMM = "test_resnet"


def _checked_each_time() -> set[str]:
    """Return an architecture for each class: the one that sets no arguments, or else the first."""
    found: dict[str, str] = {}
    for entry in Registry.discover().entries_of(ArchitectureSpec):
        if not entry.spec.config:
            found[entry.spec.target] = entry.spec.name
        found.setdefault(entry.spec.target, entry.spec.name)
    return {*found.values(), _OF_TIMM} - {_LARGE}


# Checks that start processes for each plugin: what they find changes with its imports alone
_OF_IMPORTS = ("import_changes_nothing", "imports_offline", "imports_quickly")
# Checks that take seconds for each entry, and the entries for which they run each time
_SLOW = {
    "exports": ("rnn", "resnet-lite"),
    "fingerprint_follows_the_data": ("mnist", "shapes", "stdlib"),
    "works_offline": ("mnist", "shapes", "stdlib"),
}
# A check that starts a process that imports timm, as it does each time for `_OF_TIMM`
_AGAIN = ("test_vit", "saves_and_loads")
# Formats, whose checks start processes that import torch, and real images: `shapes` has the same checks
_LONG = ("onnx", "pt2", "cifar10")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    presets = {entry.spec.name for entry in Registry.discover().entries_of(ArchitectureSpec)}
    by_night = presets - _checked_each_time()
    for item in items:
        if isinstance(item, pytest.Function) and "check" in item.fixturenames:
            entry, _, check = item.callspec.id.rpartition("-")
            if entry in by_night or check in _OF_IMPORTS:
                item.add_marker(pytest.mark.nightly)
            elif entry in _LONG or entry not in _SLOW.get(check, (entry,)) or (entry, check) == _AGAIN:
                item.add_marker(pytest.mark.slow)
