"""The registry that a plugin is checked in."""

from __future__ import annotations

from zoo.registry import plugins
from zoo.registry.catalog import Catalog
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry

__all__ = ["registry_beside"]


def registry_beside(plugin: Plugin) -> Registry:
    """Return a registry of a plugin and zoo's own, or of all plugins if an entry needs other plugins.

    For example, a model for another plugin's task needs that plugin. Recipes and weights come from zoo and
    the plugin.
    """
    catalog = Catalog.shipped()
    registry = Registry(plugins.with_ours(plugin), catalog)
    owning = registry.plugins[-1]
    if not any(entry.plugin is owning for entry in registry.failed_entries):
        return registry
    others = [other for other in plugins.discover() if other.name != plugin.name]
    return Registry([*others, owning], catalog)
