"""Data as the card of a model says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from zoo.data.feeding import feed_as
from zoo.errors import DataError
from zoo.files.cards import Card

CLASSES = ["a", "b", "c", "d"]


def words(vocabulary: str, *, lower: bool = False) -> dict[str, Any]:
    return {"tokens": "char", "lower": lower, "vocabulary": ["<unk>", "<pad>", *vocabulary], "specials": 2}


@pytest.fixture
def image_card(card: Callable[..., Card]) -> Callable[..., Card]:
    def make(arguments: Mapping[str, Any] = {}, **preprocess: Any) -> Card:
        feed = {"size": 8, "mean": [0.0, 0.5, 0.0], "std": [1.0, 0.5, 1.0], "classes": CLASSES}
        dims = {"in_channels": 3, "image_size": 8, "num_classes": 4}
        return card(task="classification", arguments=dims | arguments, preprocess=feed | preprocess)

    return make


def test_another_text_is_translated_token_by_token(text: Any, card: Callable[..., Card]) -> None:
    data = text(50)  # tokens 2..7 are a..f
    fed = feed_as(data, card(preprocess=words("fca")))
    to = {2: 4, 3: 0, 4: 3, 5: 0, 6: 0, 7: 2}  # a, c and f are known
    assert fed.split("train").tolist() == [to[token] for token in data.split("train").tolist()]
    assert fed.dims == {"vocab_size": 5}
    assert fed.preprocess == words("fca")
    assert fed.fingerprint == data.fingerprint


def test_specials_stay_what_they_are(text: Any, card: Callable[..., Card]) -> None:
    data = type(text())({"test": torch.tensor([0, 1, 2])}, 8)
    assert feed_as(data, card(preprocess=words("xa"))).split("test").tolist() == [0, 1, 3]


def test_a_lower_case_model_reads_capitals_as_small_letters(text: Any, card: Callable[..., Card]) -> None:
    class Capitals(type(text())):
        preprocess = words("ABCDEF")

    data = Capitals({"test": torch.tensor([2, 3, 4])}, 8)
    assert feed_as(data, card(preprocess=words("cba", lower=True))).split("test").tolist() == [4, 3, 2]
    assert feed_as(data, card(preprocess=words("cba"))).split("test").tolist() == [0, 0, 0]


def test_a_newline_is_a_newline_whatever_it_is_called(text: Any, card: Callable[..., Card]) -> None:
    class Lines(type(text())):
        preprocess = words("ab\n")

    class Ends(type(text())):
        preprocess = words("") | {"vocabulary": ["<eos>", *"ba"], "specials": 1, "newline_eos": True}

    lines, ends = Lines({"test": torch.tensor([2, 3, 4])}, 5), Ends({"test": torch.tensor([0, 1, 2])}, 3)
    assert feed_as(lines, card(preprocess=Ends.preprocess)).split("test").tolist() == [2, 1, 0]
    assert feed_as(ends, card(preprocess=Lines.preprocess)).split("test").tolist() == [4, 3, 2]


@pytest.mark.parametrize(
    ("model", "data", "told"),
    [
        ({"tokens": "word"}, {}, "reads word tokens forwards, and the data gives char tokens forwards"),
        ({"backwards": True}, {}, "reads char tokens backwards, and the data gives char tokens forwards"),
        ({}, {"backwards": True}, "reads char tokens forwards, and the data gives char tokens backwards"),
    ],
)
def test_another_kind_of_tokens_or_the_other_direction_is_refused(
    text: Any, card: Callable[..., Card], model: dict[str, Any], data: dict[str, Any], told: str
) -> None:
    class Other(type(text())):
        preprocess = words("ab") | data

    with pytest.raises(DataError) as caught:
        feed_as(Other({}, 4), card(preprocess=words("ab") | model))
    assert str(caught.value) == f"the model {told}"
    assert caught.value.hint == "it was trained on text/files"


def test_the_same_vocabulary_is_passed_through_uncopied(text: Any, card: Callable[..., Card]) -> None:
    data = text()
    fed = feed_as(data, card(preprocess=dict(data.preprocess)))
    assert fed.split("train").data_ptr() == data.split("train").data_ptr()


def test_images_are_normalised_with_the_card(images: Any, image_card: Callable[..., Card]) -> None:
    data = images()
    (batch,) = Classification().eval_batches(feed_as(data, image_card()), "val")
    pixels = torch.stack([image for image, _ in data.split("val")]) / 255
    torch.testing.assert_close(batch.inputs[:, 0], pixels[:, 0])
    torch.testing.assert_close(batch.inputs[:, 1], pixels[:, 1] * 2 - 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"num_classes": 10}, "the data's num_classes is 4, and the model takes 10"),
        ({"image_size": 32}, "the data's image_size is 8, and the model takes 32"),
        ({"in_channels": 1}, "the data's in_channels is 3, and the model takes 1"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    images: Any, image_card: Callable[..., Card], arguments: dict[str, int], told: str
) -> None:
    with pytest.raises(DataError) as caught:
        feed_as(images(), image_card(arguments))
    assert str(caught.value) == told
    assert "text/files" in (caught.value.hint or "")


def test_other_classes_or_another_order_are_refused(images: Any, image_card: Callable[..., Card]) -> None:
    with pytest.raises(DataError, match="the data's classes are not those of text/files"):
        feed_as(images(), image_card(classes=["b", "a", "c", "d"]))
