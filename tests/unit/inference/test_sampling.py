"""Text drawn from a language model."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zoo.errors import OptionError
from zoo.inference.sampling import Sampling, choose, sample_many, stream
from zoo.models.building import build_model
from zoo.models.module_runner import ModuleRunner
from zoo.registry.registry import Registry

PREPROCESS: dict[str, Any] = {
    "tokens": "char",
    "lower": True,
    "vocabulary": ["<unk>", "<pad>", *"abcde"],
    "specials": 2,
}
LINES: dict[str, Any] = {"vocabulary": ["<unk>", "<eos>", *"ab"], "specials": 2, "newline_eos": True}
WORDS: dict[str, Any] = {"tokens": "word", "vocabulary": ["<unk>", "<pad>", " to", " be", "."], "specials": 2}


SETTINGS = tuple(Sampling.__dataclass_fields__)


def split(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with the settings of the draw as one Sampling."""
    settings = {name: options.pop(name) for name in SETTINGS if name in options}
    return {**options, "sampling": Sampling(**settings)}


def drawing(*, temperature: float = 1.0, **options: Any) -> Sampling:
    """Return settings that do not scale the logits by default."""
    return Sampling(temperature=temperature, **options)


def sample(model: nn.Module, preprocess: dict[str, Any], **options: Any) -> Any:
    tokens = stream(ModuleRunner(model), preprocess, **split(options))
    return (text for text, _ in tokens)


def many(model: nn.Module, preprocess: dict[str, Any], **options: Any) -> list[str]:
    return sample_many(ModuleRunner(model), preprocess, **split(options))


class Reader(nn.Module):
    """A model that records its inputs; the logits of a lane depend on everything that lane has read."""

    def __init__(self, size: int = 7) -> None:
        super().__init__()
        self.size = size
        self.read: list[list[int]] = []
        self.states: list[Tensor | None] = []

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.read.append(tokens[:, 0].tolist())
        self.states.append(state)
        seen = torch.zeros(tokens.shape[1], dtype=torch.int64) if state is None else state
        logits: list[Tensor] = []
        for row in tokens:
            seen = (seen * 7 + row + 1) % 1_000_003
            logits.append(2 * torch.sin(seen[:, None] * torch.arange(1.0, self.size + 1)))
        scores = torch.stack(logits)  # (T, B, V)
        scores[..., :2] = 50  # the specials have by far the highest logits
        return scores, seen


def text(seed: int = 0, *, max_new_tokens: int = 200, **options: Any) -> str:
    return "".join(
        sample(Reader(), PREPROCESS, prompt="ab", max_new_tokens=max_new_tokens, seed=seed, **options)
    )


def texts(count: int, seed: int = 0, max_new_tokens: int = 200, **options: Any) -> list[str]:
    return many(
        Reader(), PREPROCESS, samples=count, prompt="ab", max_new_tokens=max_new_tokens, seed=seed, **options
    )


def test_equal_seeds_give_equal_texts() -> None:
    assert text(1) == text(1)
    assert text(1) != text(2)


def test_specials_are_never_drawn() -> None:
    settings: list[dict[str, Any]] = [{}, {"temperature": 0}, {"temperature": 50.0}, {"top_k": 2}]
    for options in settings:
        assert set(text(**options)) <= set("abcde")


@pytest.mark.parametrize(
    "options", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6}, {"temperature": 5e-324}]
)
def test_the_narrowest_draw_is_greedy(options: dict[str, Any]) -> None:
    assert text(**options) == text(temperature=0, seed=5)


def test_greedy_is_the_argmax() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(20, 50))
    numbers = choose(logits, random.random(20), Sampling(temperature=0))
    assert numbers.tolist() == logits.argmax(1).tolist()


def draws(logits: Tensor, count: int = 2000, **options: Any) -> Tensor:
    """How often each token is drawn by `count` even numbers, as a share."""
    uniforms = (np.arange(count) + 0.5) / count
    numbers = choose(logits.expand(count, -1).numpy(), uniforms, drawing(**options))
    return torch.from_numpy(np.bincount(numbers, minlength=len(logits)) / count).float()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0])
    expected = (logits / temperature).softmax(0)
    torch.testing.assert_close(draws(logits, temperature=temperature), expected, atol=1e-3, rtol=0)


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
def test_the_tokens_that_are_kept_share_the_probability(options: dict[str, Any], kept: list[int]) -> None:
    probabilities = torch.tensor([0.4, 0.3, 0.2, 0.1])
    expected = torch.zeros(4)
    expected[kept] = probabilities[kept] / probabilities[kept].sum()
    shares = draws(probabilities.log(), **options)
    assert shares.nonzero().flatten().tolist() == kept
    torch.testing.assert_close(shares, expected, atol=1e-3, rtol=0)


def test_each_row_is_drawn_from_its_own_logits_with_its_own_uniform_number() -> None:
    random = np.random.default_rng(0)
    logits, uniforms = random.normal(size=(30, 9)), random.random(30)
    settings: list[dict[str, Any]] = [
        {},
        {"top_k": 3},
        {"top_p": 0.6},
        {"top_k": 5, "top_p": 0.6},
        {"temperature": 0},
        {"temperature": 5e-324},
    ]
    for options in settings:
        sampling = drawing(**options)
        alone = [choose(logits[n : n + 1], uniforms[n : n + 1], sampling) for n in range(30)]
        assert choose(logits, uniforms, sampling).tolist() == np.concatenate(alone).tolist()


def test_top_k_keeps_exactly_k_of_equal_tokens() -> None:
    assert (draws(torch.zeros(6), top_k=4) == 0.25).sum() == 4


@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
def test_a_token_without_probability_is_not_drawn_at_either_end(number: float) -> None:
    logits = np.array([[-math.inf, 0.3, -math.inf, 0.1, -math.inf]])
    drawn = choose(logits, np.array([number]), Sampling(temperature=1))
    assert drawn.tolist() == [1 if number == 0 else 3]


def test_sample_0_is_the_streamed_text_and_no_sample_depends_on_the_count() -> None:
    eight = texts(8, max_new_tokens=700)
    assert eight[0] == text(max_new_tokens=700)
    assert len(set(eight)) == 8
    assert texts(3, max_new_tokens=700) == eight[:3]
    assert texts(3, seed=1) != texts(3)


def test_a_real_model_generates_the_same_alone_and_in_a_batch() -> None:
    entry = Registry.discover().architecture("lstm")
    model = build_model(entry, {"vocab_size": 7, "hidden_size": 16, "num_layers": 2}, seed=0).double()
    drawn = many(model, PREPROCESS, samples=5, prompt="abc", max_new_tokens=100, top_k=4, top_p=0.9)
    assert drawn[0] == "".join(
        sample(model, PREPROCESS, prompt="abc", max_new_tokens=100, top_k=4, top_p=0.9)
    )
    assert len({*drawn}) == 5


def test_the_prompt_is_read_once_and_then_only_what_was_drawn() -> None:
    model = Reader()
    drawn = "".join(sample(model, PREPROCESS, prompt="ABzc", max_new_tokens=5))
    numbers = [PREPROCESS["vocabulary"].index(character) for character in drawn]
    assert model.read == [[2, 3, 0, 4], *([number] for number in numbers[:-1])]
    assert model.states[0] is None
    assert None not in model.states[1:]


@pytest.mark.parametrize(("letters", "first"), [("a\nbcd", "\n"), ("abcde", "a")])
def test_an_empty_prompt_starts_from_a_newline_or_the_commonest_character(letters: str, first: str) -> None:
    vocabulary = ["<unk>", "<pad>", *letters]
    model = Reader()
    assert len("".join(sample(model, PREPROCESS | {"vocabulary": vocabulary}, max_new_tokens=3))) == 3
    assert model.read[0] == [vocabulary.index(first)]


def test_a_long_prompt_is_read_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, model = "abcde" * 5, Reader()
    whole = "".join(sample(model, PREPROCESS, prompt=prompt, max_new_tokens=20))
    monkeypatch.setattr("zoo.inference.sampling._READ", 20)
    parts = Reader()
    assert many(parts, PREPROCESS, samples=2, prompt=prompt, max_new_tokens=20)[0] == whole
    assert [len(tokens) for tokens in parts.read[:4]] == [10, 10, 5, 1]
    assert [*parts.read[0], *parts.read[1], *parts.read[2]] == model.read[0]


def test_nothing_is_drawn_for_length_0() -> None:
    assert list(sample(Reader(), PREPROCESS, max_new_tokens=0)) == []
    assert texts(2, max_new_tokens=0) == ["", ""]


def test_a_vocabulary_of_one_character_generates_only_that() -> None:
    only = {"vocabulary": ["<unk>", "<pad>", "a"], "specials": 2}
    assert "".join(sample(Reader(3), only, max_new_tokens=5, top_k=2, top_p=0.5)) == "aaaaa"


def test_eos_is_generated_as_a_newline() -> None:
    model = Reader(4)
    assert set("".join(sample(model, LINES, max_new_tokens=50, temperature=50.0))) == {*"ab\n"}
    assert model.read[0] == [1]  # an empty prompt starts after the end of a line


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_text_ends_before_the_stop_string(size: int) -> None:
    whole = text(max_new_tokens=400)
    for at in (0, 7, 150):
        stop = whole[at : at + size]
        model = Reader()
        pieces = list(sample(model, PREPROCESS, prompt="ab", max_new_tokens=400, stop=stop))
        assert "".join(pieces) == whole[: whole.index(stop)]
        assert all(pieces)
        assert len(model.read) == whole.index(stop) + size


def test_a_stop_string_is_lower_cased_if_the_text_is() -> None:
    whole = text(max_new_tokens=400)
    assert (
        text(max_new_tokens=400, stop=whole[9:12].upper())
        == text(max_new_tokens=400, stop=whole[9:12])
        != whole
    )
    assert texts(2, max_new_tokens=400, stop=whole[9:12].upper()) == texts(
        2, max_new_tokens=400, stop=whole[9:12]
    )


@pytest.mark.parametrize(
    ("changes", "stop", "never"),
    [
        ({}, "ab!?!", "'!' '?'"),
        ({}, "<unk>", "'<' 'u' 'n' 'k' '>'"),
        ({"lower": False}, "aB", "'B'"),
        ({"backwards": True}, "xa", "'x'"),
        (LINES, "a\n\n.", "'.'"),
        (WORDS | {"lower": False}, "x. To", "'x' 'T'"),
        ({"vocabulary": ["<unk>", "<eos>", *"ab"]}, "a\n", r"'\n'"),
    ],
)
def test_a_stop_string_that_can_never_be_generated_is_refused(
    changes: dict[str, Any], stop: str, never: str
) -> None:
    preprocess = PREPROCESS | changes
    for draw in (sample, partial(many, samples=2)):
        with pytest.raises(OptionError) as caught:
            draw(Reader(), preprocess, stop=stop)
        message = f"the stop string {stop!r} contains {never}, which the model can never generate"
        assert str(caught.value) == message
        assert caught.value.hint is None


def test_a_newline_is_the_stop_string_for_the_end_of_a_line() -> None:
    with pytest.raises(OptionError, match=r"contains '<' 'e' 'o' 's' '>', which") as caught:
        sample(Reader(4), LINES, stop="a<eos>")
    assert caught.value.hint == "<eos> is generated as a newline; in a shell, use --stop $'\\n'"
    whole = "".join(sample(Reader(4), LINES, max_new_tokens=50, prompt="b"))
    assert whole.count("\n") > 1
    stopped = "".join(sample(Reader(4), LINES, max_new_tokens=50, prompt="b", stop="\n"))
    assert stopped == whole.partition("\n")[0]


@pytest.mark.parametrize("stop", ["be to", "o.", "TO"])
def test_a_stop_string_may_cross_tokens_or_be_part_of_one(stop: str) -> None:
    sample(Reader(5), WORDS | {"lower": True}, stop=stop)


def test_no_uniform_number_is_used_twice() -> None:
    class Even(Reader):
        def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
            return torch.zeros(*tokens.shape, self.size), tokens

    drawn = "".join(sample(Even(), PREPROCESS, max_new_tokens=1000))
    parts = {drawn[at : at + 20] for at in range(len(drawn) - 19)}
    assert len(parts) == len(drawn) - 19


def test_a_possible_beginning_of_the_stop_string_is_held_back() -> None:
    vocabulary = {"vocabulary": ["<unk>", "<pad>", "a", "ab", "b"], "specials": 2}

    class Script(nn.Module):
        """Draws the numbers of a script, whatever it reads."""

        def __init__(self, script: list[int]) -> None:
            super().__init__()
            self.script = iter(script)

        def forward(self, tokens: Tensor, state: None = None) -> tuple[Tensor, None]:
            return 100.0 * nn.functional.one_hot(torch.tensor([[next(self.script)]]), 5), None

    def pieces(stop: str, *script: int) -> list[str]:
        return list(sample(Script([*script]), vocabulary, max_new_tokens=len(script), stop=stop))

    assert pieces("aab", 2, 4, 2, 2, 2, 4) == ["a", "b", "a"]  # a|b|a a a|b: the third a was not a beginning
    assert pieces("bb", 3, 2, 3, 4, 2) == ["ab", "a", "a"]  # stops within "ab" + "b"
    assert pieces("abb", 2, 3) == ["a", "ab"]  # held back to the end, and let go there
    assert pieces("b", 2, 3, 2) == ["a", "a"]  # a token is cut where the stop string begins in it


def test_each_text_of_a_batch_ends_at_its_own_stop_string() -> None:
    whole = texts(4, max_new_tokens=300)
    model = Reader()
    stopped = many(model, PREPROCESS, samples=4, prompt="ab", max_new_tokens=300, stop="ab")
    assert stopped == [each.partition("ab")[0] for each in whole]
    assert len({len(each) for each in stopped}) > 1
    assert len(model.read) == max(map(len, stopped)) + len("ab")
    held = whole[0][-9:] + "abcde"
    assert (
        texts(4, max_new_tokens=300, stop=held) == whole
    )  # what was held back belongs to a text that never stops


def test_a_model_that_reads_backwards_generates_the_text_before_the_prompt() -> None:
    backwards = PREPROCESS | {"backwards": True}
    model = Reader()
    text = "".join(sample(model, backwards, prompt="cab", max_new_tokens=50))
    assert model.read[0] == [3, 2, 4]  # b, a, c
    forwards = "".join(sample(Reader(), PREPROCESS, prompt="bac", max_new_tokens=50))
    assert text == forwards[::-1]
    assert many(Reader(), backwards, samples=2, prompt="cab", max_new_tokens=50)[0] == text

    stop = text[20:22]
    after = "".join(sample(Reader(), backwards, prompt="cab", max_new_tokens=50, stop=stop))
    assert after == text.rpartition(stop)[2]
    drawn = many(Reader(), backwards, samples=2, prompt="cab", max_new_tokens=50, stop=stop)
    assert drawn[0] == after


def test_a_model_that_reads_backwards_does_not_reverse_words() -> None:
    words = {
        "tokens": "word",
        "vocabulary": ["<unk>", "<pad>", " to", " be"],
        "specials": 2,
        "backwards": True,
    }
    for drawn in many(Reader(4), words, samples=3, prompt=" be", max_new_tokens=20):
        assert drawn.replace(" to", "").replace(" be", "") == ""
        assert len(drawn) == 20 * 3


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_restored_even_if_the_stream_is_closed_early(training: bool) -> None:
    model = Reader().train(training)
    list(sample(model, PREPROCESS, max_new_tokens=3))
    assert model.training is training
    stream = sample(model, PREPROCESS, max_new_tokens=3)
    next(stream)
    stream.close()
    assert model.training is training


def test_the_callers_gradient_mode_and_random_state_do_not_change_between_pieces() -> None:
    before = torch.get_rng_state()
    for _ in sample(Reader(), PREPROCESS, max_new_tokens=3):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": -1}, "max_new_tokens must be at least 0 (got -1)"),
        ({"temperature": -0.1}, "temperature must be at least 0 (got -0.1)"),
        ({"temperature": math.nan}, "temperature must be finite (got nan)"),
        ({"top_k": -1}, "top_k must be at least 0 (got -1)"),
        ({"top_p": 0.0}, "top_p must be greater than 0 (got 0.0)"),
        ({"top_p": 1.1}, "top_p must be at most 1 (got 1.1)"),
        ({"seed": "x"}, "seed must be an integer (got 'x')"),
    ],
)
def test_a_setting_that_is_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Sampling(**options)
    assert str(caught.value) == message


def test_a_vocabulary_of_specials_only_is_refused() -> None:
    with pytest.raises(OptionError, match="the vocabulary has no tokens to sample from"):
        sample(Reader(), PREPROCESS | {"vocabulary": ["<unk>", "<pad>"]})


@pytest.mark.parametrize("stop", ["", "b", "cd", "ba"])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_tokens_that_have_a_surprisal_make_the_text(stop: str, backwards: bool) -> None:
    preprocess = {**PREPROCESS, "backwards": backwards}
    settings = Sampling(max_new_tokens=30, stop=stop, seed=4, temperature=2)
    tokens = [*stream(ModuleRunner(Reader()), preprocess, sampling=settings)]
    assert "".join(token for token, _ in tokens) == "".join(
        text for text, _ in stream(ModuleRunner(Reader()), preprocess, sampling=settings)
    )


def test_a_token_that_the_stop_string_begins_in_is_cut() -> None:
    settings = Sampling(max_new_tokens=30, stop="e", seed=1)
    tokens = [*stream(ModuleRunner(Reader(5)), WORDS, sampling=settings)]
    text = "".join(token for token, _ in tokens)
    assert text == "".join(text for text, _ in stream(ModuleRunner(Reader(5)), WORDS, sampling=settings))
    assert text.endswith(" b")
    assert tokens[-1][0] == " b"
