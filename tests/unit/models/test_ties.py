"""Tied tensors: stored once, restored under every name."""

from __future__ import annotations

import pytest
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


def test_a_missing_tensor_is_a_key_error() -> None:
    state = untied(Tied())
    del state["decoder.weight"]
    with pytest.raises(KeyError, match=r"decoder\.weight"):
        with_ties(state, Tied())
