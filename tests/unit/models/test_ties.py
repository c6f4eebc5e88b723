"""Tied tensors: stored once, restored under every name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.models.ties import owners, untied, with_ties


class Tied(nn.Module):
    """Two layers with one weight, a buffer of their own, and a layer that is registered twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.decoder = nn.Linear(3, 4)
        self.decoder.weight = self.embedding.weight
        self.norm = nn.BatchNorm1d(3)
        self.again = self.norm


NORM = ("bias", "num_batches_tracked", "running_mean", "running_var", "weight")


def test_the_first_name_in_alphabetical_order_owns_a_tied_tensor() -> None:
    assert owners(Tied()) == {
        "again.bias": "again.bias",
        "again.num_batches_tracked": "again.num_batches_tracked",
        "again.running_mean": "again.running_mean",
        "again.running_var": "again.running_var",
        "again.weight": "again.weight",
        "decoder.bias": "decoder.bias",
        "decoder.weight": "decoder.weight",
        "embedding.weight": "decoder.weight",
        **{f"norm.{name}": f"again.{name}" for name in NORM},
    }


def test_equal_tensors_are_not_tied() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].load_state_dict(model[0].state_dict())
    assert all(name == owner for name, owner in owners(model).items())


def test_each_tied_tensor_is_stored_once_without_a_graph() -> None:
    state = untied(Tied())
    assert set(state) == {"decoder.bias", "decoder.weight", *(f"again.{name}" for name in NORM)}
    assert not any(tensor.requires_grad for tensor in state.values())


def test_a_model_is_restored_from_tensors_that_are_stored_once() -> None:
    model, other = Tied(), Tied()
    other.load_state_dict(with_ties(untied(model), other))
    assert torch.equal(other.embedding.weight, model.embedding.weight)
    assert other.decoder.weight is other.embedding.weight
    assert other.again is other.norm


def test_the_versions_of_layers_survive() -> None:
    model = Tied()
    assert model.norm.num_batches_tracked is not None
    model.norm.num_batches_tracked.fill_(7)
    other = Tied()
    other.load_state_dict(with_ties(untied(model), other))
    assert (
        other.norm.num_batches_tracked == 7
    )  # without its version, BatchNorm takes the state for an old one


def test_a_missing_tensor_is_a_key_error() -> None:
    state = untied(Tied())
    del state["decoder.weight"]
    with pytest.raises(KeyError, match=r"decoder\.weight"):
        with_ties(state, Tied())
