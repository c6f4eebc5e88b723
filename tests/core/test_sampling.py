"""Drawing text."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.errors import OptionError
from zoo.sampling import choose, sample

PREPROCESS = {"tokens": "char", "lower": True, "vocabulary": ["<unk>", "<pad>", *"abcde"], "specials": 2}


class Reader(nn.Module):
    """A model that notes what it is given; its logits depend on all it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[list[int]] = []
        self.states: list[int | None] = []

    def forward(self, tokens: Tensor, state: int | None = None) -> tuple[Tensor, int]:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.read.append(tokens[:, 0].tolist())
        self.states.append(state)
        seen = ((state or 0) * 7 + int(tokens.sum())) % 1_000_003
        generator = torch.Generator().manual_seed(seen)
        logits = torch.randn(*tokens.shape, 7, generator=generator)
        logits[..., :2] = 50  # the specials are by far the likeliest
        return logits, seen


def text(seed: int = 0, length: int = 200, **options: Any) -> str:
    return "".join(sample(Reader(), PREPROCESS, prompt="ab", length=length, seed=seed, **options))


def test_a_seed_gives_one_text_and_another_seed_another() -> None:
    assert text(1) == text(1)
    assert text(1) != text(2)


def test_specials_are_never_drawn() -> None:
    for options in ({}, {"temperature": 0}, {"temperature": 50.0}, {"top_k": 2}):
        assert set(text(**options)) <= set("abcde")


@pytest.mark.parametrize(
    "options", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6}, {"temperature": 1e-300}]
)
def test_the_narrowest_draw_is_the_greedy_one(options: dict[str, Any]) -> None:
    assert text(**options) == text(temperature=0, seed=5)


def test_the_greedy_one_is_the_argmax() -> None:
    generator = torch.Generator()
    for seed in range(20):
        logits = torch.randn(50, generator=torch.Generator().manual_seed(seed))
        assert choose(logits, generator, temperature=0) == int(logits.argmax())


def draws(logits: Tensor, count: int = 2000, **options: Any) -> Tensor:
    """How often each token is drawn, as a share."""
    generator = torch.Generator().manual_seed(0)
    numbers = [choose(logits, generator, **options) for _ in range(count)]
    return torch.bincount(torch.tensor(numbers), minlength=len(logits)) / count


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0])
    expected = (logits / temperature).softmax(0)
    torch.testing.assert_close(draws(logits, temperature=temperature), expected, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 2}, [0, 1]),
        ({"top_k": 99}, [0, 1, 2, 3]),
        ({"top_p": 0.5}, [0, 1]),  # 0.4 alone is not half
        ({"top_p": 0.39}, [0]),
        ({"top_p": 0.8}, [0, 1, 2]),
        ({"top_k": 2, "top_p": 0.5}, [0]),  # 0.4 of the 0.7 that top-k leaves is more than half
    ],
)
def test_what_is_kept_shares_the_probability(options: dict[str, Any], kept: list[int]) -> None:
    probabilities = torch.tensor([0.4, 0.3, 0.2, 0.1])
    expected = torch.zeros(4)
    expected[kept] = probabilities[kept] / probabilities[kept].sum()
    shares = draws(probabilities.log(), **options)
    assert shares.nonzero().flatten().tolist() == kept
    torch.testing.assert_close(shares, expected, atol=0.05, rtol=0)


def test_the_prompt_is_read_once_and_then_only_what_was_drawn() -> None:
    model = Reader()
    drawn = "".join(sample(model, PREPROCESS, prompt="ABzc", length=5))
    numbers = [PREPROCESS["vocabulary"].index(character) for character in drawn]
    assert model.read == [[2, 3, 0, 4], *([number] for number in numbers[:-1])]
    assert model.states[0] is None
    assert None not in model.states[1:]


@pytest.mark.parametrize(("letters", "first"), [("a\nbcd", "\n"), ("abcde", "a")])
def test_an_empty_prompt_starts_from_a_newline_or_the_commonest_character(letters: str, first: str) -> None:
    vocabulary = ["<unk>", "<pad>", *letters]
    model = Reader()
    assert len("".join(sample(model, PREPROCESS | {"vocabulary": vocabulary}, length=3))) == 3
    assert model.read[0] == [vocabulary.index(first)]


def test_nothing_is_drawn_for_length_0() -> None:
    assert list(sample(Reader(), PREPROCESS, length=0)) == []


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_its_mode_even_if_the_text_is_not_read_to_its_end(training: bool) -> None:
    model = Reader().train(training)
    list(sample(model, PREPROCESS, length=3))
    assert model.training is training
    stream = sample(model, PREPROCESS, length=3)
    next(stream)
    stream.close()
    assert model.training is training


def test_gradients_and_the_random_state_of_the_reader_are_untouched_between_characters() -> None:
    before = torch.get_rng_state()
    for _ in sample(Reader(), PREPROCESS, length=3):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"length": -1}, "length is -1"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"top_k": -1}, "top-k is -1"),
        ({"top_p": 0.0}, "top-p is 0.0"),
        ({"top_p": 1.1}, "top-p is 1.1"),
        ({"top_p": math.nan}, "top-p is nan"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_is_drawn(options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        sample(Reader(), PREPROCESS, **options)


def test_a_vocabulary_of_specials_only_is_refused() -> None:
    with pytest.raises(OptionError, match="no characters to draw from"):
        sample(Reader(), PREPROCESS | {"vocabulary": ["<unk>", "<pad>"]})
