"""A model evaluated on text that is opened the way the model reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainings import evaluated, train
from zoo.api.entry_description import describe
from zoo.config.recipe import Recipe
from zoo.data.vocabulary import tokenize
from zoo.errors import DataError, OptionError, SpecError, ZooWarning
from zoo.files.cards import Card
from zoo.models import weights
from zoo.registry.catalog import Catalog
from zoo.registry.registry import Registry
from zoo_text import language_modeling

TEXT = "To be,  or not to be:\nthat is the question.\n" * 60
READING = {"tokens": "word", "lower": True, "newline_eos": True, "backwards": True}
OTHER = {"tokens": "char", "lower": False, "newline_eos": False, "backwards": False, "vocabulary": ["<unk>"]}

PLAIN = """
import torch

from zoo import DatasetSpec, hookimpl
from zoo.interfaces import Dataset


class Plain(Dataset):
    dims = {"vocab_size": 3}
    fingerprint = "1" * 64
    preprocess = {"lower": False, "vocabulary": ["<unk>", "t", "\\n"], "specials": 1}

    def __init__(self, *, kind: str = "char"):
        self.preprocess = {**self.preprocess, "tokens": kind}

    def split(self, name):
        return torch.tensor([1, 2] * 40)


class WithoutTest(Plain):
    def split(self, name):
        return {"train": super().split(name), "val": super().split(name)}[name]


class Nameless(Plain):
    fingerprint = None


@hookimpl
def zoo_datasets():
    fields = {"task": "language-modeling", "summary": "Plain"}
    return [
        DatasetSpec(name="nameless", target="plain:Nameless", **fields),
        DatasetSpec(name="data", target="plain:Plain", **fields),
        DatasetSpec(name="untested", target="plain:WithoutTest", **fields),
    ]
"""


def test_text_of_tokens_that_no_model_could_be_fed_with_is_refused_before_training(
    folder: Path, tmp_path: Path
) -> None:
    registry = Registry.discover(Catalog(), files=[folder / "plain.py"])
    recipe = Recipe(architecture="lstm", dataset="plain/data", data={"kind": "bpe"})
    message = r"^plain/data cannot be fed to a model: tokens: unknown tokenizer 'bpe'"
    with pytest.raises(DataError, match=message):
        train(recipe, registry, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_without_a_fingerprint_is_refused_before_training(plain: Registry, tmp_path: Path) -> None:
    recipe = Recipe(architecture="lstm", dataset="plain/nameless")
    with pytest.raises(
        SpecError, match=r"^dataset plain/nameless: its fingerprint must be a string \(got None\)(?m:$)"
    ):
        train(recipe, plain, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "a.txt").write_text(TEXT)
    (folder / "plain.py").write_text(PLAIN)
    return folder


@pytest.fixture(scope="module")
def plain(folder: Path) -> Registry:
    return Registry.discover(Catalog(), files=[folder / "plain.py"])


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
def model(registry: Registry, folder: Path) -> tuple[nn.Module, Card]:
    """Return a model that reads words backwards, and its card."""
    return weights.load(trained(registry, folder, "words", **READING), registry)


def test_options_cannot_change_how_the_model_reads(
    model: tuple[nn.Module, Card], registry: Registry, folder: Path
) -> None:
    paths = {"paths": str(folder / "a.txt")}
    usual = evaluated(*model, registry, data=paths)
    with pytest.raises(OptionError) as caught:
        evaluated(*model, registry, data=OTHER | paths)
    assert str(caught.value).startswith("the model requires tokens=word, lower=true")
    assert "(got tokens=char, lower=false, newline_eos=false, backwards=false)" in str(caught.value)
    with pytest.warns(ZooWarning, match="--data cannot change vocabulary: the model requires the values"):
        assert evaluated(*model, registry, data={"vocabulary": ["<unk>", "<eos>"], **paths}) == usual
    assert usual["unit"] == "tokens"


def test_other_data_is_read_as_the_model_was_trained_to(
    model: tuple[nn.Module, Card], registry: Registry, folder: Path
) -> None:
    file = {"paths": str(folder / "a.txt"), "splits": [50, 40, 10]}
    with pytest.warns(ZooWarning, match="this is not the text/files data that the model was trained on"):
        result = evaluated(*model, registry, dataset="files", data=file)
    assert result == evaluated(*model, registry, data=file)
    length = len(tokenize(TEXT, "word"))
    assert result["count"] == length - length * 90 // 100 - 1


def test_a_dataset_without_a_split_is_refused_in_words(
    model: tuple[nn.Module, Card], plain: Registry, tmp_path: Path
) -> None:
    message = r"^dataset plain/untested has no test split: split\('test'\) raised KeyError: 'test'(?m:$)"
    recipe = Recipe(architecture="lstm", dataset="plain/untested")
    for use in (
        lambda: evaluated(*model, plain, dataset="plain/untested"),
        lambda: evaluated(*model, plain, dataset="plain/untested", split="test"),
        lambda: train(recipe, plain, directory=tmp_path / "run", device="cpu"),
    ):
        with pytest.raises(SpecError, match=message) as caught:
            use()
        assert caught.value.hint == "for a split without data, return []"
    unknown = describe("plain/untested", registry=plain)["unknown"]
    assert unknown.startswith("splits: dataset plain/untested has no test split: ")


def test_the_card_records_how_the_model_reads(model: tuple[nn.Module, Card]) -> None:
    preprocess = model[1].preprocess
    assert {name: preprocess[name] for name in READING} == READING


def test_tokens_of_another_vocabulary_are_renumbered_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, table = torch.randint(0, 40, (1_000,)).to(torch.uint8), torch.randperm(40).to(torch.uint8)
    monkeypatch.setattr(language_modeling, "_BLOCK", 300)
    numbers = language_modeling._renumbered(tokens, table)  # pyright: ignore[reportPrivateUsage]
    assert numbers.dtype == torch.uint8
    assert torch.equal(numbers, table[tokens.long()])
