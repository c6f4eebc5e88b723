"""Find and load plugins one by one.

If a plugin fails, the cause is recorded, and no exception is raised. Each plugin has a separate pluggy
manager, so its hooks are validated and called separately, and a plugin that fails partway leaves no hooks
registered.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import msgspec
import pluggy
from msgspec.structs import replace

from zoo.config import options
from zoo.config.near_names import did_you_mean
from zoo.config.recipe import Recipe
from zoo.config.train_config import fields_of
from zoo.errors import OptionError, PluginError, cause, printable
from zoo.registry import hookspecs
from zoo.registry.hookspecs import HOOKS, Kind
from zoo.registry.plugin_files import PluginFile
from zoo.registry.plugin_output import printing_to
from zoo.registry.published import PUBLISHING, WeightsSpec, published
from zoo.registry.specs import ExporterSpec, FieldsSpec, Name, Spec

# The entry-point group: `[project.entry-points.zoo]` in a plugin's pyproject.toml
GROUP = "zoo"

# The name and the module of zoo's own entries, which are always registered
CORE, ENTRIES = "zoo", "zoo.entries"

# The name of a plugin for the classes and the data of a Python session, which no other plugin can have
LOCAL = "local"

# The distribution whose plugin names and entry names nobody else can take
OURS = "zoo-registry"

# Version of hooks, specs and interfaces; a plugin module may declare the one it was written for as `api`
API = 1

# The folder of zoo itself, as a traceback has it
_ZOO = f"{Path(__file__).parents[1]}{os.sep}"

# The attribute of a one-file plugin's module that says which content of the file it is
_SHA256 = "__zoo_sha256__"


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """The result of loading one plugin.

    Attributes:
        name: its entry-point name; for a one-file plugin, the file name without the suffix.
        where: the module (`zoo_text.plugin`) or file that it comes from.
        ours: whether it is one of zoo's own plugins.
        recipes: recipes that it publishes, by full name, such as `acme/tiny`.
        weights: weights that it publishes, by full id.
        cause: reason that it failed to load, on one line.
        sha256: sha256 of a one-file plugin's content.
        output: text that it printed to stdout while it was loaded.
    """

    name: str
    status: Literal["ok", "failed", "disabled"]
    where: str
    sha256: str = ""
    dist: Distribution | None = None
    ours: bool = False
    specs: tuple[tuple[Kind, Spec], ...] = ()
    recipes: Mapping[str, Recipe] = {}
    weights: Mapping[str, WeightsSpec] = {}
    cause: str = ""
    trace: str = ""
    output: str = ""
    import_ms: float = 0.0

    @property
    def distribution(self) -> str:
        """The distribution that provides this plugin, or the path of a one-file plugin."""
        return self.dist.metadata["Name"] if self.dist else self.where

    @property
    def version(self) -> str:
        """The distribution's version; empty for a one-file plugin."""
        return self.dist.version if self.dist else ""

    @property
    def edition(self) -> str:
        """The distribution and its version; for a file or a session, its name and a hash of its source."""
        named = (self.distribution, self.version) if self.dist else (Path(self.where).name, self.sha256[:16])
        return " ".join(named).strip()

    @property
    def provides(self) -> tuple[str, ...]:
        """Every entry, recipe and weights, as `kind plugin/name`."""
        entries = [f"{kind} {self.name}/{spec.name}" for kind, spec in self.specs]
        recipes = [f"recipe {name}" for name in self.recipes]
        return (*entries, *recipes, *(f"weights {id_}" for id_ in self.weights))


def discover(
    *, only: Sequence[str] | None = None, disabled: Sequence[str] = (), files: Sequence[PluginFile] = ()
) -> list[Plugin]:
    """Load zoo's own entries, then every plugin: first zoo's, then the others by name.

    Args:
        only: names of plugins to load; all others are disabled. By default, all are loaded.
        disabled: names of plugins not to load.
        files: one-file plugins, each named after its file.
    """
    ours = our_points()
    core = Plugin(name=CORE, status="disabled", where=ENTRIES, dist=_our_distribution(), ours=True)
    found: list[tuple[Plugin, Callable[[], object]]] = [(core, partial(import_module, ENTRIES))]
    for point in _points(ours):
        own = (point.name, point.value) in ours
        plugin = Plugin(name=point.name, status="disabled", where=point.value, dist=point.dist, ours=own)
        found.append((plugin, point.load))
    for file in files:
        plugin = Plugin(name=file.name, status="disabled", where=str(file.path), sha256=file.sha256)
        found.append((plugin, partial(_import_file, file)))
    shared: dict[str, str] = {}
    plugins: list[Plugin] = []
    for plugin, importer in found:
        name = plugin.name
        if first := next((other for other in plugins if other.name == name), None):
            taken = f"the name {name!r} is already taken by {first.distribution}"
            plugin = replace(plugin, status="failed", cause=taken)
        elif name == LOCAL:
            plugin = replace(plugin, status="failed", cause=f"no plugin can be called {LOCAL!r}")
        elif plugin is core or (name not in disabled and (only is None or name in only)):
            loaded = load(name, importer, where=plugin.where, dist=plugin.dist)
            plugin = owning(replace(loaded, sha256=plugin.sha256, ours=plugin.ours), shared)
        plugins.append(plugin)
    return plugins


def owning(plugin: Plugin, owners: dict[str, str]) -> Plugin:
    """Return a plugin, marked as failed if one of its unique names is taken or used twice.

    Args:
        owners: maps each unique name to its owner; the names of this plugin are added.
    """
    names = [name for kind, spec in plugin.specs for name in _exclusive(kind, spec)]
    for name in names:
        if name in owners or names.count(name) > 1:
            cause = f"the {name} is already provided by {owners.get(name, plugin.name)}"
            return replace(plugin, status="failed", cause=cause, specs=(), recipes={}, weights={})
    owners.update(dict.fromkeys(names, plugin.name))
    return plugin


def _exclusive(kind: Kind, spec: Spec) -> list[str]:
    """Return the names of an entry that must be unique among plugins.

    Plugins refer to each other's tasks and groups by short names; users type training options, commands and
    the suffixes of exported files.
    """
    names = [f"{kind} {spec.name}"] if kind in ("task", "group", "command") else []
    if isinstance(spec, FieldsSpec):
        names += [f"option {name} of zoo train" for name in fields_of(spec.fields, spec.name)]
    if isinstance(spec, ExporterSpec):
        names.append(f"exporter of {spec.suffix} files")
    return names


def load(
    name: str, importer: Callable[[], object], *, where: str, dist: Distribution | None = None
) -> Plugin:
    """Import one plugin, check its hooks and call them. Raises only KeyboardInterrupt."""
    start = time.perf_counter()
    output = io.StringIO()
    plugin = Plugin(name=name, status="ok", where=where, dist=dist)
    try:
        with printing_to(output):
            hooks = _hooks(name, importer())
            specs = tuple(
                (kind, spec)
                for hook, kind, type_ in HOOKS
                for spec in _provided(hooks, hook, kind, type_).values()
            )
            recipes, weights = published(
                name,
                _provided(hooks, "zoo_recipes", "recipe", Recipe),
                _provided(hooks, "zoo_weights", "weights", WeightsSpec),
                entries={(kind, spec.name) for kind, spec in specs},
                folder=partial(folder_of, where),
            )
            plugin = replace(plugin, specs=specs, recipes=recipes, weights=weights)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the program
        import traceback  # slow to import

        plugin = replace(plugin, status="failed", cause=_why(error), trace=traceback.format_exc())
    elapsed = round((time.perf_counter() - start) * 1000, 1)
    return replace(plugin, output=output.getvalue(), import_ms=elapsed)


def _why(error: BaseException) -> str:
    """Return the cause of an error, its line of code, and the name of the recipe or weights it is in."""
    import traceback  # slow to import

    notes: list[str] = []
    if isinstance(error, OptionError):
        notes = [note for note in getattr(error, "__notes__", ()) if note != error.hint]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_a_plugin_s(frame.filename)]
    lines = [f" ({Path(frame.filename).name}:{frame.lineno})" for frame in frames]
    said = ", ".join([cause(error), *notes])
    return printable(f"{said}{''.join(lines[-1:])}")


def _is_a_plugin_s(file: str) -> bool:
    """Return whether a file may belong to a plugin, rather than to zoo, pluggy or the standard library."""
    if file.startswith((_ZOO, f"{Path(pluggy.__file__).parent}", "<")):
        return False
    return "-packages" in file or not file.startswith(f"{Path(os.__file__).parent}")


class _Manager(pluggy.PluginManager):
    """A manager that looks for hooks among the functions that a module defines, not among its imports."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        if isinstance(plugin, ModuleType) and not inspect.isroutine(vars(plugin).get(name)):
            return None
        return super().parse_hookimpl_opts(plugin, name)


def _hooks(name: str, module: object) -> pluggy.PluginManager:
    """Return a manager with the hooks of one plugin.

    Raises PluginError if there are no hooks, or if there is an unknown hook.
    """
    options.convert(name, cast("Any", Name), what="the plugin name")
    wanted = options.convert(getattr(module, "api", API), int, what="api")
    if wanted != API:
        update = f"update {'the plugin' if wanted < API else 'zoo'}"
        raise PluginError(f"it requires plugin API {wanted}, but zoo has plugin API {API}; {update}")
    manager = _Manager("zoo")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        callers = manager.get_hookcallers(module) or []
        for name in (caller.name for caller in callers if not hasattr(hookspecs, caller.name)):
            known = [hook for hook in vars(hookspecs) if hook.startswith("zoo_")]
            raise PluginError(f"unknown hook {name!r}{did_you_mean(name, known)}") from error
        raise PluginError("; ".join(str(error).split("\n"))) from error
    if not manager.get_hookcallers(module):
        raise PluginError("it does not implement any hooks; are its functions decorated with @hookimpl?")
    return manager


def folder_of(where: str) -> Path:
    """Return the folder of the module or file that contains the hooks."""
    if where.endswith(".py"):
        return Path(where).parent
    module = sys.modules[where.partition(":")[0].strip()]
    assert module.__file__ is not None
    return Path(module.__file__).absolute().parent


def _provided(hooks: pluggy.PluginManager, hook: str, kind: str, type_: type) -> dict[str, Any]:
    """Return the results of a hook's implementations, by name."""
    provided: dict[str, Any] = {}
    for implementation in getattr(hooks.hook, hook).get_hookimpls():
        for name, item in _named(hook, implementation.function(), type_):
            if type(item) is not type_:  # a subclass might skip the checks
                got = type(item).__name__
                raise PluginError(f"{hook} must return only {type_.__name__} objects (got a {got})")
            if not isinstance(name, str):
                raise PluginError(f"the names in {hook} must be strings (got {name!r:.80})")
            if name in provided:
                raise PluginError(f"it provides the {kind} {name!r} twice")
            provided[name] = item
    return provided


def _named(hook: str, returned: object, type_: type) -> Iterable[tuple[object, object]]:
    """Return a hook's results with their names: the specs of a list, or the recipes or weights of a dict."""
    if hook in PUBLISHING and isinstance(returned, Mapping):
        return cast("Mapping[object, object]", returned).items()
    if hook not in PUBLISHING and isinstance(returned, Iterable):
        return [(getattr(spec, "name", ""), spec) for spec in cast("Iterable[object]", returned)]
    form = "a dict from names to" if hook in PUBLISHING else "a list of"
    got = type(returned).__name__
    raise PluginError(f"{hook} must return {form} {type_.__name__} objects (got a {got})")


def our_points() -> set[tuple[str, str]]:
    """Return the names and targets of zoo's own plugins."""
    ours = _our_distribution()
    points = ours.entry_points if ours else ()
    return {(point.name, point.value) for point in points if point.group == GROUP}


def _our_distribution() -> Distribution | None:
    try:
        return distribution(OURS)
    except PackageNotFoundError:
        return None


def _points(ours: Collection[tuple[str, str]]) -> list[EntryPoint]:
    """Return the installed plugins: zoo's own first, then the others by name.

    Plugins with the same name are ordered by the name of their distribution, which is slow to read.
    """
    points = entry_points(group=GROUP)
    count = Counter(point.name for point in points)

    def place(point: EntryPoint) -> tuple[bool, str, str, str]:
        owner = point.dist.name if point.dist and count[point.name] > 1 else ""
        return ((point.name, point.value) not in ours, point.name, owner, point.value)

    return sorted(points, key=place)


def _import_file(file: PluginFile) -> ModuleType:
    """Run the source of a file as a module, exactly as it was read: no bytecode is used or written."""
    name, path = file.path.stem.replace("-", "_"), file.path
    found = importlib.util.find_spec(name)  # that of the loaded module, if there is one
    if found is not None and Path(found.origin or "").resolve() != path:
        raise PluginError(f"a module named {name!r} already exists; rename the file {path.name}")
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, _SHA256, file.sha256) == file.sha256:
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    setattr(module, _SHA256, file.sha256)
    sys.modules[name] = module  # so that the targets "name:Class" resolve
    try:
        exec(compile(file.source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module
