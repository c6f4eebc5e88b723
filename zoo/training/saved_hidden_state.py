"""The hidden state between batches, of which a checkpoint stores only the leaves.

A file does not record how the leaves are nested, or in which classes. The structure is taken from the state
that the model returns for the previous batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from zoo.errors import RunError
from zoo.interfaces import State


def leaves_of(state: State) -> list[State]:
    """Return the tensors, numbers and None values in a state; an empty list without a state."""
    return [] if state is None else pytree.tree_leaves(state)


def nested(leaves: Sequence[State], like: State) -> State:
    """Nest leaves in the structure of another state.

    Args:
        like: a state that the model has just returned.

    Raises RunError if that state has a different number of leaves.
    """
    found = leaves_of(like)
    if len(found) != len(leaves):
        message = f"the run's hidden state has {len(leaves)} parts, but the model's has {len(found)}"
        hint = "choose a different --run folder to start over, or restore the code that the run started with"
        raise RunError(message, hint=hint)
    return pytree.tree_unflatten(leaves, pytree.tree_structure(like)) if found else like


def widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, converting a half-precision hidden state to single precision."""
    half = (torch.bfloat16, torch.float16)
    return {
        name: tensor.float() if name.startswith("carried/") and tensor.dtype in half else tensor
        for name, tensor in tensors.items()
    }
