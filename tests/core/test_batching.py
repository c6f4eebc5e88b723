"""Windows and sections: what is read, what is predicted, in what order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from zoo.config.training import TrainConfig
from zoo.errors import DataError
from zoo.tasks.batching import TextBatch, cut

TEXT = torch.arange(101, dtype=torch.int16)  # each token is its own position

SHUFFLED = pytest.mark.parametrize("batching", ["sections", "windows"])


def cuts(batching: str, *, epoch: int = 0, start: int = 0, **changes: Any) -> list[TextBatch]:
    ranks = {key: changes.pop(key) for key in ("rank", "world") if key in changes}
    config = TrainConfig(**{"batching": batching, "batch_size": 8, "bptt": 6} | changes)
    return list(cut(TEXT, config, seed=5, epoch=epoch, start=start, **ranks))


def test_windows_predict_every_character_once_from_the_n_before_it() -> None:
    read: Counter[int] = Counter()
    predicted: Counter[int] = Counter()
    for each in cuts("windows"):
        assert each.targets.shape == (len(each.inputs), 1)
        assert torch.equal(each.inputs[:, 1:] - each.inputs[:, :-1], torch.ones_like(each.inputs[:, 1:]))
        assert torch.equal(each.targets[:, 0], each.inputs[:, -1] + 1)
        read.update(each.inputs.flatten().tolist())
        predicted.update(each.targets.flatten().tolist())
    assert predicted == Counter(range(6, 101))
    assert read[50] == 6, "each character is read as often as a window is long"


def test_sections_are_disjoint_and_predict_at_every_position() -> None:
    read: Counter[int] = Counter()
    for each in cuts("sections"):
        assert torch.equal(each.targets, each.inputs + 1)
        assert (each.inputs[:, 0] % 6 == 0).all()
        read.update(each.inputs.flatten().tolist())
    assert read == Counter(range(96))


@SHUFFLED
def test_every_batch_starts_from_zeros_also_the_smaller_last_one(batching: str) -> None:
    batches = cuts(batching, batch_size=7)
    assert all(each.fresh for each in batches)
    assert 0 < len(batches[-1].inputs) < 7
    assert [each.index for each in batches] == list(range(batches[0].total))


@SHUFFLED
def test_the_order_is_a_function_of_seed_and_epoch(batching: str) -> None:
    def order(epoch: int) -> list[int]:
        return [int(row[0]) for each in cuts(batching, epoch=epoch) for row in each.inputs]

    assert order(0) == order(0)
    assert order(0) != order(1) != sorted(order(1))
    assert sorted(order(0)) == sorted(order(1))


@SHUFFLED
def test_starting_late_is_skipping(batching: str) -> None:
    for whole, late in zip(cuts(batching)[1:], cuts(batching, start=1), strict=True):
        assert (whole.index, whole.total) == (late.index, late.total)
        assert torch.equal(whole.inputs, late.inputs)


@SHUFFLED
def test_ranks_share_what_they_can_share_evenly(batching: str) -> None:
    shares = [cuts(batching, rank=rank, world=3, batch_size=1) for rank in range(3)]
    assert len({len(share) for share in shares}) == 1
    read = Counter(int(row[0]) for share in shares for each in share for row in each.inputs)
    whole = Counter(int(row[0]) for each in cuts(batching) for row in each.inputs)
    assert set(read.values()) == {1}
    assert read <= whole
    assert len(whole) - len(read) < 3


@SHUFFLED
def test_fewer_pieces_than_processes_are_refused(batching: str) -> None:
    with pytest.raises(DataError, match=f"the text makes 1 {batching}, too few for 3 processes"):
        cuts(batching, bptt=100, world=3)


@pytest.mark.parametrize("batching", ["stateful", "sections", "windows"])
def test_bptt_as_long_as_the_text_is_refused_with_a_length_that_fits(batching: str) -> None:
    with pytest.raises(DataError, match="bptt is 101, and the text has 101 tokens") as caught:
        cuts(batching, bptt=101, batch_size=1)
    assert "bptt=100" in (caught.value.hint or "")
    assert cuts(batching, bptt=100, batch_size=1)
