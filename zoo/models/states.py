"""The hidden states that can be passed from batch to batch and saved in a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from zoo.config.options import in_64_bits, shown
from zoo.errors import SpecError
from zoo.interfaces import State
from zoo.models.weights import can_hold

# How deeply a hidden state may be nested
DEPTH = 8


def detach(state: State) -> State:
    """Detach a hidden state from its graph, which stops gradients, and make its tensors contiguous.

    Tensors read from a checkpoint are contiguous, and results for other tensors can round differently.

    Raises SpecError for a part that a checkpoint cannot hold.
    """
    return pytree.tree_map_with_path(_detached, state, is_leaf=_is_leaf)


def tensors_of(state: State) -> dict[str, Tensor]:
    """Return the tensors of a hidden state in order, with names that show their place, such as `state_0`."""
    leaves, _ = pytree.tree_flatten_with_path(state, is_leaf=_is_leaf)
    return {"_".join(["state", *map(_key, path)]): leaf for path, leaf in leaves if isinstance(leaf, Tensor)}


def with_tensors(state: State, tensors: Iterator[Tensor]) -> State:
    """Return a hidden state with its tensors replaced by these, in the order of `tensors_of`."""

    def filled(leaf: Any) -> Any:
        return next(tensors) if isinstance(leaf, Tensor) else leaf

    return pytree.tree_map(filled, state, is_leaf=_is_leaf)


def is_named(state: State) -> bool:
    """Return whether a part of a state is a NamedTuple."""
    return isinstance(state, tuple) and isinstance(getattr(type(state), "_fields", None), tuple)


def _is_leaf(part: State) -> bool:
    """Return whether a part is a leaf; torch also descends into classes that a file cannot hold."""
    return type(part) not in (tuple, list, dict) and not is_named(part)


def _key(entry: Any) -> str:
    """Return the place of a part in its container: a field, a key or an index."""
    if isinstance(entry, pytree.GetAttrKey):
        return entry.name
    return str(entry.key if isinstance(entry, pytree.MappingKey) else entry.idx)  # pyright: ignore


def _detached(path: tuple[Any, ...], leaf: Any) -> Any:
    for depth, entry in enumerate(path):
        if isinstance(entry, pytree.MappingKey) and not _is_key(entry.key):  # pyright: ignore
            raise _refused(f"the key {shown(entry.key)}", path[:depth])  # pyright: ignore
    if len(path) >= DEPTH:
        raise _refused(f"{DEPTH} levels of nesting", path[: DEPTH - 1])
    if isinstance(leaf, Tensor):
        if leaf.layout is not torch.strided or leaf.is_quantized or not can_hold(leaf.dtype):
            raise _refused(f"a {leaf.layout} tensor of {leaf.dtype}", path)
        return leaf.detach().contiguous()
    if leaf is None or _is_number(leaf):
        return leaf
    raise _refused(shown(leaf) if isinstance(leaf, int | float | str) else type(leaf).__name__, path)


def _is_number(leaf: Any) -> bool:
    whole = type(leaf) is bool or (type(leaf) is int and in_64_bits(leaf))
    return whole or (type(leaf) is float and math.isfinite(leaf))


def _is_key(key: object) -> bool:
    return (type(key) is str and key.isprintable()) or (type(key) is int and in_64_bits(key))


def _refused(got: str, path: tuple[Any, ...]) -> SpecError:
    expected = "None, a tensor, a number, or tuples, NamedTuples, lists or dicts of these"
    hint = "return one of these; if a value is the same for all batches, store it on the module instead"
    place = f"state{pytree.keystr(path)}"
    return SpecError(f"a hidden state must be {expected} (got {got} at {place})", hint=hint)
