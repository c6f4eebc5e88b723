"""A check of options that have no effect, for entries of all kinds that have options."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from zoo.config.declarations import Option, declared
from zoo.config.train_config import TrainConfig, fields_of
from zoo.errors import SpecError, cause
from zoo.registry.methods import own_options
from zoo.testing._case import Case, Inapplicable, Skip, Warned, message
from zoo.testing._methods import augmented, begun, images_of, made_of, rates_of, scored, take_step
from zoo.testing._values import other_values

# An option may matter late, such as the second moment of a gradient
_STEPS = 12


def uses_its_options(case: Case) -> None:
    """Each option has an effect; otherwise, there is a warning, or a failure if it is a training option.

    An optimizer, a schedule, an augmentation or a metric must compute something else, or reject the value, if
    an option changes. Several values are tried, with usual and unusual values of the other options, since
    some options matter only then; strings are not tried. The code of other targets must read each option.
    """
    options = _options(case)
    known = {name: values for name, option in options.items() if (values := other_values(option))}
    if not options:
        raise Inapplicable("it has no options of its own")
    if case.entry.kind in _RESULTS:
        unused = _without_effect(case, known)
    else:
        unused = _never_read(case.entry.load(), options)
    text = message(
        expected="options that have an effect",
        got=f"none of {', '.join(unused)}",
        usually="an argument that is never used, or that is overwritten",
    )
    assert not {*unused} & {*fields_of(TrainConfig)}, text  # or training would go on without weight decay
    if unused:
        raise Warned(text)


def _without_effect(case: Case, known: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the options for which no other value changes what an entry computes."""
    usual = _result(case, {})
    others = {name: values[0] for name, values in known.items()}
    unused: list[str] = []
    for name, values in known.items():
        if any(_result(case, {name: value}) != usual for value in values):
            continue
        rest = {other: value for other, value in others.items() if other != name}
        beside = _result(case, rest)
        if all(_result(case, {**rest, name: value}) == beside for value in values):
            unused.append(name)
    return unused


def _options(case: Case) -> Mapping[str, Option]:
    """Return the options that a user can set, without those that name files or weights."""
    try:
        target = case.entry.load()
    except SpecError as error:
        raise Skip(str(error)) from None
    known, spec = declared(target), case.spec
    if case.entry.kind == "optimizer":
        if target.__module__.startswith("torch."):
            raise Inapplicable("its options are those of torch")
        fields = {name: field for name, field in fields_of(TrainConfig).items() if name in known}
        own = {name: field for name, field in fields.items() if field.read_by == "optimizer"}
        return {**own_options(case.entry), **own}
    if case.entry.kind in ("schedule", "augmentation", "metric"):
        return own_options(case.entry)
    dims = case.registry.task(spec.task).dims if case.entry.kind == "architecture" else ()
    return {name: option for name, option in known.items() if name not in dims}


def _result(case: Case, options: Mapping[str, Any]) -> str:
    """Return a hash of what an entry computes with some options, or the error that it raises."""
    try:
        result = _RESULTS[case.entry.kind](case, options)
    except Skip:
        raise
    except Exception as error:
        return f"refused: {cause(error)}"
    return sha256(repr(_plain(result)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value with the bytes of its tensors."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.detach().to_dense().flatten().contiguous().view(
            torch.uint8
        ).numpy().tobytes()
    if isinstance(value, Mapping):
        return [(str(key), _plain(one)) for key, one in value.items()]
    if isinstance(value, list | tuple):
        return [*map(_plain, value)]
    return value if isinstance(value, bool | int | float | str | bytes | None) else type(value).__name__


def _of_optimizer(case: Case, options: Mapping[str, Any]) -> Any:
    state = begun(case, options)
    for _ in range(_STEPS):
        take_step(state)
    return state.model.state_dict()


def _of_augmentation(case: Case, options: Mapping[str, Any]) -> Any:
    return [augmented(case, images_of(), seed=seed, **options) for seed in range(8)]


def _of_metric(case: Case, options: Mapping[str, Any]) -> Any:
    return [made_of(made, outputs, batch) for _, made, outputs, batch in scored(case, options)]


_RESULTS: dict[str, Callable[[Case, Mapping[str, Any]], Any]] = {
    "optimizer": _of_optimizer,
    "schedule": rates_of,
    "augmentation": _of_augmentation,
    "metric": _of_metric,
}


def _never_read(target: Callable[..., Any], names: Collection[str]) -> list[str]:
    """Return the arguments that the code of a target does not read, or only keeps in an unread attribute."""
    function: Any = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)  # type: ignore[misc]
    owners = {one.__module__ for one in getattr(target, "__mro__", ())} | {function.__module__}
    own = [sys.modules[name] for name in owners if name != "builtins" and not name.startswith("torch.")]
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function)))
        modules = [ast.parse(inspect.getsource(module)) for module in own]
    except (OSError, TypeError, SyntaxError):
        raise Inapplicable("its source cannot be read") from None
    nodes = [*ast.walk(body)]
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    read = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    kept = {  # by argument, the attribute that it is assigned to
        node.value.id: node.targets[0].attr
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        if isinstance(node.targets[0], ast.Attribute) and read.count(node.value.id) == 1
    }
    attributes = {
        node.attr
        for module in modules
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    unread = [name for name in names if name in arguments and name not in read]
    return unread + [name for name in names if name in kept and kept[name] not in attributes]
