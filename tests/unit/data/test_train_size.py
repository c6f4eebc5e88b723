"""`train_size`: a part of the training split, with everything else unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoo
from zoo.config.declarations import declared
from zoo.registry.registry import Registry
from zoo.registry.specs import DatasetSpec


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images of two classes, a table of their labels, and a text."""
    folder = tmp_path_factory.mktemp("home")
    rows = ["file,labels"]
    for number in range(24):
        label = "cat" if number < 12 else "dog"
        (folder / "classes" / label).mkdir(parents=True, exist_ok=True)
        (folder / "table").mkdir(exist_ok=True)
        for path in (folder / "classes" / label / f"{number}.png", folder / "table" / f"{number}.png"):
            Image.new("RGB", (16, 16), (10 * number, 0, 0)).save(path)
        rows.append(f"{number}.png,{label}")
    (folder / "table" / "labels.csv").write_text("\n".join(rows))
    (folder / "fox.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 20)
    return folder


def opened(name: str, home: Path, **options: Any) -> Any:
    where: dict[str, Any] = {
        "folder": {"root": str(home / "classes"), "size": 16},
        "labeled": {"root": str(home / "table"), "size": 16},
        "files": {"paths": str(home / "fox.txt")},
    }[name]
    return zoo.open_dataset(name, progress=False, **where, **options)


def test_every_dataset_of_zoo_has_the_option() -> None:
    registry = Registry.discover()
    ours = [each for each in registry.entries_of(DatasetSpec) if each.plugin.ours]
    assert len(ours) > 8
    assert [each.name for each in ours if "train_size" not in declared(each.load())] == []


@pytest.mark.parametrize(
    ("name", "options"),
    [("folder", {}), ("folder", {"cache": False}), ("labeled", {}), ("files", {})],
)
def test_only_the_training_split_is_smaller(name: str, options: dict[str, Any], home: Path) -> None:
    whole, eight, nine = (opened(name, home, train_size=size, **options) for size in (0, 8, 9))
    assert [len(data.split("train")) for data in (eight, nine)] == [8, 9]
    assert len(eight.split("val")) == len(whole.split("val")) > 0
    assert (eight.preprocess, eight.dims) == (whole.preprocess, whole.dims)
    assert len({data.fingerprint for data in (whole, eight, nine)}) == 3
    assert whole.fingerprint == opened(name, home, **options).fingerprint


def test_images_are_a_sample_of_every_class_and_contained_in_larger_samples(home: Path) -> None:
    few, more = (opened("folder", home, train_size=size).split("train") for size in (8, 12))
    assert set(few.labels.tolist()) == {0, 1}
    assert {*few.files} < {*more.files}
    index = more.files.index(few.files[3])
    assert torch.equal(few[3][0], more[index][0])


def test_a_text_is_cut_after_its_first_tokens(home: Path) -> None:
    whole = opened("files", home).split("train")
    assert torch.equal(opened("files", home, train_size=100).split("train"), whole[:100])


@pytest.mark.parametrize(
    ("name", "there"), [("folder", "20, the number of training images"), ("files", "704, the")]
)
def test_more_than_there_is_is_refused(name: str, there: str, home: Path) -> None:
    with pytest.raises(zoo.OptionError, match=rf"train_size must be at most {there}.* \(got 1,000\)"):
        opened(name, home, train_size=1_000)
