"""From a target's name to the plugins to check."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from zoo.config.arguments import checked
from zoo.console.progress import Bar, quiet
from zoo.errors import UnknownName, did_you_mean, warn
from zoo.registry import plugins
from zoo.registry.catalog import Catalog
from zoo.registry.names import KINDS
from zoo.registry.plugin_files import PluginFile, named_files
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry
from zoo.testing._beside import registry_beside
from zoo.testing._outcomes import Outcome, in_words
from zoo.testing._report import require_format, write_report
from zoo.testing._suite import run_checks

__all__ = ["check", "loaded_for", "resolve_target"]


@checked
def check(
    target: str, *, progress: bool = True, registry: Registry | None = None, report: Path | str | None = None
) -> list[Outcome]:
    """Run the contract kit on a plugin.

    Args:
        target: a plugin, a distribution, the path of a one-file plugin, or `plugin/pattern` for some entries.
        progress: show progress on stderr, or in the notebook.
        registry: where the plugin is; by default it is found among installed plugins and registry.toml, and
            loaded with zoo's own plugins only, unless it needs what another provides.
        report: file to write a report to that can be published, as its suffix .md or .json says.

    Returns:
        The outcome of each check, which `zoo.testing.shortfall` judges as a whole.

    Raises:
        UnknownName: there is no such plugin, distribution, entry or file.
        PluginError: the plugin is disabled.
        OptionError: the report has another suffix.
        OutputError: there is no folder to write the report to.
        OSError: the report cannot be written.
    """
    if report is not None:
        require_format(Path(report))
    registry, names = resolve_target(target, registry)
    outcomes: list[Outcome] = []
    with Bar() if progress else quiet() as bar:

        def finished(own: list[Outcome]) -> None:
            if isinstance(bar, Bar):
                bar.note(f"{own[0].entry}: {in_words(own)}")

        for name in names:
            outcomes += run_checks(registry, name, report=bar, finished=finished)
    for notice in _shared_names(registry, {outcome.entry for outcome in outcomes}):
        warn(notice)
    if report is not None:
        checked = {outcome.plugin for outcome in outcomes}
        write_report(Path(report), target, [p for p in registry.plugins if p.name in checked], outcomes)
    return outcomes


def resolve_target(target: str, registry: Registry | None = None) -> tuple[Registry, list[str]]:
    """Return the registry that has the plugins behind a target, and their names. Raises UnknownName."""
    if target.endswith(".py"):
        return _one_file(Path(target))
    if registry is None:
        registry = loaded_for(target)
    return registry, _targets(registry.plugins, target)


def loaded_for(target: str) -> Registry:
    """Return a registry that has loaded the plugins behind a target and zoo's own, and no others.

    A neighbor that changes the process would otherwise fail an innocent plugin. All are loaded if an entry
    of the target cannot be used without them, such as a model for another plugin's task.
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
    """Return a target that is a plugin or some of its entries, or the plugins of a distribution.

    Raises UnknownName.
    """
    names = [target for plugin in known if plugin.name == target.partition("/")[0]]
    if not names:
        installed = [plugin for plugin in known if plugin.dist]
        names = [plugin.name for plugin in installed if _normal(plugin.distribution) == _normal(target)]
    if not names:
        words = [word for plugin in known for word in (plugin.name, plugin.distribution)]
        raise UnknownName(
            f"unknown plugin or distribution {target!r}{did_you_mean(target, words)}",
            hint="`zoo plugins` shows all; name a one-file plugin by its path, which ends in .py",
        )
    return list(dict.fromkeys(names))


def _shared_names(registry: Registry, checked: Collection[str]) -> list[str]:
    """Return a line for each entry, recipe and weights checked whose short name means another one."""
    lines: list[str] = []
    for kind in KINDS:
        for short in registry.names.words(kind):
            first, *others = registry.names.matching(short, kind)
            meant = first.name if "/" in first.name else f"the {kind} of registry.toml"
            lines += [
                f"{short!r} means {meant}, so users of the {kind} {other.name} must write its full name"
                for other in others
                if other.place > first.place and {other.name, other.name.partition("/")[0]} & {*checked}
            ]
    return lines


def _one_file(path: Path) -> tuple[Registry, list[str]]:
    if not path.is_file():
        raise UnknownName(f"no such file: {path}")
    loaded = plugins.discover(only=[path.stem.replace("_", "-")], files=[PluginFile.read(path)])
    return registry_beside(loaded[-1]), [loaded[-1].name]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
