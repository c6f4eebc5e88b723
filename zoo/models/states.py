"""What a hidden state may be made of: what a batch can hand to the next, and a checkpoint can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from zoo.config.options import in_64_bits, shown
from zoo.errors import SpecError
from zoo.interfaces import State
from zoo.models.weights import can_hold

__all__ = ["DEPTH", "detach", "is_named", "tensors_of", "with_tensors"]

# How deeply a hidden state may be nested
DEPTH = 8


def detach(state: State, place: str = "state", depth: int = DEPTH) -> State:
    """Return a hidden state cut from its graph, so that gradients stop there; its tensors are contiguous.

    A tensor that is read from a checkpoint is contiguous, and others may be computed with differently.

    Args:
        place: what the state is called in messages.
        depth: how deeply it may be nested.

    Raises SpecError naming the part that a checkpoint cannot hold.
    """
    if isinstance(state, Tensor):
        if state.layout is not torch.strided or state.is_quantized or not can_hold(state.dtype):
            raise _refused(f"a {state.layout} tensor of {state.dtype}", place)
        return state.detach().contiguous()
    if state is None or _is_number(state):
        return state
    if depth == 1 and isinstance(state, tuple | list | dict):
        raise _refused(f"{DEPTH} levels of nesting", place)
    if is_named(state):
        pairs = zip(state._fields, state, strict=True)
        return state._make(detach(part, f"{place}.{name}", depth - 1) for name, part in pairs)
    if type(state) in (tuple, list):
        parts = enumerate(cast("tuple[State, ...]", state))
        return type(state)(detach(part, f"{place}[{n}]", depth - 1) for n, part in parts)
    if type(state) is dict:
        table = cast("dict[Any, State]", state)
        if strange := [key for key in table if not _is_key(key)]:
            raise _refused(f"the key {shown(strange[0])}", place)
        return {key: detach(part, f"{place}[{key!r}]", depth - 1) for key, part in table.items()}
    what = shown(state) if isinstance(state, int | float | str) else type(state).__name__
    raise _refused(what, place)


def tensors_of(state: State, name: str = "state") -> dict[str, Tensor]:
    """Return the tensors of a hidden state in order, by names that say where they are, such as `state_0`."""
    if isinstance(state, Tensor):
        return {name: state}
    found: dict[str, Tensor] = {}
    for key, part in _parts(state):
        found |= tensors_of(part, f"{name}_{key}")
    return found


def with_tensors(state: State, tensors: Iterator[Tensor]) -> State:
    """Return a hidden state with other tensors, in the order of `tensors_of`."""
    if isinstance(state, Tensor):
        return next(tensors)
    parts = [(key, with_tensors(part, tensors)) for key, part in _parts(state)]
    if is_named(state):
        return state._make(part for _, part in parts)
    if type(state) is dict:
        return dict(parts)
    return type(state)(part for _, part in parts) if parts else state


def _parts(state: State) -> Iterator[tuple[Any, State]]:
    """Yield the parts of a part of a state, each with its name or number."""
    if is_named(state):
        yield from zip(state._fields, state, strict=True)
    elif type(state) is dict:
        yield from cast("dict[Any, State]", state).items()
    elif type(state) in (tuple, list):
        yield from enumerate(cast("tuple[State, ...]", state))


def is_named(state: State) -> bool:
    """Return whether a part of a state is a NamedTuple."""
    return isinstance(state, tuple) and isinstance(getattr(type(state), "_fields", None), tuple)


def _is_number(state: State) -> bool:
    whole = type(state) is bool or (type(state) is int and in_64_bits(state))
    return whole or (type(state) is float and math.isfinite(state))


def _is_key(key: object) -> bool:
    return (type(key) is str and key.isprintable()) or (type(key) is int and in_64_bits(key))


def _refused(got: str, place: str) -> SpecError:
    expected = "None, a tensor, a number, or tuples, NamedTuples, lists or dicts of them"
    hint = "return one of these, and keep what does not change from batch to batch on the module"
    return SpecError(f"a hidden state must be {expected} (got {got} at {place})", hint=hint)
