"""Describe one catalog entry as JSON data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zoo.api.entry_lists import rows
from zoo.config.declarations import Option, declared
from zoo.console.figures import over_seeds
from zoo.errors import OptionError, ZooError, cause
from zoo.registry.methods import own_options
from zoo.registry.name_index import KINDS
from zoo.registry.registry import Entry, Registry
from zoo.registry.remotes import with_zoos
from zoo.registry.similar_recipe import similar_recipe
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, TaskSpec
from zoo.registry.weights_files import at_hand

# The name of a part of a description, and the function that computes it
Part = tuple[str, Callable[[], Mapping[str, Any]]]


def describe(
    name: str,
    registry: Registry,
    *,
    kind: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe one catalog entry of any kind.

    Facts that cannot be determined, because torch or the data is missing, are listed under `unknown` with the
    reason. This function does not download anything except the index of a zoo, for a name such as
    `team:shapes`.

    Args:
        kind: kind of the entry; required if multiple entries have this name.
        data: dataset options.

    Raises:
        UnknownName, AmbiguousName: the name is unknown or ambiguous.
        OptionError: an option is invalid, or options are given for an entry that is not a dataset.
    """
    if kind not in (None, *KINDS):
        raise OptionError(f"kind must be one of {', '.join(KINDS)} (got {kind!r})")
    registry = with_zoos(registry, name)
    found = registry.find(name, *([kind] if kind else []))
    row = next(row for row in rows(registry, found.kind) if row["name"] == found.name)
    if found.kind != "dataset" and data:
        message = f"data options apply only to datasets, but {found.name} is of kind {found.kind}"
        raise OptionError(message, hint="`zoo list datasets` shows all names")
    if found.kind == "recipe":
        return row | _of_recipe(registry, found.name) | {"units": _units(registry, row["task"])}
    if found.kind == "weights":
        return row | _published(registry, row) | {"units": _units(registry, row["task"])}
    entry = registry.entry(found.kind, found.name)
    facts = row | asdict(entry.spec) | {"name": found.name}
    facts |= {"distribution": entry.plugin.distribution, "version": entry.plugin.version}
    if found.kind == "dataset":
        return facts | _of_dataset(registry, entry, data or {})
    more = _MORE.get(found.kind)
    return facts | more(registry, entry) if more else facts


def _units(registry: Registry, task: str) -> dict[str, str]:
    return dict(registry.tasks[task].units) if task in registry.tasks else {}


def _published(registry: Registry, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about published weights that a listing row does not include."""
    spec = registry.weights[row["name"]]
    task = registry.tasks.get(row["task"])
    path = at_hand(row["name"], spec)
    more = {"spread": over_seeds(spec.by_seed, task) if task else "", "path": str(path) if path else ""}
    return asdict(spec) | more


def _of_recipe(registry: Registry, name: str) -> dict[str, Any]:
    recipe = registry.recipes[name]
    registry.tell_replaced([name])
    published = {
        row["name"]: _published(registry, row)
        for row in rows(registry, "weights")
        if registry.weights[row["name"]].recipe == name
    }

    def training() -> dict[str, Any]:
        config = registry.training_config(recipe)
        return {"training": config.to_dict(), "changed": config.changed()}

    own = {key: value for key, value in asdict(recipe).items() if key != "summary"}
    parts = [("training", training)]
    more = {"similar": similar_recipe(registry, name), "weights": published}
    return own | _as_far_as_possible(parts) | {key: facts for key, facts in more.items() if facts}


def _of_architecture(registry: Registry, entry: Entry[Any]) -> dict[str, Any]:
    spec = entry.spec
    task = registry.task(spec.task)

    def options() -> dict[str, Any]:
        own = {name: default for name, default in _options(entry).items() if name not in task.dims}
        return {"options": own | dict(spec.config)}

    def pretrained() -> dict[str, Any]:
        return {"pretrained": {name: asdict(weights) for name, weights in spec.all_pretrained().items()}}

    def cost() -> dict[str, Any]:
        from zoo.interfaces import make_task
        from zoo.models.cost import measure_cost

        return measure_cost(entry, task, make_task(registry, task.name))

    tasks = registry.served_from(spec.task)
    fitting = [
        other.name
        for other in registry.entries_of(AnalyzerSpec)
        if any(other.spec.fits(spec, name) for name in tasks)
    ]
    facts = {"training": registry.usual_config(entry).changed(), "analyzers": fitting}
    parts = [("options", options), ("pretrained weights", pretrained), ("parameters and cost", cost)]
    return facts | _as_far_as_possible(parts)


def _of_dataset(registry: Registry, entry: Entry[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dataset's options and the sizes of its splits, without downloading anything."""

    def splits() -> dict[str, Any]:
        from zoo.data.opening import open_dataset, require_splits
        from zoo.files.downloads import offline
        from zoo.interfaces import SPLITS, make_task

        task = make_task(registry, entry.spec.task)
        with offline():  # a dataset may fetch what it needs when it is opened, or when a split is read
            dataset = open_dataset(entry, data)
            require_splits(entry, dataset)
            counts = {split: task.counts(dataset, split) for split in SPLITS}
            by_class = {split: task.class_counts(dataset, split) for split in SPLITS}
        facts: dict[str, Any] = {"dims": dict(dataset.dims)}
        if classes := dataset.preprocess.get("classes"):
            facts["classes"] = classes
        facts["splits"] = counts
        if any(by_class.values()):
            facts["by_class"] = by_class
        return facts

    parts = [
        ("options", lambda: {"options": _options(entry) | dict(entry.spec.config)}),
        ("splits", splits),
    ]
    return _as_far_as_possible(parts, refuse_options=bool(data))


def _of_analyzer(registry: Registry, entry: Entry[Any]) -> dict[str, Any]:
    fitting = [
        other.name
        for other in registry.entries_of(ArchitectureSpec)
        if any(entry.spec.fits(other.spec, name) for name in registry.served_from(other.spec.task))
    ]
    parts = [("options", lambda: {"options": _options(entry)})]
    return {"architectures": fitting} | _as_far_as_possible(parts)


def _of_tool(_: Registry, entry: Entry[Any]) -> dict[str, Any]:
    """Return the options of an exporter or a tracker."""
    return _as_far_as_possible([("options", lambda: {"options": _options(entry)})])


def _of_task(registry: Registry, task: Entry[Any]) -> dict[str, Any]:
    """Return the training options that a task adds, and the entries that support the task."""
    fields = registry.default_config(task.spec.name).to_dict()
    own = {name: item.default for name, item in registry.training_options.items() if item.group}
    entries: dict[str, list[str]] = {}
    for entry in registry.entries():
        served = (
            registry.served_from(entry.spec.task) if isinstance(entry.spec, ArchitectureSpec) else entry.tasks
        )
        if task.spec.name in served:
            entries.setdefault(entry.kind, []).append(entry.name)
    return {"fields": {name: value for name, value in fields.items() if name in own}, "entries": entries}


def _of_group(registry: Registry, group: Entry[Any]) -> dict[str, Any]:
    """Describe each training option in a group, and list the tasks that the group applies to."""
    fields = [field for field in registry.training_options.values() if field.group == group.spec.name]
    tasks = [entry.name for entry in registry.entries_of(TaskSpec) if group.spec.name in entry.spec.groups]
    described = [{"name": field.name, "default": field.default, "meaning": field.help} for field in fields]
    return {"fields": described, "tasks": tasks}


def _of_method(registry: Registry, entry: Entry[Any]) -> dict[str, Any]:
    naming = [option.typed for option in registry.training_options.values() if option.names == entry.kind]
    facts = {"flags": naming, "option_flag": f"{naming[0]}-option" if naming else ""}

    def own() -> dict[str, Any]:
        return {"options": {name: _default(option) for name, option in own_options(entry).items()}}

    def flags() -> dict[str, Any]:
        target, methods = entry.load(), {"--metric": "items", "--loss": "losses"}
        found = [flag for flag, method in methods.items() if hasattr(target, method)]
        return {"flags": found} if found else {}

    parts = [("options", own), *([("flags", flags)] if entry.kind == "metric" else [])]
    return facts | _as_far_as_possible(parts)


def _as_far_as_possible(parts: Sequence[Part], *, refuse_options: bool = False) -> dict[str, Any]:
    """Compute parts of a description until one fails, and store the reason under `unknown`.

    With `refuse_options`, an OptionError is raised instead, because the user's options caused it.
    """
    facts: dict[str, Any] = {}
    for number, (_, compute) in enumerate(parts):
        try:
            facts |= compute()
        except Exception as error:  # of a plugin, too
            if refuse_options and isinstance(error, OptionError):
                raise
            missing = ", ".join(label for label, _ in parts[number:])
            return facts | {"unknown": f"{missing}: {reason(error)}"}
    return facts


def reason(error: Exception) -> str:
    """Return why something is not known, with the hint of a ZooError."""
    if isinstance(error, ImportError):
        return f"{error.name} is not installed"
    if isinstance(error, ZooError):
        return f"{error}; {error.hint}" if error.hint else str(error)
    return cause(error)


def _options(entry: Entry[Any]) -> dict[str, Any]:
    """Return the default of each option, or `required` for options without a default."""
    return {name: _default(option) for name, option in declared(entry.load()).items()}


def _default(option: Option) -> Any:
    return "required" if option.required else option.default


# What there is to say of an entry besides its spec, by kind
_MORE: Mapping[str, Callable[[Registry, Entry[Any]], dict[str, Any]]] = {
    "architecture": _of_architecture,
    "analyzer": _of_analyzer,
    "task": _of_task,
    "group": _of_group,
    "optimizer": _of_method,
    "schedule": _of_method,
    "augmentation": _of_method,
    "metric": _of_method,
    "exporter": _of_tool,
    "tracker": _of_tool,
}
