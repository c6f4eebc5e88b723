"""Tied tensors: one parameter or buffer with several names in a module's state."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def owners(module: nn.Module) -> dict[str, str]:
    """Map each name in a module's state to the name of the stored tensor: the same name unless it is tied."""
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    return {name: first.setdefault(id(state[name]), name) for name in sorted(state)}


def ties(module: nn.Module) -> dict[str, str]:
    """Map each name in a module's state that shares storage with an earlier name to the earlier name."""
    return {name: owner for name, owner in owners(module).items() if name != owner}


def untied(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's state, detached, with each tied tensor once."""
    state = module.state_dict()
    return {name: state[name] for name, owner in owners(module).items() if name == owner}


def with_ties(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return a state for `module.load_state_dict`, given a state with each tied tensor once.

    Raises KeyError for a missing tensor.
    """
    state = module.state_dict()  # with the layers' version numbers, which load_state_dict reads
    for name, owner in owners(module).items():
        state[name] = tensors[owner]
    return state
