"""Windows and sections: what is read, what is predicted, and in what order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from tests.configs import configured
from zoo.errors import DataError
from zoo_text.batching import TextBatch, batch_text

TEXT = torch.arange(101, dtype=torch.int16)  # each token is its own position

SHUFFLED = pytest.mark.parametrize("batching", ["sections", "windows"])


def batches(batching: str, *, epoch: int = 0, start: int = 0, **changes: Any) -> list[TextBatch]:
    ranks = {key: changes.pop(key) for key in ("rank", "world_size") if key in changes}
    config = configured().replace({"batching": batching, "batch_size": 8, "bptt": 6} | changes)
    return list(batch_text(TEXT, config, seed=5, epoch=epoch, start=start, **ranks))


def test_windows_predict_every_token_once_from_those_before_it() -> None:
    read: Counter[int] = Counter()
    predicted: Counter[int] = Counter()
    for batch in batches("windows"):
        assert batch.targets.shape == (len(batch.inputs), 1)
        assert torch.equal(batch.inputs[:, 1:] - batch.inputs[:, :-1], torch.ones_like(batch.inputs[:, 1:]))
        assert torch.equal(batch.targets[:, 0], batch.inputs[:, -1] + 1)
        read.update(batch.inputs.flatten().tolist())
        predicted.update(batch.targets.flatten().tolist())
    assert predicted == Counter(range(6, 101))
    assert read[50] == 6, "a token is read as many times as a window is long"


def test_sections_are_disjoint_and_predict_at_every_position() -> None:
    read: Counter[int] = Counter()
    for batch in batches("sections"):
        assert torch.equal(batch.targets, batch.inputs + 1)
        assert (batch.inputs[:, 0] % 6 == 0).all()
        read.update(batch.inputs.flatten().tolist())
    assert read == Counter(range(96))


@SHUFFLED
def test_every_batch_starts_from_zeros_even_a_smaller_last_one(batching: str) -> None:
    epoch = batches(batching, batch_size=7)
    assert all(batch.fresh for batch in epoch)
    assert 0 < len(epoch[-1].inputs) < 7
    assert [batch.index for batch in epoch] == list(range(epoch[0].total))


@SHUFFLED
def test_the_order_depends_on_seed_and_epoch(batching: str) -> None:
    def order(epoch: int) -> list[int]:
        return [int(row[0]) for batch in batches(batching, epoch=epoch) for row in batch.inputs]

    assert order(0) == order(0)
    assert order(0) != order(1) != sorted(order(1))
    assert sorted(order(0)) == sorted(order(1))


@SHUFFLED
@pytest.mark.parametrize("world_size", [2, 3])
def test_the_parts_of_processes_are_the_batches_of_one(batching: str, world_size: int) -> None:
    whole = batches(batching, batch_size=4)
    parts = [batches(batching, batch_size=4, rank=rank, world_size=world_size) for rank in range(world_size)]
    for batch, *shares in zip(whole, *parts, strict=True):
        counted = [part for part in shares if part.share]
        assert torch.equal(torch.cat([part.inputs for part in counted]), batch.inputs)
        assert torch.equal(torch.cat([part.targets for part in counted]), batch.targets)
        assert sum(part.share for part in shares) == pytest.approx(1)


@pytest.mark.parametrize("batching", ["stateful", "sections", "windows"])
def test_bptt_as_long_as_the_text_is_refused_with_a_length_that_fits(batching: str) -> None:
    with pytest.raises(
        DataError, match=r"^the training split must be longer than bptt=101 tok.* \(got 101\)(?m:$)"
    ) as caught:
        batches(batching, bptt=101, batch_size=1)
    assert caught.value.hint == "use a longer text, or lower --bptt to 100"
    assert batches(batching, bptt=100, batch_size=1)
