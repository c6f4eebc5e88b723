"""The registry in which a plugin is checked."""

from __future__ import annotations

from zoo.registry.catalog import Catalog
from zoo.registry.plugins import CORE, Plugin, discover, our_points, owning
from zoo.registry.registry import Registry


def registry_beside(plugin: Plugin) -> Registry:
    """Return a registry with a plugin and zoo's own plugins, or with all plugins if an entry needs others.

    For example, a model for another plugin's task needs that plugin. Recipes and weights come from zoo and
    the plugin.
    """
    catalog = Catalog.shipped()
    registry = Registry(with_ours(plugin), catalog)
    checked = registry.plugins[-1]
    if not any(entry.plugin is checked for entry in registry.failed_entries):
        return registry
    others = [other for other in discover() if other.name != plugin.name]
    return Registry([*others, checked], catalog)


def with_ours(plugin: Plugin) -> list[Plugin]:
    """Return zoo's own plugins followed by another plugin, whose entries may be for zoo's tasks.

    The other plugin is marked as failed if it provides a task, group or training option that zoo already has.
    """
    names = [CORE, *(name for name, _ in our_points())]
    ours = [other for other in discover(only=names) if other.name in names and other.name != plugin.name]
    shared: dict[str, str] = {}
    return [owning(other, shared) for other in (*ours, plugin)]
