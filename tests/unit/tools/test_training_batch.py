"""`zoo show --image` and `zoo.training_batch`: the first batch that a training sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.shell import SMALL_SHAPES
from tests.shell import zoo as shell
from zoo.errors import OptionError, UnknownName
from zoo.interfaces import Batch
from zoo_images.classification import Classification

QUIET: dict[str, Any] = {"progress": False}
SMALL = {"train_size": 64, "val_size": 16, "test_size": 16}
AUGMENTED: dict[str, Any] = {"augment": ["crop", "flip"], "mixup_alpha": 0.4, "batch_size": 16}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that trainings with seed 3 read."""
    batches: list[Batch] = []
    yielding = Classification.train_batches

    def recording(*arguments: Any, **options: Any) -> Iterator[Batch]:
        for batch in yielding(*arguments, **options):
            batches.extend([batch] if options["seed"] == 3 else [])
            yield batch

    monkeypatch.setattr(Classification, "train_batches", recording)
    return batches


@pytest.mark.parametrize("options", [{}, AUGMENTED])
def test_the_batch_is_bit_for_bit_the_first_of_a_training(
    options: dict[str, Any], seen: list[Batch], tmp_path: Path
) -> None:
    training: dict[str, Any] = {"data": SMALL, "seed": 3, **options}
    zoo.train("mlp", "shapes", run=tmp_path / "run", epochs=1, **training, **QUIET)
    first = seen[0]
    found = zoo.training_batch("mlp", "shapes", epochs=1, **training, **QUIET).batch
    assert torch.equal(found.inputs, first.inputs)
    assert torch.equal(found.targets, first.targets)
    other = zoo.training_batch("mlp", "shapes", **{**training, "seed": 4}, **QUIET).batch
    assert not torch.equal(other.inputs, first.inputs)


def test_a_dataset_alone_has_the_batches_of_every_training_with_these_options() -> None:
    found = zoo.training_batch("shapes", data=SMALL, seed=3, **AUGMENTED, **QUIET)
    same = zoo.training_batch("mlp", "shapes", data=SMALL, seed=3, **AUGMENTED, **QUIET)
    assert torch.equal(found.batch.inputs, same.batch.inputs)
    assert (found.title, same.title) == ("images/shapes", "convnet/mlp on images/shapes")


def test_the_batch_is_described() -> None:
    found = zoo.training_batch("shapes", data=SMALL, batch_size=16, **QUIET)
    facts = found.to_dict()
    assert (facts["count"], facts["shape"]) == (16, [3, 32, 32])
    assert sum(facts["classes"].values()) == 16
    torch.testing.assert_close(torch.tensor(facts["mean"]), found.batch.inputs.mean((0, 2, 3)))
    assert facts["lowest"] == found.batch.inputs.min()
    one, four = found.sheet(1), found.sheet(4)
    assert one.width * one.height < four.width * four.height
    blended = zoo.training_batch("shapes", data=SMALL, **AUGMENTED, **QUIET)
    assert sum(blended.to_dict()["classes"].values()) == pytest.approx(16, abs=1e-2)
    assert blended._repr_png_()[:4] == b"\x89PNG"


def test_several_labels_of_an_image_are_counted() -> None:
    facts = zoo.training_batch("scenes", data=SMALL, batch_size=16, **QUIET).to_dict()
    assert sum(facts["classes"].values()) > 16


def test_what_has_no_images_is_refused() -> None:
    with pytest.raises(OptionError, match="the batches of text/stdlib are not images with classes"):
        zoo.training_batch("stdlib", **QUIET)
    with pytest.raises(UnknownName, match="the architecture mlp requires a dataset"):
        zoo.training_batch("mlp", **QUIET)
    with pytest.raises(OptionError, match="model requires an architecture"):
        zoo.training_batch("shapes", model={"hidden_size": 3}, **QUIET)
    with pytest.raises(OptionError, match="has no option 'batch_siz'; did you mean 'batch_size'"):
        zoo.training_batch("shapes", batch_siz=3, **QUIET)


def test_the_command_draws_the_batch_and_describes_it(tmp_path: Path) -> None:
    path = tmp_path / "batch.png"
    words = [
        "show",
        "shapes",
        *SMALL_SHAPES,
        "--image",
        path,
        "--train",
        "batch_size=16",
        "--train",
        "seed=3",
    ]
    lines = shell(*words).stdout.splitlines()
    assert lines[0] == "First batch of images/shapes 16 images"
    assert f"figure            {path}" in lines[-1]
    drawn = path.read_bytes()
    document = json.loads(shell(*words, "--json").stdout)
    assert path.read_bytes() == drawn
    assert document["image"] == str(path)
    assert document["count"] == 16
    document = json.loads(shell(*words, "--architecture", "mlp", "--json").stdout)
    assert document["training"] == "convnet/mlp on images/shapes"


def test_a_recipe_has_its_own_options(tmp_path: Path) -> None:
    few = [word for split in ("train", "val", "test") for word in ("--data", f"{split}_size=16")]
    words = ["show", "shapes-camnet", "--image", tmp_path / "x.png", *few, "--json"]
    document = json.loads(shell(*words).stdout)
    assert (document["training"], document["shape"]) == ("convnet/camnet on images/shapes", [3, 64, 64])


def test_options_of_the_batch_without_an_image_are_refused(tmp_path: Path) -> None:
    done = shell("show", "shapes", "--train", "seed=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "zoo: --train and --architecture require --image",
        "     add --image FILE.png",
    ]
    done = shell("show", "shapes", *SMALL_SHAPES, "--image", tmp_path / "nope" / "x.png")
    assert (done.returncode, "cannot be written" in done.stderr) == (1, True)
    done = shell("show", "shapes", "--image", tmp_path / "x.png", "--train", "batch_size")
    assert (done.returncode, "--train expects KEY=VALUE" in done.stderr) == (2, True)
    assert "Splits" in shell("show", "shapes", *SMALL_SHAPES).stdout


@pytest.mark.parametrize("name", ["data", "model", "name", "dataset", "registry", "progress"])
def test_train_takes_only_training_options(name: str, tmp_path: Path) -> None:
    out = tmp_path / "batch.png"
    done = shell("show", "shapes", "--image", out, "--train", f"{name}=1")
    assert (done.returncode, done.stderr.partition("\n")[0]) == (2, f"zoo: --train has no option '{name}'")
    assert not out.exists()
