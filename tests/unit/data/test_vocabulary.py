"""Text to tokens and back."""

from __future__ import annotations

import random

import pytest

from zoo.data.vocabulary import Vocabulary, tokenize
from zoo.errors import UnknownName


def vocabulary(*, lower: bool = False) -> Vocabulary:
    return Vocabulary({"vocabulary": ["<unk>", "<pad>", *"abé\n"], "specials": 2, "lower": lower})


def test_known_text_comes_back() -> None:
    numbers, unknown = vocabulary().encode("abé\nba")
    assert numbers == [2, 3, 4, 5, 3, 2]
    assert unknown == []
    assert vocabulary().decode(numbers) == "abé\nba"


def test_unknown_characters_become_unk_and_are_returned_sorted() -> None:
    numbers, unknown = vocabulary().encode("azAz")
    assert numbers == [2, 0, 0, 0]
    assert unknown == ["A", "z"]
    assert vocabulary().decode(numbers) == "a<unk><unk><unk>"


@pytest.mark.parametrize(("lower", "numbers"), [(True, [2, 3]), (False, [0, 0])])
def test_text_is_lower_cased_only_if_the_card_says_so(lower: bool, numbers: list[int]) -> None:
    assert vocabulary(lower=lower).encode("AB")[0] == numbers


def test_the_names_of_specials_are_not_characters() -> None:
    assert vocabulary().encode("<unk>")[0] == [0] * 5
    assert len(vocabulary()) == 6


def lines() -> Vocabulary:
    tokens = ["<unk>", "<pad>", "<eos>", *"ab"]
    return Vocabulary({"vocabulary": tokens, "specials": 3, "newline_eos": True})


def test_a_newline_is_eos_in_both_directions() -> None:
    assert lines().encode("a\nb\n") == ([3, 2, 4, 2], [])
    assert lines().decode([3, 2, 4, 2, 0]) == "a\nb\n<unk>"
    assert lines().number("\n") == 2
    assert lines().texts == ["<unk>", "<pad>", "\n", "a", "b"]
    assert lines().tokens == ["<unk>", "<pad>", "<eos>", "a", "b"]


def test_text_and_the_end_of_a_line_may_be_drawn() -> None:
    assert vocabulary().drawable == [2, 3, 4, 5]
    assert lines().drawable == [2, 3, 4]


def test_words_carry_the_space_before_them() -> None:
    tokens = ["<unk>", "<pad>", "to", " be", ",", " or", "\n"]
    words = Vocabulary({"tokens": "word", "vocabulary": tokens, "specials": 2, "lower": True})
    assert words.encode("To be, or\nnot  to be") == ([2, 3, 4, 5, 6, 0, 0, 0, 3], [" ", " to", "not"])
    assert words.decode([2, 3, 4, 5, 6]) == "to be, or\n"


def test_a_first_word_known_only_after_a_space_is_that_word() -> None:
    words = Vocabulary({"tokens": "word", "vocabulary": ["<unk>", " god", " is"], "specials": 1})
    assert words.encode("god is") == ([1, 2], [])
    assert words.encode("man is") == ([0, 2], ["man"])


@pytest.mark.parametrize("kind", ["char", "word"])
def test_tokens_joined_are_the_text_again(kind: str) -> None:
    draws = random.Random(0)
    for length in range(200):
        text = "".join(draws.choices("ab_1 .,!\t\n\u00a0\u0301é漢😀'-", k=length))
        assert "".join(tokenize(text, kind)) == text
        assert [tokenize(token, kind) for token in tokenize(text, kind)] == [
            [token] for token in tokenize(text, kind)
        ]


def test_a_very_long_word_is_split() -> None:
    assert [len(token) for token in tokenize("a" * 250 + " " + "b" * 101, "word")] == [100, 100, 50, 101, 1]


def test_missing_keys_have_defaults() -> None:
    plain = Vocabulary({"vocabulary": ["<unk>", "<eos>", "a", "\n"], "specials": 2})
    assert (plain.kind, plain.lower, plain.newline_eos, plain.backwards) == ("char", False, False, False)
    assert plain.encode("\n") == ([3], [])
    assert plain.drawable == [2, 3]
    assert Vocabulary({"vocabulary": ["a"], "specials": 0, "backwards": True}).backwards


def test_options_make_a_dataset_read_as_the_card_says() -> None:
    reading = {"tokens": "word", "lower": True, "newline_eos": True, "backwards": True}
    preprocess = {**reading, "vocabulary": ["<unk>", "<eos>", "a"]}
    assert Vocabulary({**preprocess, "specials": 2}).options() == preprocess


def test_an_unknown_kind_of_tokens_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown tokenizer 'bpe'"):
        Vocabulary({"tokens": "bpe", "vocabulary": ["<unk>"], "specials": 1}).encode("a")
