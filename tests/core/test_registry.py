"""Names: full, short, ambiguous, unknown."""

from __future__ import annotations

import pytest

from zoo.errors import AmbiguousName, PluginError, UnknownName
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry, matches
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, DatasetSpec


def net(name: str) -> tuple[str, ArchitectureSpec]:
    return "architecture", ArchitectureSpec(name=name, target="m:N", task="classification", summary="")


def plugin(name: str, *specs: tuple, **changes: str) -> Plugin:
    return Plugin(**({"name": name, "status": "ok", "where": f"{name}.plugin", "specs": specs} | changes))


DATA = ("dataset", DatasetSpec(name="lstm", target="m:D", task="classification", summary=""))
CAM = ("analyzer", AnalyzerSpec(name="cam", target="m:C", summary="", tasks=("classification",)))
TWO = Registry([plugin("acme", net("lstm"), net("gru"), DATA), plugin("text", net("lstm"), CAM)])


@pytest.mark.parametrize("name", ["gru", "acme/gru"])
def test_a_unique_short_name_and_the_full_name_find_the_entry(name: str) -> None:
    assert TWO.architecture(name).name == "acme/gru"


def test_a_short_name_of_two_owners_is_refused_with_both_full_names() -> None:
    with pytest.raises(AmbiguousName) as caught:
        TWO.architecture("lstm")
    assert str(caught.value) == "'lstm' is provided by acme and text; write acme/lstm or text/lstm"
    assert TWO.architecture("text/lstm").plugin.name == "text"


def test_a_name_is_looked_up_within_its_kind() -> None:
    assert TWO.dataset("lstm").name == "acme/lstm"
    assert TWO.analyzer("cam").name == "text/cam"
    with pytest.raises(UnknownName, match="no dataset 'gru'"):
        TWO.dataset("gru")


@pytest.mark.parametrize(("name", "near"), [("grru", "gru"), ("acme/gur", "acme/gru")])
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownName) as caught:
        TWO.architecture(name)
    assert str(caught.value) == f"no architecture {name!r}; did you mean {near!r}?"
    assert caught.value.hint == "`zoo list architecture` shows all"


def test_an_unknown_name_mentions_plugins_that_failed() -> None:
    broken = plugin("broken", status="failed", cause="ImportError: no nothing")
    registry = Registry([plugin("acme", net("gru")), broken])
    with pytest.raises(UnknownName) as caught:
        registry.architecture("resnet")
    assert "failed to load: broken" in (caught.value.hint or "")
    with pytest.raises(PluginError, match=r"broken \(broken.plugin\): ImportError: no nothing"):
        registry.require_healthy()


def test_entries_keep_the_order_of_plugins_and_can_be_narrowed() -> None:
    assert [entry.name for entry in TWO.entries("architecture")] == ["acme/lstm", "acme/gru", "text/lstm"]
    assert [entry.name for entry in TWO.entries(pattern="acme/")] == ["acme/lstm", "acme/gru", "acme/lstm"]
    assert [entry.name for entry in TWO.entries("architecture", "g?u")] == ["acme/gru"]


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("net", True), ("convnet/", True), ("resnet*", True), ("*net20", True), ("resnet", True), ("gru", False),
     ("resnet?", False), ("convnet/resnet[0-9]*", True)],
)  # fmt: skip
def test_a_pattern_is_a_part_of_the_name_or_a_glob(pattern: str, fits: bool) -> None:
    assert matches("convnet/resnet20", pattern) is fits
