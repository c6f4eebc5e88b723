"""A hidden state as tensors and data that a checkpoint holds, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from zoo.errors import RunError
from zoo.interfaces import State
from zoo.models.states import is_named
from zoo.training.saved import Hidden

__all__ = ["flatten", "holds_names", "tensor_names", "unflatten", "widened", "with_classes"]


@dataclass(frozen=True, slots=True)
class _Named:
    """A NamedTuple that was read from a file, which does not hold its class."""

    name: str
    fields: tuple[str, ...]
    parts: tuple[State, ...]


def flatten(state: State, name: str, tensors: dict[str, Tensor]) -> Hidden:
    """Add the tensors of a state that `detach` returned to `tensors` by name; return how it is nested."""
    if isinstance(state, Tensor):
        tensors[name] = state
        return Hidden(kind="tensor")
    if not isinstance(state, tuple | list | dict | _Named):
        return Hidden(value=state)
    keys: list[Any] = []
    if isinstance(state, dict):
        keys = [*cast("dict[Any, State]", state)]
    elif isinstance(state, _Named):
        keys = [*state.fields]
    elif is_named(state):
        keys = [*cast("Any", state)._fields]
    parts = [
        flatten(part, f"{name}.{index}", tensors)
        for index, part in enumerate(_parts(cast("tuple[State, ...] | dict[Any, State]", state)))
    ]
    if isinstance(state, _Named) or is_named(state):
        title = state.name if isinstance(state, _Named) else type(state).__name__
        return Hidden(kind="named", name=title, keys=keys, parts=parts)
    kind = "dict" if isinstance(state, dict) else "tuple" if isinstance(state, tuple) else "list"
    return Hidden(kind=kind, keys=keys, parts=parts)


def unflatten(hidden: Hidden, name: str, tensors: Mapping[str, Tensor]) -> State:
    """Return the state that `flatten` described; `with_classes` completes one that `holds_names`."""
    if hidden.kind == "value":
        return hidden.value
    if hidden.kind == "tensor":
        return tensors[name]
    parts = [unflatten(part, f"{name}.{index}", tensors) for index, part in enumerate(hidden.parts)]
    if hidden.kind == "dict":
        return dict(zip(hidden.keys, parts, strict=True))
    if hidden.kind == "named":
        return _Named(hidden.name, tuple(map(str, hidden.keys)), tuple(parts))
    return tuple(parts) if hidden.kind == "tuple" else parts


def tensor_names(hidden: Hidden, name: str) -> Iterator[str]:
    """Yield the names of the tensors of a state."""
    if hidden.kind == "tensor":
        yield name
    for index, part in enumerate(hidden.parts):
        yield from tensor_names(part, f"{name}.{index}")


def holds_names(state: State) -> bool:
    """Return whether a state that was read from a file has NamedTuples."""
    return isinstance(state, _Named) or any(map(holds_names, _parts(state)))


def with_classes(state: State, like: State) -> State:
    """Return a state that was read from a file, its NamedTuples of the classes that `like` has.

    Args:
        like: a state that the model has just returned.

    Raises RunError for one of a class that `like` does not have.
    """
    classes = {(type(part).__name__, type(part)._fields): type(part) for part in _all(like) if is_named(part)}

    def completed(part: State) -> State:
        if isinstance(part, dict):
            return {key: completed(value) for key, value in cast("dict[Any, State]", part).items()}
        if isinstance(part, tuple | list):
            return type(part)(map(completed, cast("tuple[State, ...]", part)))  # pyright: ignore
        if not isinstance(part, _Named):
            return part
        if (part.name, part.fields) not in classes:
            message = f"the run has a {part.name}({', '.join(part.fields)}) in its hidden state"
            hint = "choose another --run to start anew, or return to the code that the run began with"
            raise RunError(f"{message}, which the model does not return", hint=hint)
        return classes[part.name, part.fields]._make(map(completed, part.parts))

    return completed(state)


def widened(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors, those of the state that `flatten` gave a name in single rather than half precision."""
    half, prefix = (torch.bfloat16, torch.float16), f"{name}."
    return {
        key: tensor.float() if f"{key}.".startswith(prefix) and tensor.dtype in half else tensor
        for key, tensor in tensors.items()
    }


def _parts(state: State | _Named) -> tuple[State, ...]:
    if isinstance(state, _Named):
        return state.parts
    if isinstance(state, dict):
        return tuple(cast("dict[Any, State]", state).values())
    return tuple(cast("tuple[State, ...]", state)) if isinstance(state, tuple | list) else ()


def _all(state: State) -> Iterator[Any]:
    yield state
    for part in _parts(state):
        yield from _all(part)
