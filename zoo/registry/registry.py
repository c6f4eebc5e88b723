"""The registry: the entries of all loaded plugins, recipes and published weights, by name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import msgspec

from zoo.config import options
from zoo.config.arguments import checked
from zoo.config.declarations import Option
from zoo.config.keywords import check_arguments
from zoo.config.layers import RECIPE, YOU, Layers, blaming
from zoo.config.near_names import did_you_mean
from zoo.config.recipe import Recipe
from zoo.config.train_config import METHODS, TrainConfig, check_known, fields_of, training_options
from zoo.errors import OptionError, PluginError, SpecError, UnknownName, warn
from zoo.registry import plugins
from zoo.registry.catalog import Catalog
from zoo.registry.hookspecs import Kind
from zoo.registry.name_index import Named, Names
from zoo.registry.plugin_files import PluginFile, named_files
from zoo.registry.plugins import LOCAL, Plugin
from zoo.registry.specs import (
    AnalyzerSpec,
    ArchitectureSpec,
    CommandSpec,
    DatasetSpec,
    ExporterSpec,
    FieldsSpec,
    MetricSpec,
    OptimizerSpec,
    Spec,
    TaskSpec,
    TrackerSpec,
)

T = TypeVar("T")
# An error about an unknown name lists all names of a kind, if they are at most so many
_FEW = 20
S = TypeVar("S", bound=Spec, covariant=True)

_ON_THE_HUB = "`zoo inspect` describes a model on the Hub, and `zoo reproduce` trains it again"
# What to do besides looking for a name of a kind
_MORE = {
    "recipe": "; to train without a recipe, use `zoo train ARCHITECTURE DATASET`",
    "task": "; the plugin that provides it may be missing",
    "optimizer": "; the plugin optim provides further optimizers",
    "schedule": "; the plugin optim provides further schedules",
}


class Entry(msgspec.Struct, Generic[S], frozen=True):
    """One spec and the plugin that provides it."""

    kind: Kind
    spec: S
    plugin: Plugin

    @property
    def name(self) -> str:
        """The full name, `<plugin>/<spec name>`."""
        return f"{self.plugin.name}/{self.spec.name}"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the entry is for; empty for entries that are not for tasks."""
        if isinstance(self.spec, AnalyzerSpec | MetricSpec):
            return self.spec.tasks
        return (self.spec.task,) if isinstance(self.spec, ArchitectureSpec | DatasetSpec) else ()

    def load(self) -> Callable[..., Any]:
        """Import and return the spec's target. Raises SpecError if that fails."""
        assert not isinstance(self.spec, FieldsSpec)
        return self.spec.load()

    def check(self, options: Mapping[str, Any], *, flag: str) -> dict[str, Any]:
        """Convert options to the types that the spec's target declares. Raises the same errors as `make`."""
        return check_arguments(self.load(), options, what=f"{self.kind} {self.name}", flag=flag)

    def make(self, options: Mapping[str, Any], type_: type[T], *, flag: str) -> T:
        """Call the spec's target and return its result, an instance of `type_`.

        Args:
            flag: the command-line flag for these options, such as `--data`.

        Raises:
            OptionError: an option is unknown, missing or of the wrong type.
            SpecError: the target cannot be imported or returns a different type.
        """
        made = self.load()(**self.check(options, flag=flag))
        if not isinstance(made, type_):
            assert not isinstance(self.spec, FieldsSpec)
            wanted, got = f"{type_.__module__}.{type_.__name__}", type(made).__name__
            raise SpecError(f"{self.name}: {self.spec.target} must return a {wanted} (got a {got})")
        return made


class Registry:
    """All entries, recipes and weights.

    Create a registry with `Registry.discover()` and pass it to functions; there is no global registry.

    Attributes:
        recipes: recipes by full name: the plain name for a recipe in a registry.toml, otherwise
            `plugin/name`.
        weights: published weights by id, with full names as for recipes.
        methods: optimizers, schedules, augmentations and metrics by kind, and by the name that recipes and
            cards record.
        discovered: whether another process would discover the same registry.
    """

    def __init__(
        self,
        loaded: Sequence[Plugin],
        catalog: Catalog | None = None,
        *,
        chosen: Sequence[str] | None = None,
        discovered: bool = False,
    ) -> None:
        self.discovered = discovered
        self.plugins = tuple(loaded)
        self._chosen = chosen  # those that $ZOO_PLUGINS names; None without it
        self.catalog = catalog or Catalog()
        entries = [Entry(kind, spec, plugin) for plugin in loaded for kind, spec in plugin.specs]
        self._defaults: dict[str, TrainConfig] = {}
        self._sound: set[tuple[int, str]] = set()
        self.groups = {e.spec.name: e.spec.fields for e in entries if isinstance(e.spec, FieldsSpec)}
        methods = [entry for entry in entries if entry.kind in METHODS]
        self._words: dict[str, set[str]] = {kind: set() for kind in METHODS}
        for entry in methods:
            self._words[entry.kind] |= {entry.spec.name, entry.name}
        self.methods: dict[tuple[str, str], Entry[Any]] = {
            (entry.kind, _recorded(entry)): entry for entry in methods
        }
        tasks = [entry.spec for entry in entries if isinstance(entry.spec, TaskSpec)]
        self.tasks = {task.name: task for task in tasks if self.groups.keys() >= {*task.groups}}
        entries = [
            msgspec.structs.replace(entry, spec=entry.spec.among(self.tasks))
            if isinstance(entry.spec, AnalyzerSpec)
            else entry
            for entry in entries
        ]
        self.failed_entries = [entry for entry in entries if self.problem(entry)]
        failed = {(entry.kind, entry.name) for entry in self.failed_entries}
        self._entries = [entry for entry in entries if not failed or (entry.kind, entry.name) not in failed]
        self.recipes = dict(self.catalog.recipes)
        self.weights = dict(self.catalog.weights)
        for plugin in loaded:
            self.recipes |= plugin.recipes
            self.weights |= plugin.weights

    @classmethod
    def discover(
        cls,
        catalog: Catalog | None = None,
        *,
        only: Collection[str] | None = None,
        files: Iterable[str | Path] | None = None,
    ) -> Registry:
        """Read registry.toml and load all plugins: installed plugins and one-file plugins.

        If `$ZOO_PLUGINS` is set, only one-file plugins and the plugins in this comma-separated list, which
        can be empty, are loaded.

        Args:
            catalog: catalog to use in place of registry.toml.
            only: names of plugins to load; by default, all plugins are loaded.
            files: one-file plugins; by default, the files in `--plugin` and `$ZOO_PLUGIN_FILES`.

        Raises:
            CatalogError: a registry.toml cannot be read.
            PluginError: a plugin's file cannot be read.
            UnknownName: `$ZOO_PLUGINS` contains the name of an unknown plugin.
        """
        discovered = catalog is None and only is None and files is None
        named = named_files() if files is None else [PluginFile.read(file) for file in files]
        catalog = Catalog.load() if catalog is None else catalog
        chosen = os.environ.get("ZOO_PLUGINS")
        wanted = None if chosen is None else [name.strip() for name in chosen.split(",") if name.strip()]
        if wanted is not None:  # a file that is named is wanted, too
            wanted += [file.name for file in named]
        both = wanted if only is None else [name for name in only if wanted is None or name in wanted]
        loaded = plugins.discover(only=both, disabled=catalog.disabled, files=named)
        known = [plugin.name for plugin in loaded]
        for name in wanted or ():
            if name not in known:
                raise UnknownName(f"unknown plugin {name!r} in $ZOO_PLUGINS{did_you_mean(name, known)}")
        return cls(loaded, catalog, chosen=wanted, discovered=discovered)

    def with_catalog(self, more: Catalog, *, alone: bool = False) -> Registry:
        """Return a registry with the same plugins and the recipes and weights of another catalog.

        Args:
            alone: leave out all other recipes and weights, also those of plugins.
        """
        bare = {"recipes": {}, "weights": {}}
        loaded = [msgspec.structs.replace(each, **bare) for each in self.plugins] if alone else self.plugins
        recipes = more.recipes if alone else {**self.catalog.recipes, **more.recipes}
        weights = more.weights if alone else {**self.catalog.weights, **more.weights}
        catalog = msgspec.structs.replace(self.catalog, recipes=recipes, weights=weights)
        return Registry(loaded, catalog, chosen=self._chosen, discovered=self.discovered)

    @property
    def plugin_files(self) -> list[str]:
        """The paths of the one-file plugins."""
        return [plugin.where for plugin in self.plugins if plugin.where.endswith(".py")]

    @property
    def failures(self) -> list[Plugin]:
        """The plugins that failed to load."""
        return [plugin for plugin in self.plugins if plugin.status == "failed"]

    def problems(self) -> list[str]:
        """Return one line for each plugin that failed, and for each problem with entries."""
        failed = [f"plugin {p.name} ({p.distribution}) failed: {p.cause}" for p in self.failures]
        return failed + self.unusable()

    def unusable(self) -> list[str]:
        """Return one line for each entry that cannot be used. Recipes are checked only when they are used."""
        failed: dict[tuple[str, str], list[Entry[Spec]]] = {}
        for entry in self.failed_entries:
            failed.setdefault((entry.plugin.name, self.problem(entry)), []).append(entry)
        lines: list[str] = []
        for (plugin, problem), entries in failed.items():
            first = f"{entries[0].kind} {entries[0].name}"
            what = first if len(entries) == 1 else f"{len(entries)} entries of {plugin}, such as {first},"
            lines.append(f"{what} cannot be used: {problem}")
        return lines

    def problem(self, entry: Entry[Spec]) -> str:
        """Return the reason that an entry cannot be used although its plugin loaded; empty if it can be used.

        For example, the plugin that provides the entry's task may be missing.
        """
        groups = entry.spec.groups if isinstance(entry.spec, TaskSpec) else ()
        named = [("group of training options", name, self.groups) for name in groups]
        named += [("task", name, self.tasks) for name in entry.tasks]
        if isinstance(entry.spec, ArchitectureSpec | OptimizerSpec):
            methods = self._methods_in(entry.spec.training)
            named += [(kind, name, self._words[kind]) for kind, name in methods]
        for what, name, known in named:
            if name not in known:
                nearest = did_you_mean(name, known) or self.left_out(" ({})")
                return f"unknown {what} {name!r}{nearest}"
        if not isinstance(entry.spec, ArchitectureSpec):
            return ""
        shared = (id(entry.spec.training), entry.spec.task)  # by the presets of a large plugin
        if shared not in self._sound and entry.spec.training.keys() - fields_of(TrainConfig):
            try:
                self.require_fields(entry.spec.training, self.tasks[entry.spec.task], entry.name)
                for name, value in entry.spec.training.items():
                    if self.training_options[name].group:  # the others were checked with the spec
                        options.convert(value, self.training_options[name].type, what=name)
            except OptionError as error:
                return f"its training options: {error}"
        self._sound.add(shared)
        return ""

    def _methods_in(self, training: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the kind and the name of each method that training options select."""
        found: list[tuple[str, str]] = []
        for name, kind in self._naming:
            if chosen := training.get(name):
                found += [(kind, each) for each in ([chosen] if isinstance(chosen, str) else chosen)]
        return found

    @cached_property
    def _naming(self) -> list[tuple[str, str]]:
        """The training options that name methods, and the kinds of these methods."""
        return [(name, option.names) for name, option in self.training_options.items() if option.names]

    def notices(self) -> list[str]:
        """Return a line if the user's registry.toml disables any of zoo's own plugins."""
        ours = [p.name for p in self.plugins if p.ours and p.name in self.catalog.disabled]
        return [f"{self.catalog.path} disables zoo's own plugins: {', '.join(ours)}"] if ours else []

    def require_healthy(self) -> None:
        """Raise PluginError if any plugin or entry failed, for `--strict`."""
        problems = self.problems()
        if problems:
            raise PluginError(f"{len(problems)} problem(s) with plugins: {'; '.join(problems)}")

    def entries(self, kind: Kind | None = None) -> list[Entry[Spec]]:
        """Return the entries in the order of plugins; if a kind is given, only entries of that kind."""
        return [entry for entry in self._entries if kind in (None, entry.kind)]

    def entries_of(self, type_: type[S]) -> list[Entry[S]]:
        """Return the entries whose specs have the given type, such as `AnalyzerSpec`."""
        return [cast("Entry[S]", entry) for entry in self._entries if isinstance(entry.spec, type_)]

    @cached_property
    def names(self) -> Names:
        """The index of all names."""
        ours = {plugin.name for plugin in self.plugins if plugin.ours}
        everything = [*self._named]
        everything += [("recipe", name) for name in self.recipes]
        everything += [("weights", name) for name in self.weights]
        return Names(Named(kind, name, _place(name, ours)) for kind, name in everything)

    @cached_property
    def _named(self) -> dict[tuple[str, str], Entry[Spec]]:
        """The entries by kind and full name."""
        return {(entry.kind, entry.name): entry for entry in self._entries}

    def plugin(self, name: str) -> Plugin:
        """Return a plugin. Raises UnknownName."""
        known = {plugin.name: plugin for plugin in reversed(self.plugins)}  # the first has its name
        if name not in known:
            hint = "`zoo plugins` shows all plugins"
            raise UnknownName(f"unknown plugin {name!r}{did_you_mean(name, known)}", hint=hint)
        return known[name]

    def has(self, kind: str, name: str) -> bool:
        """Return whether there is an entry of the given kind with this full or short name."""
        return bool(self.names.matching(name, kind))

    def find(self, name: str, *kinds: str) -> Named:
        """Resolve a name among the given kinds, or among all, by the rules in `zoo.registry.name_index`.

        Raises UnknownName or AmbiguousName, or SpecError if the entry cannot be used.
        """
        found = self.names.find(name, *kinds)
        if found is not None:
            return found
        for entry in self.failed_entries:
            if (not kinds or entry.kind in kinds) and name in (entry.name, entry.spec.name):
                raise SpecError(f"{entry.kind} {entry.name} cannot be used: {self.problem(entry)}")
        raise self._unknown(name, kinds)

    def entry(self, kind: str, name: str) -> Entry[Spec]:
        """Return an entry of the given kind. Raises the same errors as `find`."""
        return self._named[kind, self.find(name, kind).name]

    @checked
    def architecture(self, name: str) -> Entry[ArchitectureSpec]:
        """Return an architecture. Raises UnknownName or AmbiguousName."""
        return cast("Entry[ArchitectureSpec]", self.entry("architecture", name))

    @checked
    def dataset(self, name: str) -> Entry[DatasetSpec]:
        """Return a dataset."""
        return cast("Entry[DatasetSpec]", self.entry("dataset", name))

    @checked
    def analyzer(self, name: str) -> Entry[AnalyzerSpec]:
        """Return an analyzer."""
        return cast("Entry[AnalyzerSpec]", self.entry("analyzer", name))

    @checked
    def command(self, name: str) -> Entry[CommandSpec]:
        """Return a plugin command. Raises UnknownName."""
        return cast("Entry[CommandSpec]", self.entry("command", name))

    @checked
    def exporter(self, name: str) -> Entry[ExporterSpec]:
        """Return an export format. Raises UnknownName."""
        return cast("Entry[ExporterSpec]", self.entry("exporter", name))

    @checked
    def tracker(self, name: str) -> Entry[TrackerSpec]:
        """Return an experiment tracker. Raises UnknownName."""
        return cast("Entry[TrackerSpec]", self.entry("tracker", name))

    def exporter_of(self, path: Path) -> Entry[ExporterSpec] | None:
        """Return the format of an exported file by its suffix; None if no format has this suffix."""
        found = (e for e in self.entries_of(ExporterSpec) if e.spec.suffix == path.suffix.lower())
        return next(found, None)

    @checked
    def task(self, name: str) -> TaskSpec:
        """Return a task. Raises UnknownName."""
        return cast("Entry[TaskSpec]", self.entry("task", name)).spec

    @checked
    def recipe(self, name: str) -> Recipe:
        """Return a recipe. Raises UnknownName or AmbiguousName."""
        found = self.find(name, "recipe").name
        self.tell_replaced([found])
        return self.recipes[found]

    def tell_replaced(self, names: Iterable[str]) -> None:
        """Warn about each of these recipes that replaces one of zoo's own."""
        for name in names:
            if name in self.catalog.replaced:
                warn(f"the recipe {name} in {self.catalog.path} replaces zoo's recipe of that name")

    @cached_property
    def training_options(self) -> Mapping[str, Option]:
        """All training options by name: the common options, then the options of groups."""
        return training_options(self.groups)

    def default_config(self, task: str) -> TrainConfig:
        """Return zoo's defaults for the training options that apply to a task. Raises UnknownName."""
        if task not in self._defaults:
            groups = {name: self.groups[name] for name in self.task(task).groups}
            self._defaults[task] = TrainConfig.with_groups(groups, self.methods)
        return self._defaults[task]

    @property
    def metric_units(self) -> dict[str, str]:
        """The units of the metrics that plugins add to tasks, by short name."""
        return {entry.spec.name: entry.spec.unit for entry in self.entries_of(MetricSpec)}

    def with_methods(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """Return training options with optimizers, schedules, augmentations and metrics named as in cards.

        Raises OptionError for an unknown name, and AmbiguousName for an ambiguous name.
        """
        named: dict[str, Any] = {}
        for name, value in training.items():
            option = self.training_options.get(name)
            if option and option.names and value:
                value = options.convert(value, option.type, what=name)
                several = (value,) if isinstance(value, str) else value
                try:
                    found = tuple(_recorded(self.entry(option.names, each)) for each in several)
                except UnknownName as error:
                    raise OptionError(str(error), hint=error.hint) from None
                named[name] = found[0] if isinstance(value, str) else found
            else:
                named[name] = value
        return named

    def layers(
        self, recipe: Recipe, *, source: str = RECIPE, given: Mapping[str, Any] | None = None
    ) -> Layers:
        """Return the training options of an architecture, a recipe and the user, in layers.

        Args:
            source: what the messages of errors call the recipe.
            given: the training options that the user sets, which `recipe` contains, too.

        Raises:
            OptionError: an option is unknown, out of range, or belongs to another task.
            UnknownName: there is no such architecture.
        """
        architecture, task = self.architecture(recipe.architecture), self.task_of(recipe)
        by_data = task.name != architecture.spec.task
        name = self.dataset(recipe.dataset).name if by_data else architecture.name
        theirs = {key: value for key, value in recipe.train.items() if key not in (given or {})}
        said: dict[str, Mapping[str, Any]] = {source: theirs, YOU: given or {}}
        for who, training in said.items():
            with blaming(who):
                self.require_fields(training, task, name)
                said[who] = self.with_methods(training)
        layers = Layers(self.default_config(task.name))
        training = self.with_methods(architecture.spec.training)
        own = {key: training[key] for key in training if key in layers.known}
        layers = layers.suggest(f"architecture {architecture.name}", own)
        optimizer = {**said[source], **said[YOU]}.get("optimizer", layers["optimizer"])
        if isinstance(optimizer, str) and optimizer != layers["optimizer"]:
            suitable = self.methods["optimizer", optimizer].spec.training
            layers = layers.suggest(f"optimizer {optimizer}", {**suitable, "optimizer": optimizer})
        return layers.give(source, said[source]).give(YOU, said[YOU])

    def training_config(self, recipe: Recipe) -> TrainConfig:
        """Return the training configuration of a recipe before the data is known; see `layers`."""
        return self.layers(recipe).config()

    def usual_config(self, architecture: Entry[ArchitectureSpec]) -> TrainConfig:
        """Return an architecture's training configuration for its own task."""
        return self.training_config(Recipe(architecture=architecture.name, dataset=""))

    def task_of(self, recipe: Recipe) -> TaskSpec:
        """Return the task of a recipe: the task of its dataset or, without a dataset, of its architecture.

        Raises UnknownName if one of the two does not exist, and SpecError if they are not compatible.
        """
        architecture = self.architecture(recipe.architecture)
        if not recipe.dataset:
            return self.task(architecture.spec.task)
        return self.shared_task(architecture, self.dataset(recipe.dataset))

    def require_fields(self, given: Mapping[str, Any], task: TaskSpec, name: str) -> None:
        """Raise OptionError for a training option that is unknown or does not apply to a task."""
        known = self.training_options
        if given.keys() - known:
            check_known(given, known)
        for field in given:
            group = known[field].group
            if group and group not in task.groups:
                owner = f"it is a training option of {group}"
                raise OptionError(f"{field} does not apply to {task.name}, the task of {name}; {owner}")

    def served_from(self, task: str) -> list[str]:
        """Return the tasks that a task's architectures can be trained for, starting with the task itself."""
        return [task, *(name for name, other in self.tasks.items() if other.architectures_of == task != name)]

    def serves(self, architecture: Entry[ArchitectureSpec], task: str) -> bool:
        """Return whether an architecture can be trained for a task."""
        return architecture.spec.task in (task, self.task(task).architectures_of)

    def shared_task(self, architecture: Entry[ArchitectureSpec], dataset: Entry[DatasetSpec]) -> TaskSpec:
        """Return the task of a dataset. Raises SpecError if it is not compatible with the architecture."""
        ours, theirs = architecture.spec.task, dataset.spec.task
        if not self.serves(architecture, theirs):
            raise SpecError(
                f"{architecture.name} is for {ours}, but {dataset.name} is for {theirs}",
                hint=f"`zoo list datasets --where task={ours}` shows the compatible datasets",
            )
        return self.task(theirs)

    def _unknown(self, name: str, kinds: Sequence[str]) -> UnknownName:
        """Return the error for an unknown name, with suggestions."""
        kind = kinds[0] if len(kinds) == 1 else "name"
        if name.startswith(f"{LOCAL}/"):
            message = f"{name} belongs to a Python session, so it cannot be found by name"
            hint = "in Python, pass it: zoo.load(path, architecture=Net, dataset=data), or write a plugin"
            return UnknownName(message, hint=hint)
        nearest = self.names.nearest(name, kinds)
        owner, slash, _ = name.partition("/")
        listing = f"zoo list {kind.removesuffix('s')}s" if kinds else "zoo list"
        hint = f"`{listing}` shows all names"
        short = [word for word in self.names.words(*kinds) if "/" not in word]
        if len(kinds) == 1 and 0 < len(short) <= _FEW:
            hint = f"{kind.removesuffix('s')}s: {', '.join(sorted(short))}"
        elif name and any(name in word for word in short):
            hint = f"`{listing} {shlex.quote(name)}` shows the names that contain it"
        path = name.startswith((".", "/")) or os.path.exists(name)  # noqa: PTH110 - which any text may be asked
        if path and kinds:
            instead = f"but the {kind} must come first"
            if kind == "dataset":
                instead = f"which the dataset 'folder' can read: root={name}"
            nearest = nearest or f"; this is a path, {instead}"
        elif path:
            hint = f"`zoo inspect {shlex.quote(name)}` shows a file or a run"
        elif slash and owner not in [plugin.name for plugin in self.plugins]:
            hint = f"no plugin called {owner} is installed; `zoo plugins` lists the installed plugins"
        elif slash and any(
            p.name == owner and p.ours and not p.specs and p.status == "ok" for p in self.plugins
        ):
            hint = f'`pip install "{plugins.OURS}[{owner}]"` installs the packages that its entries require'
        elif failed := ", ".join(plugin.name for plugin in self.failures):
            hint += f"; these plugins failed to load: {failed}"
        hint += _MORE.get(kind, "") + self.left_out("; {}")
        hint = _ON_THE_HUB if name.startswith("hf:") else hint
        return UnknownName(f"unknown {kind} {name!r}{nearest}", hint=hint)

    def left_out(self, form: str) -> str:
        """Return a note, formatted by `form`, if `$ZOO_PLUGINS` excludes plugins, or an empty string."""
        if self._chosen is None:
            return ""
        loaded = f"only {', '.join(self._chosen)}" if self._chosen else "no plugins"
        return form.format(f"$ZOO_PLUGINS loads {loaded}")


def _recorded(entry: Entry[Spec]) -> str:
    """Return the name of a method for recipes and cards: without the plugin if it is ours."""
    return entry.spec.name if entry.plugin.ours else entry.name


def _place(name: str, ours: Collection[str]) -> int:
    """Return the rank of a full name in the rule of `zoo.registry.name_index`."""
    owner, slash, _ = name.partition("/")
    if not slash:
        return 1
    return 2 if owner in ours else 3


def default_registry() -> Registry:
    """Return the registry from `Registry.discover()`, and warn about plugins that failed to load."""
    registry = Registry.discover()
    for line in (*registry.problems(), *registry.notices()):
        warn(line)
    return registry
