"""Language modeling: lanes of text in which every token is predicted once, and the metrics."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo.errors import DataError
from zoo.interfaces import Batch, Dataset, Split
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

TASK = LanguageModeling(LANGUAGE_MODELING)


class Positions(Dataset):
    """A text in which each token is its own position."""

    dims: Any = MappingProxyType({})
    preprocess: Any = MappingProxyType({})
    fingerprint: Any = ""

    def __init__(self, length: int) -> None:
        self._length = length

    def split(self, name: Split) -> Tensor:
        return torch.arange(self._length, dtype=torch.int16)


def train(length: int, *, epoch: int = 0, start: int = 0, **changes: Any) -> list[Batch]:
    ranks = {key: changes.pop(key) for key in ("rank", "world_size") if key in changes}
    config = configured().replace({"batch_size": 3, "bptt": 4} | changes)
    return list(TASK.train_batches(Positions(length), config, seed=5, epoch=epoch, start=start, **ranks))


JITTER = pytest.mark.parametrize("bptt_jitter", [False, True])


@JITTER
@pytest.mark.parametrize("length", [5, 13, 100, 101])
def test_targets_are_the_inputs_shifted_by_one(length: int, bptt_jitter: bool) -> None:
    for batch in train(length, bptt_jitter=bptt_jitter):
        assert batch.inputs.dtype == batch.targets.dtype == torch.int64
        assert torch.equal(batch.targets, batch.inputs + 1)


@JITTER
def test_each_lane_is_a_stretch_of_the_text_and_no_two_overlap(bptt_jitter: bool) -> None:
    batches = train(101, bptt_jitter=bptt_jitter)
    lanes = torch.cat([batch.inputs for batch in batches]).T  # (B, whole length)
    assert lanes.flatten().tolist() == list(range(99)), "33 tokens a lane, each lane where the last ends"
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)


@JITTER
def test_the_parts_of_processes_are_lanes_of_the_whole(bptt_jitter: bool) -> None:
    whole = train(200, bptt_jitter=bptt_jitter)
    ranks = [train(200, rank=rank, world_size=3, bptt_jitter=bptt_jitter) for rank in range(3)]
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert torch.equal(torch.cat([part.inputs for part in parts], 1), batch.inputs)
        assert torch.equal(torch.cat([part.targets for part in parts], 1), batch.targets)
        assert [part.fresh for part in parts] == [batch.fresh] * 3


def test_fewer_lanes_than_processes_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"^batch_size=3 is too small for 4 processes: each needs at least one stream(?m:$)"
    ):
        train(200, rank=0, world_size=4)


def test_jitter_is_a_function_of_seed_and_epoch() -> None:
    def lengths(epoch: int) -> list[int]:
        return [len(batch.inputs) for batch in train(3000, epoch=epoch, bptt=40, bptt_jitter=True)]

    assert lengths(0) == lengths(0)
    assert lengths(0) != lengths(1)


def test_jittered_steps_are_about_bptt_long_and_sometimes_half_as_long() -> None:
    lengths = torch.tensor(
        [len(batch.inputs) for batch in train(600_000, bptt=100, bptt_jitter=True)[:-1]], dtype=torch.float
    )
    short = lengths < 75
    assert lengths.min() >= 5
    assert 0.03 < short.float().mean() < 0.07
    assert abs(lengths[~short].mean() - 99.5) < 1
    assert 4 < lengths[~short].std() < 6


@pytest.mark.parametrize("bptt", [1, 2, 3])
def test_jitter_of_a_tiny_bptt_still_covers_the_text(bptt: int) -> None:
    batches = train(100, bptt=bptt, bptt_jitter=True)
    assert sum(len(batch.inputs) for batch in batches) == 33
    assert all(len(batch.inputs) for batch in batches)


@pytest.mark.parametrize("batching", ["stateful", "sections"])
def test_a_random_offset_moves_the_borders_of_steps_in_each_epoch(batching: str) -> None:
    def begins(epoch: int) -> list[int]:
        batches = train(3000, epoch=epoch, bptt=40, batching=batching, random_offset=True)
        assert {len(batch.inputs) for batch in batches[:-1]} == {40}
        return sorted(int(start) for batch in batches for start in batch.inputs[0])

    assert begins(0) == begins(0)
    first = {begins(epoch)[0] for epoch in range(9)}
    assert len(first) > 4
    assert max(first) < 40


def test_a_random_offset_drops_no_window() -> None:
    for epoch in range(5):
        batches = train(30, epoch=epoch, batching="windows", random_offset=True)
        assert sorted(int(start) for batch in batches for start in batch.inputs[0]) == list(range(26))


def test_a_random_offset_leaves_enough_of_a_short_text() -> None:
    for epoch in range(20):
        assert train(6, epoch=epoch, random_offset=True)
        assert train(9, epoch=epoch, bptt=8, batching="sections", random_offset=True)


def test_evaluation_predicts_each_token_but_the_first_once() -> None:
    for length in range(2, 201):
        batches = list(TASK.lane_batches(torch.arange(length), lanes=16, steps=5))
        predicted = torch.cat([batch.targets.flatten() for batch in batches]).tolist()
        assert sorted(predicted) == list(range(1, length)), f"a text of {length}"
        assert all(torch.equal(batch.targets, batch.inputs + 1) for batch in batches)
        assert [batch.index for batch in batches] == list(range(batches[0].total))


def test_the_state_is_carried_over_only_where_the_text_continues() -> None:
    before: Tensor | None = None
    for batch in TASK.lane_batches(torch.arange(197), lanes=16, steps=5):
        if not batch.fresh:
            assert before is not None
            assert torch.equal(batch.inputs[0], before)
        before = batch.targets[-1]


def predictions(task: LanguageModeling, length: int) -> dict[int, int]:
    """Return how many tokens the prediction of each token is based on, for a text of positions."""
    based: dict[int, int] = {}
    for batch in task.batches_of(torch.arange(length, dtype=torch.int16), {}):
        assert batch.fresh == bool(task.context) or batch.index
        for column, targets in zip(batch.inputs.T.tolist(), batch.targets.T.tolist(), strict=True):
            assert column == list(range(column[0], column[-1] + 1))
            based |= {target: target - column[0] for target in targets}
    return based


@pytest.mark.parametrize("context", [1, 3, 8])
def test_with_a_context_each_prediction_is_based_on_exactly_so_many_tokens(context: int) -> None:
    expected = dict.fromkeys(range(context, 9_000), context)
    assert predictions(TASK.with_context(context), 9_000) == expected
    assert predictions(TASK.as_trained({"batching": "windows", "bptt": context}), 9_000) == expected


@pytest.mark.parametrize("length", [2, 3, 9, 10, 5_003])
def test_sections_are_evaluated_from_an_empty_state_each(length: int) -> None:
    task = TASK.as_trained({"batching": "sections", "bptt": 4})
    assert predictions(task, length) == {token: (token - 1) % 4 + 1 for token in range(1, length)}


def test_a_text_that_is_no_longer_than_a_window_is_refused() -> None:
    with pytest.raises(DataError, match="the text has 8 tokens, too few for a context of 8"):
        predictions(TASK.with_context(8), 8)
    assert predictions(TASK.with_context(8), 9) == {8: 8}


def test_a_model_whose_state_was_carried_is_evaluated_with_its_state_carried() -> None:
    for training in ({"batching": "stateful", "bptt": 3}, {}, {"lr": 0.1}):
        assert TASK.as_trained(training).context == 0


def test_a_text_too_short_for_its_lanes_is_refused_with_a_size_that_fits() -> None:
    with pytest.raises(
        DataError, match="the training split has 10 tokens, too few for batch_size=64"
    ) as caught:
        train(10, batch_size=64)
    assert "lower --batch-size to 4" in (caught.value.hint or "")
    assert train(10, batch_size=4)


def test_an_empty_split_has_no_batches_and_one_token_is_refused() -> None:
    assert list(TASK.eval_batches(Positions(0), "val")) == []
    with pytest.raises(DataError, match=r"the text must have at least 2 tokens \(got 0\)"):
        train(0)
    with pytest.raises(DataError, match=r"the text must have at least 2 tokens \(got 1\)"):
        list(TASK.eval_batches(Positions(1), "val"))


CHARACTERS = {"tokens": "char"}


def test_metrics_are_nats_bits_and_perplexity() -> None:
    metrics = TASK.metrics({"loss": 30 * math.log(8)}, 30, CHARACTERS)
    assert metrics == pytest.approx({"loss": math.log(8), "bits_per_char": 3.0, "perplexity": 8.0})
    assert math.isfinite(TASK.metrics({"loss": 1e6}, 1, CHARACTERS)["perplexity"])


def test_bits_of_words_are_bits_per_token() -> None:
    assert TASK.metrics({"loss": 3.0}, 3, {"tokens": "word"}).keys() == {
        "loss",
        "bits_per_token",
        "perplexity",
    }
    assert (TASK.processor.unit(CHARACTERS), TASK.processor.unit({"tokens": "word"})) == (
        "characters",
        "tokens",
    )


class Counting(nn.Module):
    """Counts the steps it has read, and is certain that each token is followed by the next number."""

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        state = (torch.zeros(()) if state is None else state) + len(tokens)
        logits = torch.nn.functional.one_hot(tokens + 1, 300).float() * 100
        return logits.requires_grad_(), state


def test_the_state_is_carried_over_and_reset_at_a_fresh_start() -> None:
    first, second = train(13, batch_size=2)[:2]
    step = TASK.step(Counting(), first, torch.tensor(100.0))
    assert step.state == 4
    assert TASK.step(Counting(), second, step.state).state == 6
    assert step.count == 8
    assert step.sums["loss"].item() == pytest.approx(0, abs=1e-5)


class Penalized(nn.Module):
    """Predicts the uniform distribution, and returns a penalty."""

    def forward(self, tokens: Tensor, state: None = None) -> tuple[Tensor, None, Tensor]:
        return torch.zeros(*tokens.shape, 8), None, torch.tensor(2.0)


def test_a_penalty_is_part_of_the_loss_but_not_of_the_metrics() -> None:
    batch = train(13, batch_size=2)[0]
    batch = Batch(batch.inputs % 8, batch.targets % 8, 0, 1, 0)
    step = TASK.step(Penalized(), batch)
    assert step.loss.item() == pytest.approx(math.log(8) + 2)
    assert step.sums["loss"].item() / step.count == pytest.approx(math.log(8))
