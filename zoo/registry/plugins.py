"""Find and load plugins one by one. A plugin that fails becomes a record with its cause, never an exception.

Each plugin gets a pluggy manager of its own, so its hooks are validated and called apart from all others, and
a plugin that fails half-way leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, cast

import pluggy

from zoo.config import options
from zoo.errors import PluginError, cause
from zoo.registry import hookspecs
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, DatasetSpec, Name, Spec

__all__ = ["API", "GROUP", "HOOKS", "OURS", "Kind", "Plugin", "discover", "load"]

GROUP = "zoo"
"""The entry-point group: `[project.entry-points.zoo]` in a plugin's pyproject.toml."""

OURS = "zoo-registry"
"""The distribution whose plugin names and entry names nobody else can take."""

API = 1
"""Version of hooks, specs and interfaces; a plugin module may declare the one it was written for as `api`."""

Kind = Literal["architecture", "dataset", "analyzer"]

HOOKS: tuple[tuple[str, Kind, type[Spec]], ...] = (
    ("zoo_architectures", "architecture", ArchitectureSpec),
    ("zoo_datasets", "dataset", DatasetSpec),
    ("zoo_analyzers", "analyzer", AnalyzerSpec),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What became of one plugin."""

    name: str
    """Its entry-point name; of a local file, its file name without the suffix."""
    status: Literal["ok", "failed", "disabled"]
    where: str
    """The module (`zoo_text.plugin`) or file it comes from."""
    dist: Distribution | None = None
    ours: bool = False
    """Whether zoo itself provides it."""
    specs: tuple[tuple[Kind, Spec], ...] = ()
    cause: str = ""
    """Why it failed, in one line."""
    trace: str = ""
    output: str = ""
    """What it printed on stdout while it was loaded."""
    import_ms: float = 0.0

    @property
    def distribution(self) -> str:
        """The distribution that provides this plugin, or the path of a local file."""
        return self.dist.metadata["Name"] if self.dist else self.where

    @property
    def version(self) -> str:
        """The distribution's version; empty for a local file."""
        return self.dist.version if self.dist else ""

    @property
    def provides(self) -> tuple[str, ...]:
        """Every entry, as `kind plugin/name`."""
        return tuple(f"{kind} {self.name}/{spec.name}" for kind, spec in self.specs)


class _Source(NamedTuple):
    """Where a plugin comes from, before it is imported."""

    name: str
    where: str
    dist: Distribution | None
    importer: Callable[[], object]


def discover(
    *, only: Sequence[str] | None = None, disabled: Sequence[str] = (), local: Sequence[Path] = ()
) -> list[Plugin]:
    """Load every plugin: zoo's own first, then the others by name, whatever the order of installation.

    Args:
        only: names to load; all others are disabled. None loads all.
        disabled: names not to load.
        local: one-file plugins, each named after its file.
    """
    ours = _our_points()
    points = _in_order(entry_points(group=GROUP), ours)
    sources = [_Source(point.name, point.value, point.dist, point.load) for point in points]
    sources += [
        _Source(path.stem.replace("_", "-"), str(path), None, partial(_import_file, path)) for path in local
    ]
    plugins: list[Plugin] = []
    owners: dict[str, Plugin] = {}
    for name, where, dist, importer in sources:
        if name in owners:
            taken = f"the name {name!r} is already taken by {owners[name].distribution}"
            plugin = Plugin(name=name, status="failed", where=where, dist=dist, cause=taken)
        elif name in disabled or (only is not None and name not in only):
            plugin = Plugin(name=name, status="disabled", where=where, dist=dist)
        else:
            plugin = load(name, importer, where=where, dist=dist)
        plugins.append(replace(plugin, ours=(name, where) in ours))
        owners.setdefault(name, plugin)
    return plugins


def load(
    name: str, importer: Callable[[], object], *, where: str, dist: Distribution | None = None
) -> Plugin:
    """Import one plugin, check its hooks and call them. Raises nothing but KeyboardInterrupt."""
    start = time.perf_counter()
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            specs, failure, trace = _specs(name, importer()), "", ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the program
        specs, failure, trace = (), cause(error), _trace()
    return Plugin(
        name=name,
        status="failed" if failure else "ok",
        where=where,
        dist=dist,
        specs=specs,
        cause=failure,
        trace=trace,
        output=output.getvalue(),
        import_ms=round((time.perf_counter() - start) * 1000, 1),
    )


def _specs(name: str, module: object) -> tuple[tuple[Kind, Spec], ...]:
    options.convert(name, cast("Any", Name), what="the plugin name")
    wanted = options.convert(getattr(module, "api", API), int, what="api")
    if wanted != API:
        raise PluginError(
            f"it was written for api {wanted} of zoo, but this zoo has api {API}: "
            f"update {'the plugin' if wanted < API else 'zoo'}"
        )
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError("; ".join(str(error).split("\n"))) from error
    if not manager.get_hookcallers(module):
        raise PluginError("it implements no hook; is each one decorated with @hookimpl?")
    specs: list[tuple[Kind, Spec]] = []
    for hook, kind, spec_type in HOOKS:
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            specs.extend((kind, spec) for spec in _returned(hook, implementation.function(), spec_type))
    _refuse_duplicates(specs)
    return tuple(specs)


def _returned(hook: str, answer: object, spec_type: type[Spec]) -> list[Spec]:
    if not isinstance(answer, Iterable):
        raise PluginError(
            f"{hook} must return a list of {spec_type.__name__} (it returned a {type(answer).__name__})"
        )
    specs: list[Spec] = []
    for spec in answer:
        if type(spec) is not spec_type:  # a subclass might skip the checks
            raise PluginError(
                f"{hook} must return only {spec_type.__name__} (it returned a {type(spec).__name__})"
            )
        specs.append(spec)
    return specs


def _refuse_duplicates(specs: Sequence[tuple[Kind, Spec]]) -> None:
    seen: set[tuple[Kind, str]] = set()
    for kind, spec in specs:
        if (kind, spec.name) in seen:
            raise PluginError(f"it provides the {kind} {spec.name!r} twice")
        seen.add((kind, spec.name))


def _trace() -> str:
    try:
        return traceback.format_exc()
    except Exception:  # an exception that cannot be turned into text
        return ""


def _our_points() -> set[tuple[str, str]]:
    """Return names and targets of zoo's own plugins."""
    try:
        points = distribution(OURS).entry_points
    except PackageNotFoundError:
        return set()
    return {(point.name, point.value) for point in points if point.group == GROUP}


def _in_order(points: Iterable[EntryPoint], ours: Collection[tuple[str, str]]) -> Iterator[EntryPoint]:
    """Yield zoo's own entry points first, then the others by name.

    Those that share a name come in the order of their distributions, whose names are slow to read.
    """

    def place(point: EntryPoint) -> tuple[bool, str]:
        return ((point.name, point.value) not in ours, point.name)

    for _, group in itertools.groupby(sorted(points, key=place), place):
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
        raise PluginError(f"there is already a module named {name!r}; rename the file {path.name}")
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
    """Return whether a module can be imported from another file (the current folder may be searched too)."""
    spec = importlib.util.find_spec(name)
    return spec is not None and Path(spec.origin or "").resolve() != path.resolve()
