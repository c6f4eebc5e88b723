"""Features are what the head of a model reads, whatever the batches and the source."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from tests.unit.models.test_hooks import hooks
from zoo.errors import DataError, Diverged, OptionError, OutputError, ZooWarning
from zoo.models.features import features_of, pooled
from zoo.models.windows import windowed
from zoo.registry.registry import Registry
from zoo.registry.specs import ArchitectureSpec

QUIET: dict[str, Any] = {"progress": False}
DATA = {"size": 64, "train_size": 80, "val_size": 0, "test_size": 40}

pytestmark = pytest.mark.filterwarnings("ignore:images of other sizes")


@pytest.fixture(scope="module")
def net() -> zoo.Model:
    return zoo.load("shapes-resnet20", **QUIET)


@pytest.fixture(scope="module")
def reader() -> zoo.Model:
    return zoo.load("nietzsche-rnn", **QUIET)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a few drawn shapes."""
    folder = tmp_path_factory.mktemp("images")
    images = zoo.open_dataset("shapes", **{**DATA, "train_size": 8, "test_size": 6}, **QUIET).split("test")
    for number in range(len(images)):
        Image.fromarray(images[number][0].permute(1, 2, 0).numpy()).save(folder / f"{number:02}.png")
    return folder


def head_of(model: zoo.Model) -> nn.Module:
    return model.module.get_submodule("out")


def test_features_of_images_are_what_the_head_reads(net: zoo.Model, images: Path) -> None:
    found = np.asarray(net.features(images, **QUIET))
    assert (found.dtype, found.shape) == (np.float32, (6, 64))
    with torch.no_grad():
        shares = head_of(net)(torch.from_numpy(found)).softmax(1)
    rows = net.predict(images, top=99, **QUIET)
    for share, row in zip(shares, rows, strict=True):
        answers = {answer["class"]: answer["probability"] for answer in row["predictions"]}
        assert share.tolist() == pytest.approx([answers[name] for name in net.classes], abs=1e-5)


def test_a_layer_is_named_by_a_landmark_or_its_path(net: zoo.Model, images: Path) -> None:
    usual = np.asarray(net.features(images, **QUIET))
    np.testing.assert_array_equal(np.asarray(net.features(images, layer="stages", **QUIET)), usual)
    assert np.asarray(net.features(images, layer="conv", **QUIET)).shape == (6, 16)
    logits = np.asarray(net.features(images, layer="head", **QUIET))
    with torch.no_grad():
        np.testing.assert_allclose(logits, head_of(net)(torch.from_numpy(usual)), atol=1e-4)


def test_feature_maps_are_kept_on_request(net: zoo.Model, images: Path) -> None:
    maps = np.asarray(net.features(images, pool=False, **QUIET))
    assert maps.shape == (6, 64, 16, 16)
    np.testing.assert_allclose(maps.mean((2, 3)), np.asarray(net.features(images, **QUIET)), atol=1e-5)


def test_settings_of_rows_are_checked_too(net: zoo.Model) -> None:
    for wrong in ({"pool": "maybe"}, {"threads": 0}):
        with pytest.raises(OptionError, match=f"{next(iter(wrong))} must be"):
            net.features([], **wrong, **QUIET)


def test_an_input_that_cannot_be_read_is_a_row_of_nan_and_a_warning(net: zoo.Model, images: Path) -> None:
    good = images / "03.png"
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ZooWarning)
        found = np.asarray(
            net.features(iter(["nope.png", good, *[f"gone-{n}.png" for n in range(12)]]), **QUIET)
        )
    assert np.isnan(found[[0, *range(2, 14)]]).all()
    np.testing.assert_array_equal(found[1], np.asarray(net.features(good, **QUIET))[0])
    told = [str(one.message) for one in seen if "central square" not in str(one.message)]
    assert told[0] == "nope.png no such file or folder"
    assert len(told) == 11
    assert told[-1] == "3 more inputs could not be read"
    with pytest.raises(DataError, match="none of the inputs can be read"), pytest.warns(ZooWarning):
        np.asarray(net.features(iter(["nope.png"]), **QUIET))
    with pytest.raises(DataError, match="no images given"):
        np.asarray(net.features([], **QUIET))


def test_inputs_are_asked_for_no_faster_than_they_are_read(net: zoo.Model, images: Path) -> None:
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield images / "01.png"

    rows = iter(net.features(endless(), batch_size=2, threads=1, **QUIET))
    first = [next(rows) for _ in range(4)]
    rows.close()
    assert asked < 12
    assert first[0].keys() == {"input", "features", "error"}
    assert hooks(net.module) == 0


def test_nearest_images_are_of_the_same_shape_in_features_and_not_in_pixels(net: zoo.Model) -> None:
    data = zoo.open_dataset("shapes", **DATA, **QUIET)
    images, labels, features = {}, {}, {}
    for split in ("train", "test"):
        items = [data.split(split)[number] for number in range(DATA[f"{split}_size"])]
        images[split] = torch.stack([image for image, _ in items])
        labels[split] = torch.tensor([label for _, label in items])
        features[split] = torch.from_numpy(np.asarray(net.features([image for image, _ in items], **QUIET)))

    def right(vectors: dict[str, Tensor]) -> float:
        asked, known = (F.normalize(vectors[split].flatten(1).float()) for split in ("test", "train"))
        nearest = labels["train"][(asked @ known.T).argmax(1)]
        return float((nearest == labels["test"]).double().mean())

    assert right(features) > 0.8
    assert right(images) < 0.4


# Texts


def test_features_of_a_text_are_what_the_head_reads_after_each_token(reader: zoo.Model) -> None:
    texts = ["the will to power. " * 20, "beyond good and evil", "x"]
    rows = [*reader.features(texts[:2], pool=False, **QUIET)]
    for text, row in zip(texts, rows, strict=False):
        assert row["features"].shape == (len(text), 256)
        tokens = torch.tensor(reader.vocabulary.encode(text)[0])[:, None]
        with torch.no_grad():
            logits, _ = reader.module(tokens, None)
            found = head_of(reader)(torch.from_numpy(row["features"]))
        torch.testing.assert_close(found, logits[:, 0], atol=1e-4, rtol=1e-4)
    means = np.asarray(reader.features(texts[:2], **QUIET))
    for mean, row in zip(means, rows, strict=True):
        np.testing.assert_allclose(mean, row["features"].mean(0), atol=1e-5)
    with pytest.raises(OptionError) as caught:
        np.asarray(reader.features(texts[:2], pool=False, **QUIET))
    assert str(caught.value) == "input 1 has feature shape (20, 256); earlier inputs have (380, 256)"


@pytest.mark.parametrize("length", [16, 200])
def test_a_text_longer_than_the_context_is_read_in_windows(
    reader: zoo.Model, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(reader._runner, "context", length)  # pyright: ignore[reportPrivateUsage]
    text = "the will to power. " * 20
    (row,) = reader.features(text, pool=False, **QUIET)
    tokens = torch.tensor(reader.vocabulary.encode(text)[0])[:, None]
    with torch.no_grad():
        logits, _ = windowed(reader.module, length)(tokens, None)
        found = head_of(reader)(torch.from_numpy(row["features"]))
    torch.testing.assert_close(found, logits[:, 0], atol=1e-4, rtol=1e-4)


REGISTRY = Registry.discover()


def test_every_architecture_of_zoo_says_where_its_features_are() -> None:
    """`landmarks_resolve` of the contract kit checks that they are there."""
    entries = REGISTRY.entries("architecture")
    ours = [
        entry for entry in entries if entry.plugin.ours and entry.plugin.name != "timm"
    ]  # which finds them
    landmarks = {entry.name: cast("ArchitectureSpec", entry.spec).landmarks for entry in ours}
    assert len(landmarks) >= 19
    assert [name for name, known in landmarks.items() if not known.keys() & {"features", "head"}] == []


# What a layer may be


class Odd(nn.Module):
    """A layer whose result is changed in place, one with a tuple, and one that runs at each time step."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.idle = nn.Identity()
        self.rnn = nn.GRU(4, 5, batch_first=True)
        self.cell = nn.GRUCell(5, 6)
        self.head = nn.Linear(5, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.conv(images)).flatten(2).transpose(1, 2)  # (B, N, 4)
        x, _ = self.rnn(x)
        self.cell(x[:1].flatten(0, 1))
        return self.head(x[:, -1])


IMAGES = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def taken(model: nn.Module, **landmarks: str) -> Tensor:
    with torch.no_grad(), features_of(model, landmarks) as features:
        model(IMAGES)
    return features.output


def test_features_are_as_they_were_before_the_model_changed_them() -> None:
    model = Odd()
    with torch.no_grad():
        before = model.conv(IMAGES)
    assert (before < 0).any()
    torch.testing.assert_close(taken(model, features="conv"), before)


def test_features_of_a_recurrent_layer_are_its_output_and_are_averaged_over_time() -> None:
    found = taken(Odd(), features="rnn")
    assert found.shape == (3, 4, 5)
    torch.testing.assert_close(pooled(found), found.mean(1))


def test_without_features_they_are_what_the_head_reads() -> None:
    model = Odd()
    found = taken(model, head="head")
    with torch.no_grad():
        torch.testing.assert_close(model.head(found), model(IMAGES))
    torch.testing.assert_close(found, taken(model, features="rnn")[:, -1])
    assert taken(model, head="head", features="conv").shape == (3, 4, 2, 2)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("idle", "layer idle must return features (got nothing, because it did not run)"),
        ("cell", "layer cell must return features (got shape (4, 6) for inputs of shape (3, 3, 2, 2))"),
    ],
)
def test_a_layer_without_features_is_refused(layer: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        taken(Odd(), features=layer)
    assert str(caught.value) == message


def test_a_model_without_landmarks_is_asked_for_a_layer_by_its_path(
    net: zoo.Model, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net._runner, "_landmarks", {})  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(OptionError) as caught:
        np.asarray(net.features(images, **QUIET))
    assert str(caught.value) == "the model has no landmark 'features'; its landmarks: none"
    assert str(caught.value.hint).startswith("choose a layer by its path; its top-level layers: conv,")
    assert np.asarray(net.features(images, layer="stages", **QUIET)).shape == (6, 64)


def test_features_that_are_not_finite_are_an_error(images: Path) -> None:
    broken = zoo.load("shapes-resnet20", **QUIET)
    with torch.no_grad():
        next(broken.module.parameters()).fill_(3e38)
    with pytest.raises(Diverged, match=r"the features of .*00\.png are not finite"):
        np.asarray(broken.features(images, **QUIET))
    assert hooks(broken.module) == 0


# Files


def test_an_array_has_a_row_for_each_input_and_the_names_beside_it(
    net: zoo.Model, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.npy"
    with pytest.warns(ZooWarning, match=r"nope\.png no such file"):
        result = net.features(iter(["nope.png", images, "nope.png"]), **QUIET).write(out)
    about = {"out": str(out), "weights": str(net.path), "layer": "features"}
    assert result == {**about, "rows": 8, "before": 0, "errors": 2, "shape": [64]}
    array = np.load(out)
    assert (array.dtype, array.shape) == (np.dtype("<f4"), (8, 64))
    assert np.isnan(array[[0, 7]]).all()
    np.testing.assert_array_equal(array[1:7], np.asarray(net.features(images, **QUIET)))
    names = (tmp_path / "x.txt").read_text().splitlines()
    assert names == ["nope.png", *map(str, sorted(images.iterdir())), "nope.png"]
    with pytest.raises(OutputError, match="already exists"):
        net.features(images, **QUIET).write(out)


def test_an_array_holds_maps_of_one_shape(
    net: zoo.Model, reader: zoo.Model, images: Path, tmp_path: Path
) -> None:
    assert net.features(images, pool=False, **QUIET).write(tmp_path / "x.npy")["shape"] == [64, 16, 16]
    maps = np.load(tmp_path / "x.npy")
    np.testing.assert_array_equal(maps, np.asarray(net.features(images, pool=False, **QUIET)))
    with pytest.raises(OptionError, match=r"have the same shape \(input 1 has \(3, 256\), but earlier rows"):
        reader.features(["word", "two"], pool=False, **QUIET).write(tmp_path / "y.npy")
    assert not (tmp_path / "y.npy").exists()
    lines = reader.features(["word", "two", "four"], pool=False, **QUIET).write(tmp_path / "y.jsonl")
    assert lines["shape"] == [None, 256]


def test_a_csv_has_a_column_for_each_feature(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    with pytest.warns(ZooWarning, match="no such file"):
        net.features(iter(["nope.png", images]), **QUIET).write(tmp_path / "x.csv")
    rows = [*csv.DictReader((tmp_path / "x.csv").read_text().splitlines())]
    assert [*rows[0]] == ["input", *(f"feature_{n}" for n in range(64)), "error"]
    assert (rows[0]["feature_0"], rows[0]["error"]) == ("", "no such file or folder")
    found = [[float(row[f"feature_{n}"]) for n in range(64)] for row in rows[1:]]
    np.testing.assert_allclose(found, np.asarray(net.features(images, **QUIET)), rtol=1e-5)
    with pytest.raises(OptionError, match=r"can store only vectors, but .* has feature shape \(64, 16, 16\)"):
        net.features(images, pool=False, **QUIET).write(tmp_path / "y.csv")
    assert not (tmp_path / "y.csv").exists()


def test_a_jsonl_has_vectors_and_maps(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    with pytest.warns(ZooWarning, match="no such file"):
        net.features(iter([images, "nope.png"]), pool=False, **QUIET).write(tmp_path / "x.jsonl")
    *rows, last = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
    assert last == {"input": "nope.png", "features": None, "error": "no such file or folder"}
    found = np.array([row["features"] for row in rows])
    np.testing.assert_allclose(
        found, np.asarray(net.features(images, pool=False, **QUIET)), rtol=1e-4, atol=1e-6
    )
