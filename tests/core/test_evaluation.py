"""A model measured on text that is opened the way the model reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo import Recipe, tokenize
from zoo.errors import DataError
from zoo.evaluation.evaluate import evaluate_weights
from zoo.files.cards import read_card
from zoo.registry.registry import Registry
from zoo.training.run import train

TEXT = "To be,  or not to be:\nthat is the question.\n" * 60
READING = {"tokens": "word", "lower": True, "newline_eos": True, "backwards": True}
OTHER = {"tokens": "char", "lower": False, "newline_eos": False, "backwards": False, "vocabulary": ["<unk>"]}

PLAIN = """
import torch

from zoo import DatasetSpec, hookimpl, tokenize
from zoo.interfaces import Dataset


class Plain(Dataset):
    dims = {"vocab_size": 3}
    fingerprint = "1" * 64
    preprocess = {"lower": False, "vocabulary": ["<unk>", "t", "\\n"], "specials": 1}

    def __init__(self, *, kind: str = "char"):
        self.preprocess = {**self.preprocess, "tokens": kind}

    def split(self, name):
        return torch.tensor([1, 2] * 40)


@hookimpl
def zoo_datasets():
    return [DatasetSpec(name="data", target="plain:Plain", task="language-modelling", summary="Plain")]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "a.txt").write_text(TEXT)
    (folder / "plain.py").write_text(PLAIN)
    return folder


@pytest.fixture(scope="module")
def plain(folder: Path) -> Registry:
    return Registry.discover(local=[folder / "plain.py"])


def trained(registry: Registry, folder: Path, name: str, **data: Any) -> Path:
    recipe = Recipe(
        architecture="lstm",
        dataset="text/files",
        data={"paths": str(folder / "a.txt"), **data},
        model={"hidden_size": 8, "num_layers": 1},
        train={"epochs": 1, "batch_size": 4},
    )
    return Path(train(recipe, registry, directory=folder / name).weights)


@pytest.fixture(scope="module")
def weights(registry: Registry, folder: Path) -> Path:
    """Return a model that reads words backwards."""
    return trained(registry, folder, "words", **READING)


def test_the_models_way_of_reading_goes_before_the_users(weights: Path, registry: Registry) -> None:
    notices: list[str] = []
    usual = evaluate_weights(weights, registry)
    assert evaluate_weights(weights, registry, data=OTHER, notice=notices.append) == usual
    (told,) = notices  # and not that the data is other: it is the same after all
    assert "which --data does not change" in told
    assert all(name in told for name in OTHER)
    assert usual["unit"] == "tokens"


def test_other_data_is_opened_in_the_models_way(weights: Path, registry: Registry, folder: Path) -> None:
    file = {"paths": str(folder / "a.txt"), "splits": [50, 40, 10]}
    told = evaluate_weights(weights, registry, dataset="files", data=file)
    assert told == evaluate_weights(weights, registry, data=file)
    length = len(tokenize(TEXT, "word"))
    assert told["count"] == length - length * 90 // 100 - 1


def test_the_card_tells_the_way_of_reading(weights: Path) -> None:
    card, _ = read_card(weights)
    assert {name: card.preprocess[name] for name in READING} == READING


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "the model reads word tokens backwards, and the data gives char tokens forwards"),
        ({"kind": "word"}, "the model reads word tokens backwards, and the data gives word tokens forwards"),
    ],
)
def test_data_that_cannot_be_read_in_the_models_way_is_refused(
    weights: Path, plain: Registry, data: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError) as caught:
        evaluate_weights(weights, plain, dataset="plain/data", data=data)
    assert str(caught.value) == told
    assert caught.value.hint == "it was trained on text/files"
