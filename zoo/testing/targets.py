"""From a target's name to the plugins to check."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.api.progress import Bar, quiet
from zoo.config.arguments import checked
from zoo.errors import UnknownName, did_you_mean, warn
from zoo.registry import plugins
from zoo.registry.registry import Registry
from zoo.registry.trust import LocalFile
from zoo.testing._outcomes import Outcome
from zoo.testing._suite import run_checks

__all__ = ["check", "resolve_target"]


@checked
def check(target: str, *, progress: bool = True, registry: Registry | None = None) -> list[Outcome]:
    """Run the contract kit on a plugin.

    Args:
        target: a plugin, a distribution, the path of a one-file plugin, or `plugin/pattern` for some entries.
        progress: show progress on stderr, or in the notebook.
        registry: where the plugin is; by default, installed plugins and registry.toml.

    Returns:
        The outcome of each check, which `zoo.testing.shortfall` judges as a whole.

    Raises:
        UnknownName: there is no such plugin, distribution, entry or file.
        PluginError: the plugin is disabled.
    """
    registry, names = resolve_target(target, registry)
    with Bar() if progress else quiet() as bar:
        outcomes = [outcome for name in names for outcome in run_checks(registry, name, report=bar)]
    for name in dict.fromkeys(outcome.plugin for outcome in outcomes):
        _warn_of_namesakes(registry, name)
    return outcomes


def _warn_of_namesakes(registry: Registry, plugin: str) -> None:
    """Warn of the short names of a plugin that others have too, so that users must write the full ones."""
    listed = [(entry.kind, entry.name) for entry in registry.entries()]
    listed += [(layer.kind, name) for layer in (registry.recipes, registry.weights) for name in layer]
    owners: dict[tuple[str, str], list[str]] = {}
    for kind, name in listed:
        owners.setdefault((kind, name.rpartition("/")[2]), []).append(name)
    shared = [names for names in owners.values() if any(name.startswith(f"{plugin}/") for name in names)]
    taken = [" and ".join(names) for names in shared if len(names) > 1]
    if taken and not any(other.ours for other in registry.plugins if other.name == plugin):
        warn(f"names that others have too, so that users must write them in full: {', '.join(taken)}")


def resolve_target(target: str, registry: Registry | None = None) -> tuple[Registry, list[str]]:
    """Return the registry that has the plugins behind a target, and their names. Raises UnknownName."""
    if target.endswith(".py"):
        return _one_file(Path(target))
    registry = Registry.discover() if registry is None else registry
    names = [target for plugin in registry.plugins if plugin.name == target.partition("/")[0]]
    if not names:
        installed = [plugin for plugin in registry.plugins if plugin.dist]
        names = [plugin.name for plugin in installed if _normal(plugin.distribution) == _normal(target)]
    if not names:
        known = [word for plugin in registry.plugins for word in (plugin.name, plugin.distribution)]
        raise UnknownName(
            f"unknown plugin or distribution {target!r}{did_you_mean(target, known)}",
            hint="`zoo plugins` shows all; name a one-file plugin by its path, which ends in .py",
        )
    return registry, list(dict.fromkeys(names))


def _one_file(path: Path) -> tuple[Registry, list[str]]:
    if not path.is_file():
        raise UnknownName(f"no such file: {path}")
    file = LocalFile.read(path.resolve())  # the user names the code, so it may run
    loaded = plugins.discover(only=[path.stem.replace("_", "-")], local=[file])
    return Registry(plugins.with_ours(loaded[-1])), [loaded[-1].name]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
