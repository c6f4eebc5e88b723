"""The metadata of a weights file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zoo.errors import WeightsError
from zoo.files.cards import Card, parse_card, read_card
from zoo.files.container import write_container

HERE = Path("model.safetensors")


def test_a_card_survives_its_json(card: Callable[..., Card]) -> None:
    before = card(sha256="a" * 64, tied={"out.weight": "embedding.weight"})
    assert parse_card(before.to_json(), HERE) == before


def test_equal_cards_have_equal_text(card: Callable[..., Card]) -> None:
    one = card(metrics={"val": {"loss": 1.0}, "test": {"loss": 2.0}})
    other = card(metrics={"test": {"loss": 2.0}, "val": {"loss": 1.0}})
    assert one.to_json() == other.to_json()


def test_a_card_may_hold_texts_and_numbers_of_numpy_and_shares_none_of_them(
    card: Callable[..., Card],
) -> None:
    classes = [*np.array(["cat", "dog"])]
    made = card(preprocess={"classes": classes, "scale": np.float64(0.5)})
    assert json.loads(made.to_json())["preprocess"] == {"classes": ["cat", "dog"], "scale": 0.5}
    made.to_dict()["preprocess"]["classes"].clear()
    assert len(classes) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sede": 1}, "has no option 'sede'; did you mean 'seed'?"),
        ({"schema": 2}, "has schema 2, but this version of zoo reads schema 4"),
        ({"schema": True}, "has schema True, but this version of zoo reads schema 4"),
        ({"schema": "4"}, "has schema '4', but this version of zoo reads schema 4"),
        ({"seed": "0"}, "the card: seed: expected int, got str"),
        (
            {"dataset": {"name": "x", "options": {}}},
            "the card: dataset: object missing required field fingerprint",
        ),
        ({"progress": None}, "the card: progress: expected object, got null"),
    ],
)
def test_the_error_for_a_wrong_card_names_the_file_and_the_field(
    card: Callable[..., Card], change: dict[str, object], message: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        parse_card(json.dumps(card().to_dict() | change), HERE)
    assert str(caught.value).startswith("model.safetensors")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000])
def test_a_card_that_is_not_a_table_is_refused(text: str) -> None:
    with pytest.raises(WeightsError, match=r"^model\.safetensors"):
        parse_card(text, HERE)


def test_a_file_without_a_card_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    write_container(path, [], {"format": "pt"})
    with pytest.raises(WeightsError, match="is a safetensors file without a zoo model card"):
        read_card(path)
