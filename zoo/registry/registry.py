"""The registry: every entry of every healthy plugin, every recipe, all published weights, by name."""

from __future__ import annotations

import fnmatch
import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import msgspec

from zoo.config.arguments import checked
from zoo.config.recipe import Recipe
from zoo.config.signatures import check_arguments
from zoo.config.training import TrainConfig, training_fields
from zoo.errors import (
    AmbiguousName,
    OptionError,
    PluginError,
    SpecError,
    UnknownName,
    WeightsError,
    did_you_mean,
    warn,
)
from zoo.registry import plugins
from zoo.registry.catalog import Catalog
from zoo.registry.plugins import Kind, Plugin
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, DatasetSpec, Spec, TaskSpec
from zoo.registry.tasks import TASKS

__all__ = ["Entry", "Registry", "matches"]

T = TypeVar("T")
S = TypeVar("S", bound=Spec, covariant=True)


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
        """The tasks it is for."""
        return self.spec.tasks if isinstance(self.spec, AnalyzerSpec) else (self.spec.task,)

    @property
    def problem(self) -> str:
        """Why it cannot be used although its plugin loaded, such as an unknown task; empty if it can."""
        unknown = (
            f"unknown task {task!r}{did_you_mean(task, TASKS)}" for task in self.tasks if task not in TASKS
        )
        return next(unknown, "")

    def load(self) -> Callable[..., Any]:
        """Import what the spec's target names. Raises SpecError if that fails."""
        return self.spec.load()

    def check(self, options: Mapping[str, Any], *, flag: str) -> dict[str, Any]:
        """Return options converted to the types that the spec's target asks for; raises as `make` does."""
        return check_arguments(self.load(), options, what=f"{self.kind} {self.name}", flag=flag)

    def make(self, options: Mapping[str, Any], type_: type[T], *, flag: str) -> T:
        """Call the spec's target and return what it makes, an instance of `type_`.

        Args:
            flag: how the command line spells an option, such as `--data`.

        Raises:
            OptionError: an option is unknown, missing or of the wrong type.
            SpecError: the target cannot be imported or returns something else.
        """
        made = self.load()(**self.check(options, flag=flag))
        if not isinstance(made, type_):
            wanted, got = f"{type_.__module__}.{type_.__name__}", type(made).__name__
            raise SpecError(f"{self.name}: {self.spec.target} must return a {wanted} (it returned a {got})")
        return made


class Registry:
    """All there is. Build one with `Registry.discover()` and pass it on; there is no global one."""

    def __init__(self, loaded: Sequence[Plugin], catalog: Catalog | None = None) -> None:
        self.plugins = tuple(loaded)
        self.catalog = catalog or Catalog()
        entries = [Entry(kind, spec, plugin) for plugin in loaded for kind, spec in plugin.specs]
        self._entries = [entry for entry in entries if not entry.problem]
        self.failed_entries = [entry for entry in entries if entry.problem]

    @classmethod
    def discover(cls, catalog: Catalog | None = None, *, only: Collection[str] | None = None) -> Registry:
        """Read registry.toml and load the plugins: those installed, and the one-file plugins it names.

        `$ZOO_PLUGINS` (comma-separated, may be empty) loads only those it names.

        Args:
            catalog: used in place of reading registry.toml.
            only: names of plugins to load; by default all.

        Raises:
            CatalogError: a registry.toml cannot be read.
            UnknownName: `$ZOO_PLUGINS` names an unknown plugin.
        """
        catalog = Catalog.load() if catalog is None else catalog
        chosen = os.environ.get("ZOO_PLUGINS")
        named = None if chosen is None else [name.strip() for name in chosen.split(",") if name.strip()]
        both = named if only is None else [name for name in only if named is None or name in named]
        loaded = plugins.discover(only=both, disabled=catalog.disabled, local=catalog.local)
        known = [plugin.name for plugin in loaded]
        for name in named or ():
            if name not in known:
                raise UnknownName(f"unknown plugin {name!r} in $ZOO_PLUGINS{did_you_mean(name, known)}")
        return cls(loaded, catalog)

    @property
    def failures(self) -> list[Plugin]:
        """The plugins that failed to load."""
        return [plugin for plugin in self.plugins if plugin.status == "failed"]

    def problems(self) -> list[str]:
        """Return one line for each plugin and each entry that failed, and one for those not trusted."""
        lines = [f"plugin {p.name} ({p.distribution}) failed: {p.cause}" for p in self.failures]
        untrusted = [plugin for plugin in self.plugins if plugin.status == "untrusted"]
        if untrusted:
            names = ", ".join(plugin.name for plugin in untrusted)
            count = f"{len(untrusted)} plugin{'s' * (len(untrusted) > 1)}"
            verb = "were" if len(untrusted) > 1 else "was"
            lines.append(f"{count} of {self.catalog.path} {verb} not loaded ({names}): {untrusted[0].cause}")
        return lines + [f"{e.kind} {e.name} cannot be used: {e.problem}" for e in self.failed_entries]

    def notices(self) -> list[str]:
        """Return one line if the user's registry.toml disables plugins of zoo's own."""
        ours = [p.name for p in self.plugins if p.ours and p.name in self.catalog.disabled]
        return [f"{self.catalog.path} disables plugins of zoo's own: {', '.join(ours)}"] if ours else []

    def require_healthy(self) -> None:
        """Raise PluginError if any plugin or entry failed, as `--strict` demands."""
        problems = self.problems()
        if problems:
            raise PluginError(f"{len(problems)} problem(s) with plugins: {'; '.join(problems)}")

    def entries(self, kind: Kind | None = None, pattern: str | None = None) -> list[Entry[Spec]]:
        """Return entries in the order of plugins, optionally of one kind or with names like `pattern`."""
        return [
            entry
            for entry in self._entries
            if (kind is None or entry.kind == kind) and (pattern is None or matches(entry.name, pattern))
        ]

    def has(self, kind: Kind, name: str) -> bool:
        """Return whether some entry of a kind has this full or short name."""
        return any(name in (entry.name, entry.spec.name) for entry in self.entries(kind))

    @checked
    def architecture(self, name: str) -> Entry[ArchitectureSpec]:
        """Return an architecture. Raises UnknownName or AmbiguousName, as do the next two."""
        return cast("Entry[ArchitectureSpec]", self._get("architecture", name))

    @checked
    def dataset(self, name: str) -> Entry[DatasetSpec]:
        """Return a dataset."""
        return cast("Entry[DatasetSpec]", self._get("dataset", name))

    @checked
    def analyzer(self, name: str) -> Entry[AnalyzerSpec]:
        """Return an analyzer."""
        return cast("Entry[AnalyzerSpec]", self._get("analyzer", name))

    @checked
    def task(self, name: str) -> TaskSpec:
        """Return a task. Raises UnknownName."""
        if name not in TASKS:
            raise UnknownName(f"unknown task {name!r}{did_you_mean(name, TASKS)}")
        return TASKS[name]

    @checked
    def recipe(self, name: str) -> Recipe:
        """Return a recipe. Raises UnknownName."""
        recipes = self.catalog.recipes
        if name not in recipes:
            hint = "`zoo list recipes` shows all; `zoo train ARCHITECTURE DATASET` needs none"
            raise UnknownName(f"unknown recipe {name!r}{did_you_mean(name, recipes)}", hint=hint)
        if name in self.catalog.replaced:
            warn(f"recipe {name} is that of {self.catalog.path}, which replaces zoo's own")
        return recipes[name]

    def training_config(self, recipe: Recipe) -> TrainConfig:
        """Return the architecture's training configuration with the recipe's fields on top.

        Raises:
            OptionError: a field is unknown, out of range, or one of another task.
            UnknownName: there is no such architecture.
        """
        architecture = self.architecture(recipe.architecture)
        config, task = architecture.spec.training.replace(recipe.train), self.task(architecture.spec.task)
        for name in (*recipe.train, *architecture.spec.training.changed()):
            group = training_fields()[name].group
            if group and group not in task.groups:
                raise OptionError(f"{name} applies to {group}, but {architecture.name} is for {task.name}")
        return config

    def same_task(self, architecture: Entry[ArchitectureSpec], dataset: Entry[DatasetSpec]) -> TaskSpec:
        """Return the task of both. Raises SpecError if they differ."""
        ours, theirs = architecture.spec.task, dataset.spec.task
        if ours != theirs:
            raise SpecError(
                f"{architecture.name} is for {ours}, but {dataset.name} is for {theirs}",
                hint=f"`zoo list datasets --where task={ours}` shows the datasets that fit",
            )
        return self.task(ours)

    @checked
    def find_weights(self, name: str | Path) -> Path:
        """Return the file behind a published id, a path or a run directory.

        A run directory stands for its final weights. The sha256 of a published file is checked. A bare word
        is an id: a path has a separator or a suffix (`./demo`, `demo.safetensors`), or is a `Path`.

        Raises:
            WeightsError: the name is none of these.
            DataError: a published file is damaged or cannot be downloaded.
        """
        from zoo.files import downloads

        if isinstance(name, str) and name in self.catalog.weights:
            entry = self.catalog.weights[name]
            if entry.file:
                return downloads.verified(Path(entry.file), entry.sha256)
            place = f"weights/{name}.safetensors"
            return downloads.data_file(place, url=entry.url, sha256=entry.sha256, max_bytes=entry.bytes)
        if isinstance(name, str) and "/" not in name and "." not in name:
            raise self._unknown_weights(name)
        path = Path(name)
        if not path.exists():
            here = "./" if str(name).startswith("./") else ""
            known = [*(f"{here}{run.parent}" for run in path.parent.glob("*/model.safetensors"))]
            known += self.catalog.weights
            nearest = did_you_mean(path.stem if path.stem in known else str(name), known)
            hint = "`zoo list weights` shows the published ones"
            raise WeightsError(f"no such file or run directory: {name}{nearest}", hint=hint)
        if not path.is_dir():
            return path
        if not (path / "model.safetensors").is_file():
            runs = ", ".join(sorted(str(inner.parent) for inner in path.glob("*/model.safetensors"))[:5])
            hint = f"runs in it: {runs}" if runs else "a run writes it when it finishes"
            if (path / "checkpoint.safetensors").is_file():
                hint += f": `zoo resume {shlex.quote(str(name))}` continues this one"
            if (path / "best.safetensors").is_file():
                hint += f"; {path / 'best.safetensors'} holds its best epoch so far"
            raise WeightsError(f"{name} is a folder without a model.safetensors", hint=hint)
        return path / "model.safetensors"

    def _unknown_weights(self, name: str) -> WeightsError:
        """Return the error for a word that is no published id, with what may have been meant."""
        for path in (f"./{name}", f"runs/{name}", f"{name}.safetensors"):
            if Path(path).exists():
                hint = "a word without a separator or a suffix is the id of published weights"
                return WeightsError(f"unknown weights {name!r}; did you mean {path}?", hint=hint)
        if name in self.catalog.recipes:
            hint = f"`zoo train {shlex.quote(name)}` trains it"
            return WeightsError(f"{name} is a recipe without published weights", hint=hint)
        kinds = (kind for _, kind, _ in plugins.HOOKS if self.has(kind, name))
        if (kind := next(kinds, None)) is not None:
            article = "an" if kind[0] in "aeiou" else "a"
            hint = "`zoo list weights` shows the published ones; those of a run are runs/NAME"
            return WeightsError(f"{name} is {article} {kind}, not weights", hint=hint)
        nearest = did_you_mean(name, self.catalog.weights)
        hint = "`zoo list weights` shows the published ones; a path has a separator or a suffix: runs/demo"
        return WeightsError(f"unknown weights {name!r}{nearest}", hint=hint)

    def _get(self, kind: Kind, name: str) -> Entry[Spec]:
        matching = [entry for entry in self.entries(kind) if name in (entry.name, entry.spec.name)]
        ours = [entry for entry in matching if entry.plugin.ours]
        if len(ours) == 1 and len(matching) > 1:  # nobody can take a name of ours
            others = " or ".join(entry.name for entry in matching if entry is not ours[0])
            warn(f"{name!r} means {ours[0].name}; write {others} for the other")
            matching = ours
        if len(matching) > 1:
            owners = " and ".join(entry.plugin.name for entry in matching)
            choices = " or ".join(entry.name for entry in matching)
            raise AmbiguousName(f"{name!r} is provided by {owners}; write {choices}")
        if matching:
            return matching[0]
        for entry in self.failed_entries:
            if entry.kind == kind and name in (entry.name, entry.spec.name):
                raise SpecError(f"{kind} {entry.name} cannot be used: {entry.problem}")
        known = [known_as for entry in self.entries(kind) for known_as in (entry.name, entry.spec.name)]
        failed = ", ".join(plugin.name for plugin in self.failures)
        hint = f"`zoo list {kind}` shows all" + (
            f"; these plugins failed to load: {failed}" if failed else ""
        )
        raise UnknownName(f"unknown {kind} {name!r}{did_you_mean(name, known)}", hint=hint)


def matches(name: str, pattern: str) -> bool:
    """Return whether a full name fits a pattern: a glob on the full or short name, or a part of it."""
    if any(mark in pattern for mark in "*?["):
        return fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.partition("/")[2], pattern)
    return pattern in name
