"""The hidden state that a batch hands to the next, as a checkpoint holds it: its leaves alone.

How they are nested, and in which classes, no file says: it is what the model returns for the batch before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from zoo.errors import RunError
from zoo.interfaces import State


def leaves_of(state: State) -> list[State]:
    """Return the tensors, numbers and None that a state consists of; none for no state."""
    return [] if state is None else pytree.tree_leaves(state)


def nested(leaves: Sequence[State], like: State) -> State:
    """Return leaves nested as those of another state are.

    Args:
        like: a state that the model has just returned.

    Raises RunError if that has more or fewer leaves.
    """
    found = leaves_of(like)
    if len(found) != len(leaves):
        message = f"the hidden state of the run has {len(leaves)} parts, and that of the model {len(found)}"
        hint = "choose another --run to start anew, or return to the code that the run began with"
        raise RunError(message, hint=hint)
    return pytree.tree_unflatten(leaves, pytree.tree_structure(like)) if found else like


def widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, those of the hidden state in single rather than half precision."""
    half = (torch.bfloat16, torch.float16)
    return {
        name: tensor.float() if name.startswith("carried/") and tensor.dtype in half else tensor
        for name, tensor in tensors.items()
    }
