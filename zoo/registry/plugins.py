"""Find and load plugins, one by one. A plugin that fails becomes a record with its cause, never an exception.

Each plugin gets a pluggy manager of its own. So its hooks are validated and called apart from everyone
else's, and a plugin that fails half-way leaves nothing behind.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

import pluggy

from zoo.errors import PluginError
from zoo.registry import hookspecs
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, DatasetSpec, Spec

__all__ = ["API", "GROUP", "HOOKS", "Kind", "Plugin", "discover", "load"]

GROUP = "zoo"
"""The entry-point group: `[project.entry-points.zoo]` in a plugin's pyproject.toml."""

API = 1
"""The version of hooks, specs and interfaces; a plugin module's `api` says which one it was written for."""

Kind = Literal["architecture", "dataset", "analyzer"]

HOOKS: tuple[tuple[str, Kind, type[Spec]], ...] = (
    ("zoo_architectures", "architecture", ArchitectureSpec),
    ("zoo_datasets", "dataset", DatasetSpec),
    ("zoo_analyzers", "analyzer", AnalyzerSpec),
)

_NAME = re.compile(r"[a-z0-9]+([._+-]+[a-z0-9]+)*\+*")  # such as grad-cam++


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What became of one plugin."""

    name: str
    status: Literal["ok", "failed", "disabled"]
    where: str
    """The module (`zoo_text.plugin`) or file it comes from."""
    dist: Distribution | None = None
    specs: tuple[tuple[Kind, Spec], ...] = ()
    cause: str = ""
    trace: str = ""
    import_ms: float = 0.0

    @property
    def distribution(self) -> str:
        """The distribution that brings this plugin, or the path of a local file."""
        return self.dist.metadata["Name"] if self.dist else self.where

    @property
    def version(self) -> str:
        """The distribution's version; empty for a local file."""
        return self.dist.version if self.dist else ""

    @property
    def provides(self) -> tuple[str, ...]:
        """Every entry, as `kind plugin/name`."""
        return tuple(f"{kind} {self.name}/{spec.name}" for kind, spec in self.specs)


class _Found(NamedTuple):
    name: str
    where: str
    dist: Distribution | None
    importer: Callable[[], object]


def discover(
    *, only: Sequence[str] | None = None, disabled: Sequence[str] = (), local: Sequence[Path] = ()
) -> list[Plugin]:
    """Load every plugin in name order, whatever the order of installation.

    Args:
        only: names to load, all others being disabled; None loads all.
        disabled: names to leave alone.
        local: one-file plugins, each named after its file.
    """
    found = [
        _Found(point.name, point.value, point.dist, point.load)
        for point in _in_order(entry_points(group=GROUP))
    ]
    found += [
        _Found(path.stem.replace("_", "-"), str(path), None, partial(_import_file, path)) for path in local
    ]

    plugins: list[Plugin] = []
    owners: dict[str, Plugin] = {}
    for name, where, dist, importer in found:
        if name in owners:
            taken = f"the name {name!r} is already taken by {owners[name].distribution}"
            plugins.append(Plugin(name=name, status="failed", where=where, dist=dist, cause=taken))
            continue
        if name in disabled or (only is not None and name not in only):
            plugin = Plugin(name=name, status="disabled", where=where, dist=dist)
        else:
            plugin = load(name, importer, where=where, dist=dist)
        owners[name] = plugin
        plugins.append(plugin)
    return plugins


def load(
    name: str, importer: Callable[[], object], *, where: str, dist: Distribution | None = None
) -> Plugin:
    """Import one plugin, check its hooks and call them. Never raises, Ctrl-C apart."""
    start = time.perf_counter()
    try:
        specs, cause, trace = _specs(name, importer()), "", ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the program
        specs, cause, trace = (), _cause(error), traceback.format_exc()
    return Plugin(
        name=name,
        status="failed" if cause else "ok",
        where=where,
        dist=dist,
        specs=specs,
        cause=cause,
        trace=trace,
        import_ms=round((time.perf_counter() - start) * 1000, 1),
    )


def _specs(name: str, module: object) -> tuple[tuple[Kind, Spec], ...]:
    if not _NAME.fullmatch(name):
        raise PluginError(f"the plugin name {name!r} is not lower-case letters, digits and - . _ +")
    wanted = getattr(module, "api", API)
    if wanted != API:
        older = isinstance(wanted, int) and wanted < API
        raise PluginError(
            f"it is written for api {wanted!r} of zoo, and this zoo has api {API}: "
            f"update {'the plugin' if older else 'zoo'}"
        )
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError("; ".join(str(error).split("\n"))) from error
    if not manager.get_hookcallers(module):
        raise PluginError("it implements no hook; is there an @hookimpl above each?")
    specs: list[tuple[Kind, Spec]] = []
    for hook, kind, spec_type in HOOKS:
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            specs.extend((kind, spec) for spec in _checked(hook, implementation.function(), spec_type))
    _refuse_duplicates(specs)
    return tuple(specs)


def _checked(hook: str, answer: object, spec_type: type[Spec]) -> list[Spec]:
    if not isinstance(answer, Iterable):
        raise PluginError(f"{hook} returned a {type(answer).__name__}, not a list of {spec_type.__name__}")
    specs: list[Spec] = []
    for spec in answer:
        if not isinstance(spec, spec_type):
            raise PluginError(f"{hook} returned a {type(spec).__name__}, not a {spec_type.__name__}")
        if not _NAME.fullmatch(spec.name):
            raise PluginError(f"{hook}: the name {spec.name!r} is not lower-case letters, digits and - . _ +")
        specs.append(spec)
    return specs


def _refuse_duplicates(specs: Sequence[tuple[Kind, Spec]]) -> None:
    seen: set[tuple[Kind, str]] = set()
    for kind, spec in specs:
        if (kind, spec.name) in seen:
            raise PluginError(f"the {kind} {spec.name!r} is given twice")
        seen.add((kind, spec.name))


def _cause(error: BaseException) -> str:
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _in_order(points: Iterable[EntryPoint]) -> Iterator[EntryPoint]:
    """Yield entry points by name, and those of one name by distribution, whose name takes long to read."""
    for _, group in itertools.groupby(sorted(points, key=lambda point: point.name), lambda point: point.name):
        same = list(group)
        yield from sorted(same, key=_distribution) if len(same) > 1 else same


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name if point.dist else "", point.value)


def _import_file(path: Path) -> ModuleType:
    name = path.stem
    if not path.is_file():
        raise PluginError(f"no such file: {path}")
    loaded = sys.modules.get(name)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or "") == path:
        return loaded
    if loaded is not None or _is_elsewhere(name, path):
        raise PluginError(f"a module named {name!r} exists already; rename the file {path.name}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that the targets "name:Class" resolve
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_elsewhere(name: str, path: Path) -> bool:
    """Say whether a module can be imported from another file (the current folder may be searched too)."""
    spec = importlib.util.find_spec(name)
    return spec is not None and Path(spec.origin or "").resolve() != path.resolve()
