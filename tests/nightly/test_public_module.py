"""A first session in Python, line by line, on drawn images and a small model of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

import zoo
from zoo.errors import ZooWarning

pytestmark = pytest.mark.timeout(600)

SMALL_SHAPES: dict[str, Any] = {"train_size": 256, "val_size": 64, "test_size": 64}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Work in an empty folder, as a notebook does."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def run(home: Path) -> zoo.Run:
    return zoo.train("resnet20", "shapes", data=SMALL_SHAPES, epochs=4, lr=0.1)


@pytest.fixture(scope="module")
def images(home: Path) -> Path:
    """Return a folder of images, one class folder for each color."""
    for color in ("red", "blue"):
        folder = home / "images" / color
        folder.mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (40, 36), color).save(folder / f"{number}.png")
    return home / "images"


def test_what_there_is_is_listed() -> None:
    assert "resnet20" in zoo.list_models("resnet*")
    assert "cifar10-resnet20" in zoo.list_weights()
    assert {"shapes", "stdlib", "folder"} <= {*zoo.list_datasets()}


def test_a_run_shows_its_history_figure_and_models(run: zoo.Run) -> None:
    assert run.directory == Path("runs/resnet20-shapes")
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]
    assert run.recipe.train["lr"] == 0.1
    assert isinstance(run.plot(), Figure)
    assert run.model.card.progress["epochs"] in (1, 2, 3, 4)
    assert run.last.card.progress["epochs"] == 4
    assert "convnet/resnet20 on images/shapes, 4 epochs" in repr(run)


def test_a_model_is_loaded_measured_and_looked_into(run: zoo.Run, images: Path) -> None:
    model = zoo.load(run.directory)
    result = model.evaluate("test", tta=True)
    assert (result["count"], result["tta"]) == (64, True)
    assert 0 <= result["metrics"]["accuracy"] <= 1
    with pytest.warns(ZooWarning, match="central square"):
        findings = model.analyze("grad-cam", images / "red" / "0.png")
    assert (findings._repr_jpeg_() or b"").startswith(b"\xff\xd8")
    assert "convnet/resnet20, " in repr(model)


def test_a_model_is_tuned_on_images_of_ones_own(run: zoo.Run, images: Path) -> None:
    with pytest.warns(ZooWarning, match="starting from .* trained on images/shapes; newly initialized"):
        tuned = zoo.train(
            "resnet20",
            "folder",
            data={"root": str(images)},
            from_weights=run.directory,
            epochs=2,
            batch_size=8,
        )
    assert tuned.model.classes == ["blue", "red"]
    assert tuned.directory == Path("runs/resnet20-folder")


def test_a_text_model_is_trained_and_sampled() -> None:
    run = zoo.train("stdlib-lstm", model={"hidden_size": 32, "num_layers": 1}, epochs=1)
    assert len(str(run.model.sample("def ", max_new_tokens=200))) == 200


def test_a_plain_module_and_a_dataset() -> None:
    module = zoo.create_model("resnet56", num_classes=10)
    assert isinstance(module, nn.Module)
    data = zoo.open_dataset("shapes", size=64)
    image, label = data.split("test")[0]
    assert image.shape == (3, 64, 64)
    with torch.no_grad():
        logits = module.eval()(image[None].float() / 255)
    assert logits.shape == (1, 10)
    assert 0 <= label < 8
