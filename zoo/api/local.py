"""Classes and data of a Python session, as in `zoo.train(Net, (images, labels))`.

They become entries of a plugin that exists only in the registry of the call: `local/net` and `local/data`. No
file names code to import, so a model of such a class is loaded with `zoo.load(path, architecture=Net)`.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from msgspec import NODEFAULT
from torch.utils.data import IterableDataset

from zoo.config.declarations import Option, declared
from zoo.config.near_names import did_you_mean
from zoo.config.options import shown
from zoo.config.recipe import Recipe
from zoo.config.train_config import SPLITS
from zoo.errors import OptionError
from zoo.interfaces import Dataset
from zoo.registry.hookspecs import Kind
from zoo.registry.plugins import LOCAL, Plugin
from zoo.registry.registry import Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec, Spec, TaskSpec

DATA = "data"
_FORMS = (
    "pass (images, labels), a map-style dataset of (image, label), or a dict with `train` and, optionally, "
    "`val` and `test`, whose values are those or texts"
)


@dataclass(frozen=True, kw_only=True)
class _Architecture(ArchitectureSpec):
    """The spec of a class or function of the session."""

    made: Any

    def load(self) -> Callable[..., Any]:
        return self.made


@dataclass(frozen=True, kw_only=True)
class _Data(DatasetSpec):
    """The spec of data of the session."""

    made: Any

    def load(self) -> Callable[..., Any]:
        return self.made


def with_local(
    registry: Registry, architecture: object, dataset: object, *, task: str | None = None, name: str = ""
) -> tuple[Registry, Any, Any]:
    """Return a registry that also has a class and data of the session, and the names of both.

    Args:
        architecture: a class or function that returns an `nn.Module`; or a name, a recipe or None.
        dataset: data of the session; or a name or None.
        task: the task of the data, unless the data shows it.
        name: the full name of the class in a card; by default, it follows from the class.

    Raises OptionError or UnknownName if the class, the data or the task cannot be used.
    """
    specs: dict[tuple[Kind, str], Spec] = {}
    source = ""
    if dataset is not None and not isinstance(dataset, str):
        task, opens = _recognized(dataset, task, registry)
        specs["dataset", DATA] = _Data(
            name=DATA,
            summary="Data of a Python session",
            target="zoo.api.local:with_local",
            task=task,
            card_options=(*declared(opens),),
            made=opens,
        )
        dataset = f"{LOCAL}/{DATA}"
    if architecture is not None and not isinstance(architecture, str | Recipe):
        made = _require_buildable(architecture)
        if name and not name.startswith(f"{LOCAL}/"):
            raise OptionError(f"{name} can be found by name", hint="omit the argument architecture")
        if task is None:
            if not isinstance(dataset, str):
                raise OptionError(f"{made.__name__} requires a dataset: zoo.train({made.__name__}, data)")
            task = registry.dataset(dataset).spec.task
        found = registry.task(task)
        short = name.removeprefix(f"{LOCAL}/") or _kebab(made.__name__)
        specs["architecture", short] = _Architecture(
            name=short,
            summary="A class of a Python session",
            target=f"{made.__module__}:{made.__qualname__}",
            task=found.architectures_of or task,
            made=_Build(made, found),
        )
        architecture, source = f"{LOCAL}/{short}", _source_of(made)
    elif not specs and task is not None:
        raise OptionError("task is only for data of a Python session")
    return _extended(registry, {**_local(registry), **specs}, source), architecture, dataset


def joined(registries: Sequence[Registry]) -> Registry:
    """Return a registry with the classes and the data of several; the data is that of the first.

    Raises OptionError if two classes have the same name.
    """
    specs: dict[tuple[Kind, str], Spec] = {}
    for registry in registries:
        for key, spec in _local(registry).items():
            first = specs.setdefault(key, spec)
            if isinstance(first, _Architecture) and first.made.of is not cast("_Architecture", spec).made.of:
                hint = "rename one of them and train it again"
                raise OptionError(f"two different classes are called {LOCAL}/{spec.name}", hint=hint)
    return _extended(registries[0], specs)


def _local(registry: Registry) -> dict[tuple[Kind, str], Spec]:
    plugins = [plugin for plugin in registry.plugins if plugin.name == LOCAL]
    return {(kind, spec.name): spec for plugin in plugins for kind, spec in plugin.specs}


def _extended(registry: Registry, specs: Mapping[tuple[Kind, str], Spec], source: str = "") -> Registry:
    """Return a registry with these entries of a local plugin in place of those that it has."""
    others = [plugin for plugin in registry.plugins if plugin.name != LOCAL]
    pairs: list[tuple[Kind, Spec]] = [(kind, spec) for (kind, _), spec in specs.items()]
    plugin = Plugin(name=LOCAL, status="ok", where=LOCAL, sha256=source, specs=(*pairs,))
    return Registry([*others, plugin], registry.catalog)


class _Build:
    """Builds a class of the session, with its arguments as declared options.

    The class receives those of the task's dims that it has arguments for.
    """

    def __init__(self, of: Callable[..., Any], task: TaskSpec) -> None:
        self.of = of
        own = declared(of)
        self._own = {*own}
        dims = {name: Option(name, int, NODEFAULT, "") for name in task.dims}
        options = {**dims, **{name: option for name, option in own.items() if name not in dims}}
        self.__doc__ = of.__doc__
        self.__annotations__ = {name: _type_of(option) for name, option in options.items()}
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if option.required else option.default,
                )
                for name, option in options.items()
            ]
        )

    def __call__(self, **arguments: Any) -> Any:
        return self.of(**{name: value for name, value in arguments.items() if name in self._own})


def _type_of(option: Option) -> Any:
    """Return the type of an option: its annotation or the type of its default."""
    plain = isinstance(option.default, bool | int | float | str)
    return type(option.default) if option.type is Any and plain else option.type


def _recognized(data: object, task: str | None, registry: Registry) -> tuple[str, Callable[..., Any]]:
    """Return the task of data, and the function that opens it. Raises OptionError."""
    if isinstance(data, Dataset):
        if task is None:
            hint = f"tasks: {', '.join(registry.tasks)}"
            raise OptionError("a zoo.interfaces.Dataset requires its task: task=NAME", hint=hint)
        return registry.task(task).name, lambda: data
    splits: Mapping[str, Any] = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}
    for split in splits:
        if split not in SPLITS:
            raise OptionError(f"unknown split {split!r}{did_you_mean(str(split), SPLITS)}", hint=_FORMS)
    splits = splits or {"train": data}
    for part in splits.values():
        streamed = isinstance(part, IterableDataset)  # which has a `__getitem__` that only raises
        if streamed or (hasattr(part, "__iter__") and not hasattr(part, "__getitem__")):
            name = type(cast("object", part)).__name__
            message = f"this {name} has no items by number, which shuffling and exact resuming need"
            raise OptionError(message, hint="read it once into a list of (image, label)")
    if "train" not in splits:
        raise OptionError("the data has no split 'train'", hint=_FORMS)
    tried = [registry.task(task)] if task else [*registry.tasks.values()]
    for spec in tried:
        opens = spec.load_in_memory()(splits) if spec.in_memory else None
        if opens is not None:
            return spec.name, opens
    which = f"data for {task}" if task else "data"
    raise OptionError(f"the form of this {type(data).__name__} is not recognized as {which}", hint=_FORMS)


def _require_buildable(architecture: object) -> Any:
    """Return a class or function. Raises OptionError for anything else, such as a module."""
    if inspect.isclass(architecture) or inspect.isfunction(architecture):
        return architecture
    name = type(architecture).__name__
    if hasattr(architecture, "state_dict"):
        message = f"pass the class {name}, not an instance of it: zoo builds the model from the seed"
        raise OptionError(message, hint=f"zoo.train({name}, data, model={{...}}) sets its arguments")
    expected = "a string, a Recipe, or a class or function that returns an nn.Module"
    raise OptionError(f"name must be {expected} (got {shown(architecture)})")


def _kebab(name: str) -> str:
    """Return the name of an entry for that of a class: `my-net` for `MyNet`."""
    return (
        re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-") or "net"
    )


def _source_of(made: Any) -> str:
    """Return a hash of the source of a class or function; empty if Python does not know the source."""
    functions = [made] if inspect.isfunction(made) else [*filter(inspect.isfunction, vars(made).values())]
    try:  # of a class of a notebook, Python knows only the source of its methods
        return hashlib.sha256("".join(map(inspect.getsource, functions)).encode()).hexdigest()
    except (OSError, TypeError):
        return ""
