"""Data fed to a model as its card says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from zoo.data.views import View
from zoo.errors import DataError
from zoo.files.cards import Card
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

IMAGES = Classification(CLASSIFICATION)
TEXT = LanguageModeling(LANGUAGE_MODELING)
CLASSES = ["a", "b", "c", "d"]


def words(vocabulary: str, *, lower: bool = False) -> dict[str, Any]:
    return {"tokens": "char", "lower": lower, "vocabulary": ["<unk>", "<pad>", *vocabulary], "specials": 2}


@pytest.fixture
def image_card(card: Callable[..., Card]) -> Callable[..., Card]:
    def make(**preprocess: Any) -> Card:
        feed = {"size": 8, "mean": [0.0, 0.5, 0.0], "std": [1.0, 0.5, 1.0], "classes": CLASSES}
        dims = {"in_channels": 3, "image_size": 8, "num_classes": 4}
        return card(task="classification", arguments=dims, preprocess=feed | preprocess)

    return make


def test_another_text_is_translated_token_by_token(text: Any, card: Callable[..., Card]) -> None:
    data = text(50)  # tokens 2..7 are a..f
    fed = TEXT.feed(data, card(preprocess=words("fca")))
    to = {2: 4, 3: 0, 4: 3, 5: 0, 6: 0, 7: 2}  # a, c and f are known
    assert fed.split("train").tolist() == [to[token] for token in data.split("train").tolist()]
    assert fed.dims == {"vocab_size": 5}
    assert fed.preprocess == words("fca")
    assert fed.fingerprint == data.fingerprint


def test_specials_are_translated_by_name(text: Any, card: Callable[..., Card]) -> None:
    data = type(text())({"test": torch.tensor([0, 1, 2])}, 8)
    assert TEXT.feed(data, card(preprocess=words("xa"))).split("test").tolist() == [0, 1, 3]


def test_a_lower_case_model_reads_capitals_as_small_letters(text: Any, card: Callable[..., Card]) -> None:
    class Capitals(type(text())):
        preprocess = words("ABCDEF")

    data = Capitals({"test": torch.tensor([2, 3, 4])}, 8)
    assert TEXT.feed(data, card(preprocess=words("cba", lower=True))).split("test").tolist() == [4, 3, 2]
    assert TEXT.feed(data, card(preprocess=words("cba"))).split("test").tolist() == [0, 0, 0]


def test_a_newline_and_an_eos_are_translated_into_each_other(text: Any, card: Callable[..., Card]) -> None:
    class Lines(type(text())):
        preprocess = words("ab\n")

    class Ends(type(text())):
        preprocess = words("") | {"vocabulary": ["<eos>", *"ba"], "specials": 1, "newline_eos": True}

    lines, ends = Lines({"test": torch.tensor([2, 3, 4])}, 5), Ends({"test": torch.tensor([0, 1, 2])}, 3)
    assert TEXT.feed(lines, card(preprocess=Ends.preprocess)).split("test").tolist() == [
        2,
        1,
        0,
    ]
    assert TEXT.feed(ends, card(preprocess=Lines.preprocess)).split("test").tolist() == [
        4,
        3,
        2,
    ]


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (
            {"tokens": "word"},
            {},
            "reads word tokens in text order, but the data has char tokens in text order",
        ),
        (
            {"backwards": True},
            {},
            "reads char tokens in reverse order, but the data has char tokens in text order",
        ),
        (
            {},
            {"backwards": True},
            "reads char tokens in text order, but the data has char tokens in reverse order",
        ),
    ],
)
def test_other_tokens_or_the_other_direction_are_refused(
    text: Any, card: Callable[..., Card], model: dict[str, Any], data: dict[str, Any], message: str
) -> None:
    class Other(type(text())):
        preprocess = words("ab") | data

    with pytest.raises(DataError) as caught:
        TEXT.feed(Other({}, 4), card(preprocess=words("ab") | model))
    assert str(caught.value) == f"the model {message}"
    assert caught.value.hint == "the model was trained on text/files"


def test_a_text_in_the_models_own_vocabulary_is_not_copied(text: Any, card: Callable[..., Card]) -> None:
    data = text()
    fed = TEXT.feed(data, card(preprocess=dict(data.preprocess)))
    assert fed.split("train").data_ptr() == data.split("train").data_ptr()


def test_images_are_normalized_with_the_cards_mean_and_std(
    images: Any, image_card: Callable[..., Card]
) -> None:
    data = images()
    (batch,) = IMAGES.eval_batches(IMAGES.feed(data, image_card()), "val")
    pixels = torch.stack([image for image, _ in data.split("val")]) / 255
    torch.testing.assert_close(batch.inputs[:, 0], pixels[:, 0])
    torch.testing.assert_close(batch.inputs[:, 1], pixels[:, 1] * 2 - 1)


def test_classes_may_be_any_sequence(images: Any, image_card: Callable[..., Card]) -> None:
    data = images()
    named = {**data.preprocess, "classes": tuple(data.preprocess["classes"])}
    view = View(dims=data.dims, preprocess=named, split=data.split, fingerprint=data.fingerprint)
    assert IMAGES.feed(view, image_card()).preprocess["classes"] == data.preprocess["classes"]
