"""Functions of the public API that a first-party plugin implements."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from zoo.errors import PluginError
from zoo.registry.registry import Registry


def provided(module: str, name: str, registry: Registry) -> Any:
    """Return an object from a module of a first-party plugin, such as `export` of `zoo_export.exporting`.

    Raises PluginError if that plugin is not installed or not loaded.
    """
    package = module.partition(".")[0]
    plugin = package.removeprefix("zoo_")
    loaded = [found.where for found in registry.plugins if found.ours and found.status == "ok"]
    if f"{package}.plugin" not in loaded:
        hint = f"`zoo plugins` shows which plugins are loaded{registry.left_out('; {}')}"
        raise PluginError(f"the plugin {plugin!r} is required, but it is not loaded", hint=hint)
    return getattr(import_module(module), name)
