"""Functions of the public API that a first-party plugin implements."""

from __future__ import annotations

import pytest

from zoo.errors import PluginError
from zoo.registry.catalog import Catalog
from zoo.registry.provided import provided
from zoo.registry.registry import Registry


def test_a_function_of_a_loaded_plugin_is_found() -> None:
    registry = Registry.discover(Catalog(), only=["diagnose"])
    found = provided("zoo_diagnose.plugin", "zoo_analyzers", registry)
    assert found.__module__ == "zoo_diagnose.plugin"


def test_a_plugin_that_is_not_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "text")
    with pytest.raises(
        PluginError, match="the plugin 'diagnose' is required, but it is not loaded"
    ) as caught:
        provided("zoo_diagnose.plugin", "zoo_analyzers", Registry.discover(Catalog()))
    assert caught.value.hint == "`zoo plugins` shows which plugins are loaded; $ZOO_PLUGINS loads only text"
