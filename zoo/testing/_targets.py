"""The plugins that a target names, and the registry in which they are checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from zoo.config.near_names import did_you_mean
from zoo.errors import UnknownName
from zoo.registry import plugins
from zoo.registry.catalog import Catalog
from zoo.registry.plugin_files import PluginFile, named_files
from zoo.registry.plugins import CORE, Plugin, our_points, owning
from zoo.registry.registry import Registry


def resolve_target(target: str, registry: Registry | None = None) -> tuple[Registry, list[str]]:
    """Return a registry with the plugins of a target, and their names. Raises UnknownName."""
    if target.endswith(".py"):
        return _one_file(Path(target))
    if registry is None:
        registry = _loaded_for(target)
    return registry, _targets(registry.plugins, target)


def _loaded_for(target: str) -> Registry:
    """Return a registry that has loaded only the plugins of a target and zoo's own.

    Otherwise, side effects of another plugin could make a check of this one fail. All plugins are loaded if
    an entry of the target needs them, such as a model for another plugin's task.
    """
    catalog = Catalog.load()
    known = plugins.discover(only=(), disabled=catalog.disabled, files=named_files())
    names = [name.partition("/")[0] for name in _targets(known, target)]
    wanted = [plugin.name for plugin in known if plugin.ours or plugin.name in names]
    registry = Registry.discover(catalog, only=wanted)
    if any(entry.plugin.name in names for entry in registry.failed_entries):
        return Registry.discover(catalog)
    return registry


def _targets(known: Sequence[Plugin], target: str) -> list[str]:
    """Resolve a target to a plugin, to some of its entries, or to the plugins of a distribution.

    Raises UnknownName.
    """
    names = [target for plugin in known if plugin.name == target.partition("/")[0]]
    if not names:
        installed = [plugin for plugin in known if plugin.dist]
        names = [plugin.name for plugin in installed if _normal(plugin.distribution) == _normal(target)]
    if not names:
        words = [word for plugin in known for word in (plugin.name, plugin.distribution)]
        plugin = target.partition("/")[0]
        raise UnknownName(
            f"unknown plugin or distribution {target!r}{did_you_mean(target, words)}",
            hint=f"`zoo plugins` lists all plugins; for a one-file plugin, run `zoo check {plugin}.py`",
        )
    return list(dict.fromkeys(names))


def _one_file(path: Path) -> tuple[Registry, list[str]]:
    if not path.is_file():
        raise UnknownName(f"no such file: {path}")
    loaded = plugins.discover(only=[path.stem.replace("_", "-")], files=[PluginFile.read(path)])
    return registry_beside(loaded[-1]), [loaded[-1].name]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


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
    others = [other for other in plugins.discover() if other.name != plugin.name]
    return Registry([*others, checked], catalog)


def with_ours(plugin: Plugin) -> list[Plugin]:
    """Return zoo's own plugins followed by another plugin, whose entries may be for zoo's tasks.

    The other plugin is marked as failed if it provides a task, group or training option that zoo already has.
    """
    names = [CORE, *(name for name, _ in our_points())]
    ours = [
        other for other in plugins.discover(only=names) if other.name in names and other.name != plugin.name
    ]
    shared: dict[str, str] = {}
    return [owning(other, shared) for other in (*ours, plugin)]
