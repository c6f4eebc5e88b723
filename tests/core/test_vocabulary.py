"""Text to tokens and back."""

from __future__ import annotations

import pytest

from zoo.vocabulary import Vocabulary


def vocabulary(*, lower: bool = False) -> Vocabulary:
    return Vocabulary({"vocabulary": ["<unk>", "<pad>", *"abé\n"], "specials": 2, "lower": lower})


def test_known_text_comes_back() -> None:
    numbers, unknown = vocabulary().encode("abé\nba")
    assert numbers == [2, 3, 4, 5, 3, 2]
    assert unknown == []
    assert vocabulary().decode(numbers) == "abé\nba"


def test_unknown_characters_become_unk_and_are_told_once_each_in_order() -> None:
    numbers, unknown = vocabulary().encode("azAz")
    assert numbers == [2, 0, 0, 0]
    assert unknown == ["A", "z"]
    assert vocabulary().decode(numbers) == "a<unk><unk><unk>"


@pytest.mark.parametrize(("lower", "numbers"), [(True, [2, 3]), (False, [0, 0])])
def test_text_is_lower_cased_only_where_the_card_says_so(lower: bool, numbers: list[int]) -> None:
    assert vocabulary(lower=lower).encode("AB")[0] == numbers


def test_the_names_of_specials_are_not_characters() -> None:
    assert vocabulary().encode("<unk>")[0] == [0] * 5
    assert len(vocabulary()) == 6
