"""What may differ between a run and the recipe it is resumed with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.configs import configured
from zoo.config.recipe import Recipe
from zoo.errors import RunError
from zoo.runs.drift import changes_batches, drift, refuse_fixed
from zoo.training.saved import RunIdentity

OPTIONS = configured().fields
BEFORE: dict[str, Any] = {"architecture": "a", "dataset": "b", "data": {"size": 8}, "train": {"lr": 0.1}}


def changed(before: RunIdentity, now: RunIdentity) -> dict[str, str]:
    return drift(before, now, OPTIONS)


def identity(fingerprint: str = "f", **changes: Any) -> RunIdentity:
    return RunIdentity(recipe=Recipe(**(BEFORE | changes)), fingerprint=fingerprint)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train": configured(lr=0.1).to_dict()},  # every field written out
        {"data": {"size": 8, "root": "/elsewhere"}},
        {"from_weights": "moved.safetensors"},
        {"summary": "another"},
    ],
)
def test_what_means_the_same_is_no_change(changes: dict[str, Any]) -> None:
    assert changed(identity(), identity(**changes)) == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train": {"lr": 0.2}}, {"train.lr": "train.lr: 0.1 before, 0.2 now"}),
        ({"train": {}}, {"train.lr": "train.lr: 0.1 before, 0.001 now"}),
        ({"data": {}}, {"data.size": "data.size: 8 before, None now"}),
        (
            {"seed": 1, "model": {"depth": 2}},
            {"model.depth": "model.depth: None before, 2 now", "seed": "seed: 0 before, 1 now"},
        ),
    ],
)
def test_a_change_is_named_by_its_option(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert changed(identity(), identity(**changes)) == expected
    assert changed(identity(), identity("other", **changes)) == expected, "which explains the other data"


def test_other_data_under_the_same_options_is_a_change() -> None:
    assert changed(identity(), identity("other")) == {"data": "the data has changed"}


@pytest.mark.parametrize(
    "name",
    [
        *("optimizer", "optimizer_options", "decay_matrices_only", "lr_scales", "norm_bias_lr_scale"),
        *("ema_decay", "freeze", "layer_decay"),
    ],
)
def test_what_the_optimizer_state_depends_on_is_fixed(name: str) -> None:
    with pytest.raises(RunError, match=rf"^train\.{name} cannot be changed during a run \(") as caught:
        refuse_fixed({f"train.{name}": "1 before, 2 now"}, OPTIONS)
    assert (
        caught.value.hint
        == "choose a different --run folder to start over; add --from to reuse these weights"
    )


def test_other_fields_may_change_and_some_change_the_batches() -> None:
    batches = {
        "data", "data.size", "seed", "train.batch_size", "train.grad_accum_steps", "train.batching",
        "train.bptt", "train.bptt_jitter", "data.lr",
    }  # fmt: skip
    others = {"train.lr", "train.epochs", "train.augment", "architecture", "model.freeze"}
    changes = dict.fromkeys(sorted(batches | others), "")
    refuse_fixed(changes, OPTIONS)
    assert set(changes_batches(changes, OPTIONS)) == batches
