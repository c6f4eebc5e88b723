"""A model that reads a bounded number of tokens at once reads a text of any length, at a linear cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.evaluation.measure import measure
from zoo.inference.sampling import Sampling, sample_many, stream
from zoo.interfaces import Batch, State
from zoo.models.module_runner import ModuleRunner
from zoo.models.windows import Windowed, long_enough, windowed
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

TASK = LanguageModeling(LANGUAGE_MODELING)
LENGTHS = pytest.mark.parametrize("length", [1, 2, 3, 8, 129, 512])
CACHED = pytest.mark.parametrize("cached", [False, True], ids=["no state", "cache"])


class Reader(nn.Module):
    """Refuses more than `length` tokens; its logits at a time are the number of tokens it has read by then.

    With `cached`, its state is the number of tokens that it has read.
    """

    def __init__(self, length: int, *, cached: bool, vocab_size: int = 8) -> None:
        super().__init__()
        self.length = length
        self.cached = cached
        self.vocab_size = vocab_size
        self.read: list[list[int]] = []
        self.known: list[int] = []

    def forward(self, tokens: Tensor, state: int | None = None) -> tuple[Tensor, State]:
        before = state or 0
        after = before + len(tokens)
        assert after <= self.length, f"{after} tokens"
        self.read.append(tokens[:, 0].tolist())
        self.known.append(after)
        known = torch.arange(before + 1, after + 1, dtype=torch.float32)[:, None, None]
        return known.expand(*tokens.shape, self.vocab_size), after if self.cached else None


def known(model: Reader, count: int, *pieces: int) -> list[int]:
    """Return how many tokens the model has read at each of `count` tokens, which come in pieces."""
    state, answers = None, []
    tokens = torch.arange(count)[:, None]
    for piece in tokens.split([*pieces, count - sum(pieces)]):
        logits, state = Windowed(model, model.length)(piece, state)
        assert len(logits) == len(piece)
        answers += logits[:, 0, 0].int().tolist()
    return answers


@LENGTHS
@CACHED
def test_every_token_is_answered_with_at_least_half_a_window_before_it(length: int, cached: bool) -> None:
    for pieces in ((), (1,) * 20, (64, 1, 1, 100)):
        answers = known(Reader(length, cached=cached), 600, *pieces)
        assert len(answers) == 600
        for time, count in enumerate(answers):
            assert count >= min(time + 1, length // 2 + 1 if length > 1 else 1), (pieces, time)


@LENGTHS
def test_a_model_without_a_state_reads_all_that_fits_when_tokens_come_one_by_one(length: int) -> None:
    answers = known(Reader(length, cached=False), 40, *(1,) * 39)
    assert answers == [min(time + 1, length) for time in range(40)]


def test_a_model_with_a_cache_reads_on_and_starts_again_from_the_last_half() -> None:
    model = Reader(8, cached=True)
    known(model, 13, *(1,) * 12)
    alone = [[time] for time in range(12)]
    assert model.read == [*alone[:8], [4, 5, 6, 7, 8], *alone[9:], [8, 9, 10, 11, 12]]


def test_a_model_that_reads_any_number_of_tokens_is_left_alone() -> None:
    model = Reader(8, cached=True)
    assert windowed(model, 0) is model


@LENGTHS
@CACHED
def test_evaluation_predicts_every_token_once_and_reads_none_more_than_about_twice(
    text: Any, length: int, cached: bool
) -> None:
    data, model = text(10, 40, 30_000), Reader(length, cached=cached)
    assert measure(model, TASK, data, "test", context=length).count == 29_999
    lanes_read = sum(map(len, model.read))
    assert lanes_read <= 2.5 * 30_000 / 16 + 2 * length


def test_joined_batches_start_from_an_empty_state_where_the_first_of_them_does() -> None:
    tokens = torch.zeros(2, 1, dtype=torch.int64)
    two_texts = [Batch(tokens, tokens, n, 4, 0, fresh) for n, fresh in enumerate([True, False] * 2)]
    joined = [(len(batch.inputs), batch.fresh) for batch in long_enough(two_texts, 8)]
    assert joined == [(4, True), (4, True)]


@CACHED
def test_more_context_gives_the_same_metrics_as_no_bound(text: Any, cached: bool) -> None:
    """A bound that the text does not reach changes nothing."""
    data = text(10, 40, 100)
    free = measure(Reader(10**9, cached=True), TASK, data, "test")
    assert measure(Reader(1000, cached=cached), TASK, data, "test", context=1000).metrics == free.metrics


PREPROCESS: dict[str, Any] = {"tokens": "char", "vocabulary": ["<unk>", *"abcdefg"], "specials": 1}


@LENGTHS
@CACHED
def test_sampling_goes_on_beyond_the_window(length: int, cached: bool) -> None:
    model, settings = Reader(length, cached=cached), Sampling(max_new_tokens=300, temperature=1.0)
    prompt = "abcdefg" * 100
    reader = ModuleRunner(model, context=length)
    streamed = "".join(text for text, _ in stream(reader, PREPROCESS, prompt=prompt, sampling=settings))
    assert len(streamed) == 300
    generated = sum(map(len, model.read[-299:]))
    assert generated <= 299 * (3 if cached else length)
    reader = ModuleRunner(Reader(length, cached=cached), context=length)
    several = sample_many(reader, PREPROCESS, prompt=prompt, sampling=replace(settings, samples=3))
    assert several[0] == streamed


class Wide(Reader):
    """The same, with a layer as wide as the vocabulary of words."""

    def __init__(self, length: int) -> None:
        super().__init__(length, cached=False)
        self.lanes: list[int] = []
        self.out = nn.Linear(1, 5_000, bias=False)

    def forward(self, tokens: Tensor, state: int | None = None) -> tuple[Tensor, State]:
        answers = self.out(tokens[..., None].float())
        self.lanes.append(tokens.shape[1])
        super().forward(tokens)
        return answers, None


def test_too_large_a_window_is_read_by_fewer_lanes_at_a_time(text: Any) -> None:
    data, model = text(10, 40, 16_001), Wide(1_000)  # a window of 16 lanes is 320 MB, the limit 134 MB
    assert measure(model, TASK, data, "test", context=1_000).count == 16_000
    assert min(model.lanes) == 4
    assert sum(map(len, model.read)) < 10 * 16_000 / 16, "rather than a few tokens at a time"
