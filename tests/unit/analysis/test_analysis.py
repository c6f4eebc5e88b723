"""From a weights file and inputs to findings, in memory and as files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.trainings import train
from zoo.analysis import analyzer_run, render
from zoo.analysis.faithfulness import box_scores, enlarge
from zoo.analysis.faithfulness import pixel_scores as scores_of
from zoo.analysis.findings import Findings
from zoo.analysis.render import normalize, overlay
from zoo.analysis.sheets import png
from zoo.api.load_weights import load
from zoo.config.recipe import Recipe
from zoo.errors import DataError, OptionError, OutputError, SpecError, ZooError
from zoo.evaluation.inputs import of_own
from zoo.files.cards import Card
from zoo.interfaces import Analysis, Analyzer, Batch, Subject, make_task
from zoo.models import weights
from zoo.registry.registry import Entry, Registry
from zoo_cam.cam import CAM

pixel_scores = partial(scores_of, probabilities=partial(torch.softmax, dim=1))
SHAPES = {"size": 16, "objects": 2, "train_size": 64, "val_size": 0, "test_size": 24}


@pytest.fixture(scope="module")
def camnet(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    recipe = Recipe(
        architecture="camnet",
        dataset="shapes",
        data=SHAPES,
        model={"widths": [4, 8, 8]},
        train={"epochs": 1, "batch_size": 16},
    )
    return train(recipe, registry, directory=tmp_path_factory.mktemp("runs") / "camnet").weights


def analyze(analyzer: str, path: str | Path, registry: Registry, **options: Any) -> Findings:
    """Analyze the model in a weights file."""
    return load(path, registry=registry).analyze(analyzer, **options)


def scored(analyzer: str, path: str | Path, registry: Registry, **options: Any) -> Findings:
    """Analyze the model in a weights file, and score its maps."""
    return load(path, registry=registry).analyze(analyzer, score=True, **options)


def maps_of(findings: Findings) -> Tensor:
    assert findings.analysis.maps is not None
    return findings.analysis.maps


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "cat.png"
    draws = np.random.default_rng(0)
    Image.fromarray(draws.integers(0, 255, (40, 30, 3), dtype=np.uint8)).save(path)
    return str(path)


# Inputs, classes and layers


def test_an_image_of_any_size_is_shown_as_the_card_says(registry: Registry, camnet: str, image: str) -> None:
    found = analyze("cam", camnet, registry, inputs=[image])
    (item,) = found.items
    model, card = weights.load(camnet, registry)
    with torch.no_grad():
        (batch,) = found.inputs
        probabilities = model(batch.inputs).softmax(1)[0]
    assert batch.inputs.shape == (1, 3, 16, 16)
    names = card.preprocess["classes"]
    assert item["predicted"] == item["class"] == names[int(probabilities.argmax())]
    assert item["probability"] == item["predicted_probability"] == pytest.approx(float(probabilities.max()))
    assert item["true"] is None
    assert item["input"] == image
    assert maps_of(found).shape == (1, 1, 4, 4)
    assert found.facts["weights_sha256"] == card.sha256


def test_a_folder_is_its_images_sorted(registry: Registry, camnet: str, tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "sub/c.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), 128).save(tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    found = analyze("grad-cam", camnet, registry, inputs=[str(tmp_path / "images")])
    assert [Path(name).name for name in found.inputs.names] == ["a.jpg", "b.png", "c.png"]


def test_images_of_a_split_by_number(registry: Registry, camnet: str) -> None:
    found = analyze("cam", camnet, registry, split="test", indices=[9, 2], classes=["true"])
    assert [item["input"] for item in found.items] == ["test-00009", "test-00002"]
    names = found.inputs.card.preprocess["classes"]
    assert [item["true"] for item in found.items] == [names[1], names[2]]
    assert [item["class"] for item in found.items] == [names[1], names[2]]
    whole = analyze("cam", camnet, registry, split="test", classes=["true"])
    torch.testing.assert_close(maps_of(found), maps_of(whole)[[9, 2]])
    assert len(whole.items) == 24


def test_classes_by_name_and_number(registry: Registry, camnet: str, image: str) -> None:
    found = analyze("cam", camnet, registry, inputs=[image], classes=["ring", "0"])
    assert [(item["class"], item["class_index"]) for item in found.items] == [("ring", 1), ("circle", 0)]


def test_a_layer_by_landmark_or_path(registry: Registry, camnet: str, image: str) -> None:
    one = analyze("grad-cam", camnet, registry, inputs=[image])
    same = analyze("grad-cam", camnet, registry, inputs=[image], layer="features")
    other = analyze("grad-cam", camnet, registry, inputs=[image], layer="stages.0")
    torch.testing.assert_close(maps_of(one), maps_of(same))
    assert maps_of(other).shape[-1] == 8
    assert (one.manifest()["layer"], other.manifest()["layer"]) == ("stages", "stages.0")


def test_precision_applies_to_the_passes_and_not_to_the_maps(
    registry: Registry, camnet: str, image: str
) -> None:
    exact = analyze("grad-cam", camnet, registry, inputs=[image])
    coarse = analyze("grad-cam", camnet, registry, inputs=[image], precision="bf16")
    assert coarse.facts["precision"] == "bf16"
    assert maps_of(coarse).dtype == torch.float32
    assert not torch.equal(maps_of(exact), maps_of(coarse))
    span = maps_of(exact).max()
    torch.testing.assert_close(maps_of(exact) / span, maps_of(coarse) / span, rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not an image", "its format is unknown or not supported"),
        (None, "it has a single pixel"),
    ],
)
def test_the_error_for_an_unusable_image_names_it(
    registry: Registry, camnet: str, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "odd.png"
    if content is None:
        Image.new("RGB", (1, 1)).save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        analyze("cam", camnet, registry, inputs=[str(path)])
    assert str(path) in str(caught.value)


def test_a_folder_inside_that_may_not_be_read_is_named(
    registry: Registry, camnet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open/closed").mkdir(parents=True)
    Image.new("L", (20, 20), 128).save(tmp_path / "open/a.png")
    real = os.scandir

    def scandir(path: str | Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    why = rf"skipped unreadable inputs \(1\): {tmp_path}/open/closed: cannot be read: Permission denied"
    with pytest.warns(UserWarning, match=why):
        found = analyze("cam", camnet, registry, inputs=[str(tmp_path / "open")])
    assert found.inputs.names == [f"{tmp_path}/open/a.png"]


@pytest.mark.filterwarnings("ignore:the model sees")
def test_images_that_cannot_be_read_are_left_out_of_an_analysis(
    registry: Registry, camnet: str, image: str, tmp_path: Path
) -> None:
    bad = [tmp_path / f"bad-{number}.png" for number in range(7)]
    for path in bad:
        path.write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"skipped unreadable inputs \(7\): .*bad-0\.png: .*; and 2 more$"):
        found = analyze("cam", camnet, registry, inputs=[*bad, image])
    assert found.facts["inputs"] == [item["input"] for item in found.items] == [image]
    with pytest.raises(DataError, match=r"bad-0\.png: cannot be read as an image"):
        analyze("cam", camnet, registry, inputs=bad)


@pytest.mark.parametrize("place", ["/dev/zero", "pipe"])
def test_what_is_no_regular_file_is_no_text(
    registry: Registry, card: Callable[..., Card], tmp_path: Path, place: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    model, paths = card(), [tmp_path / place]
    with pytest.raises(DataError, match="cannot be read: it is a pipe or a device, not a regular file"):
        of_own(model, make_task(registry, model.task), paths)


def test_a_landmark_that_the_model_lacks_is_named(
    registry: Registry, camnet: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.architecture("camnet")
    spec = dataclasses.replace(entry.spec, landmarks={"features": "stage"})
    monkeypatch.setattr(registry, "architecture", lambda name: Entry("architecture", spec, entry.plugin))
    wrong = "landmark features is 'stage', which is not a layer; did you mean 'stages'?"
    with pytest.raises(SpecError, match=re.escape(wrong)):
        analyze("grad-cam", camnet, registry, inputs=[image])


class Titled(Analyzer):
    """Finds nothing but the title of its figures."""

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        return Analysis(text=subject.title)


def test_figures_are_titled_with_the_model_and_its_inputs(
    registry: Registry, camnet: str, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyzer_run, "make_analyzer", lambda *_: Titled())

    def title(path: str | Path, **given: Any) -> str:
        return analyze("confusion", path, registry, **given).analysis.text

    assert title(camnet, split="test") == "camnet on images/shapes, test split"
    assert title(camnet, inputs=[image]) == "camnet on cat.png"
    published = tmp_path / "shapes-net.safetensors"
    published.symlink_to(Path(camnet).resolve())
    assert title(published, split="test", data=SHAPES) == "shapes-net on images/shapes, test split"


def test_an_analyzer_is_told_the_name_of_each_input(
    registry: Registry, camnet: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(Analyzer):
        def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
            return Analysis(text=" ".join(subject.names))

    monkeypatch.setattr(analyzer_run, "make_analyzer", lambda *_: Named())
    assert analyze("confusion", camnet, registry, inputs=[image]).analysis.text == image
    split = analyze("confusion", camnet, registry, split="test", indices=[3, 1])
    assert split.analysis.text == "test-00003 test-00001"


# Files


def test_findings_are_written_as_images_arrays_and_a_manifest(
    registry: Registry, camnet: str, tmp_path: Path
) -> None:
    found = analyze("cam", camnet, registry, split="test", indices=[0, 1, 2], classes=["ring", "plus"])
    document = found.write(tmp_path / "out", draw=2)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == document
    names = {path.name for path in (tmp_path / "out").iterdir()}
    maps, overlays = ({f"test-0000{n}.{k}.{kind}" for n in (0, 1) for k in (1, 6)} for kind in ("npy", "png"))
    assert names == {"manifest.json", "contact-sheet.png", "maps.npy"} | maps | overlays
    first, second, *_ = document["items"]
    assert (first["class"], first["map"]) == ("ring", "test-00000.1.npy")
    assert first["overlay"] == "test-00000.1.png"
    assert (second["class"], second["map"]) == ("plus", "test-00000.6.npy")
    assert "map" not in document["items"][-1]
    array = np.load(tmp_path / "out" / "test-00001.6.npy")
    np.testing.assert_array_equal(array, maps_of(found)[1, 1].numpy())


def test_an_analysis_replaces_an_earlier_one_in_the_same_folder(
    registry: Registry, camnet: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    analyze("cam", camnet, registry, split="test", indices=[0, 1]).write(out)
    (out / "mine.txt").write_text("stays")
    document = analyze("cam", camnet, registry, split="test", indices=[2]).write(out)
    assert {path.name for path in out.iterdir()} == {*document["files"], "manifest.json", "mine.txt"}
    assert [*document["files"]] == ["test-00002.png", "test-00002.npy", "contact-sheet.png"]
    (out / "manifest.json").write_text(json.dumps(document | {"files": {}}))
    again = analyze("cam", camnet, registry, split="test", indices=[2])
    with pytest.raises(OutputError, match=r"test-00002.png exists and was not written by an analysis"):
        again.write(out)
    os.truncate(out / "manifest.json", 1 << 40)
    with pytest.raises(OutputError, match=r"(test-00002.png|manifest.json) exists and was not written by"):
        again.write(out)
    (out / "manifest.json").write_text(json.dumps({"short_name": "a web app", "files": document["files"]}))
    with pytest.raises(
        OutputError, match=r"manifest.json exists and was not written by an analysis|test-00002"
    ):
        again.write(out)


@pytest.mark.parametrize("name", ["../mine.png", "a/b.png", "manifest.json", "..", ""])
def test_a_figure_is_a_file_in_the_folder(registry: Registry, camnet: str, tmp_path: Path, name: str) -> None:
    found = analyze("cam", camnet, registry, split="test", indices=[2])
    found.write(tmp_path / "out")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    analysis = dataclasses.replace(found.analysis, figures={name: lambda: b"figure"})
    with pytest.raises(SpecError, match="cam/cam: a figure cannot be named"):
        dataclasses.replace(found, analysis=analysis).write(tmp_path / "out")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_details_of_an_analyzer_replace_nothing_that_zoo_says(registry: Registry, camnet: str) -> None:
    found = analyze("cam", camnet, registry, split="test", indices=[2])
    details = {"analyzer": "mine", "items": "none", "layer": "last"}
    more = dataclasses.replace(found, analysis=dataclasses.replace(found.analysis, details=details))
    assert more.manifest() == {**found.manifest(), "layer": "last"}


def test_a_figure_that_cannot_be_drawn_names_its_analyzer(
    registry: Registry, camnet: str, tmp_path: Path
) -> None:
    found = analyze("cam", camnet, registry, split="test", indices=[2])
    found.write(tmp_path / "out")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    analysis = dataclasses.replace(found.analysis, figures={"a.png": lambda: bytes(1 // 0)})
    with pytest.raises(SpecError, match=r"^cam/cam: a.png cannot be drawn: ZeroDivisionError"):
        dataclasses.replace(found, analysis=analysis).write(tmp_path / "out")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_foreign_manifest_names_no_file_to_delete(registry: Registry, camnet: str, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "keep.txt"
    found = analyze("cam", camnet, registry, split="test", indices=[2])
    document = found.write(out)
    outside.write_text("stays")
    (out / "thesis.txt").write_text("stays")
    (out / "link.txt").symlink_to(outside)
    sha256 = hashlib.sha256(b"stays").hexdigest()
    foreign = {"../keep.txt": sha256, str(outside): sha256, "link.txt": sha256, "thesis.txt": "0" * 64}
    foreign |= {"": sha256, ".": sha256, "folder": 3}
    (out / "manifest.json").write_text(json.dumps(document | {"files": document["files"] | foreign}))
    found.write(out)
    assert (
        outside.read_text() == (out / "thesis.txt").read_text() == (out / "link.txt").read_text() == "stays"
    )
    edited = out / "test-00002.png"
    edited.write_bytes(b"edited")
    with pytest.raises(OutputError, match=r"test-00002.png exists and was not written by an analysis"):
        found.write(out)
    assert edited.read_bytes() == b"edited"


def test_what_an_earlier_analysis_wrote_is_not_read_as_input(
    registry: Registry, camnet: str, image: str
) -> None:
    home = Path(image).parent
    for _ in range(2):
        found = analyze("cam", camnet, registry, inputs=[str(home)])
        assert found.inputs.names == [image]
        found.write(home / "out")


def test_an_image_that_is_gone_is_drawn_as_the_model_saw_it(
    registry: Registry, camnet: str, tmp_path: Path
) -> None:
    path = tmp_path / "soon-gone.png"
    Image.new("RGB", (40, 40), (200, 0, 0)).save(path)
    found = analyze("cam", camnet, registry, inputs=[path])
    assert found.inputs.image(0, at_most=99).size == (40, 40)
    path.unlink()
    seen = found.inputs.image(0, at_most=99)
    assert (seen.size, seen.getpixel((0, 0))) == ((16, 16), (200, 0, 0))
    assert found.write(tmp_path / "out")["items"][0]["overlay"] == "soon-gone.png"


def test_an_analyzer_without_classes_says_so_and_refuses_one(
    registry: Registry, camnet: str, image: str
) -> None:
    (item,) = analyze("eigen-cam", camnet, registry, inputs=[image]).items
    assert item["map_of"] == "any class"
    with pytest.raises(OptionError, match="cam/eigen-cam draws the same map for every class; omit the class"):
        analyze("eigen-cam", camnet, registry, inputs=[image], classes=["ring"])


def test_several_kinds_of_class_at_once(registry: Registry, camnet: str) -> None:
    found = analyze("cam", camnet, registry, split="test", indices=[3], classes=["true", "ring", "predicted"])
    assert [item["class"] for item in found.items] == ["frame", "ring", found.items[0]["predicted"]]
    peaks = [item["peak"] for item in found.items]
    assert peaks == pytest.approx(maps_of(found).amax((2, 3))[0].tolist())


def test_images_of_a_folder_dataset_are_named_after_their_files_and_drawn_from_them(
    registry: Registry, tmp_path: Path
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (250, 260), (number, 0, 99)).save(tmp_path / "set" / name / f"{number}.png")
    recipe = Recipe(
        architecture="camnet",
        dataset="folder",
        data={"root": str(tmp_path / "set"), "size": 16, "test_share": 0.5, "val_share": 0.0},
        model={"widths": [4, 8]},
        train={"epochs": 1, "batch_size": 4},
    )
    made = train(recipe, registry, directory=tmp_path / "run").weights
    found = analyze("cam", made, registry, split="test", data={"root": str(tmp_path / "set")})
    assert all((tmp_path / "set" / name).exists() for name in found.inputs.names)
    assert len(found.inputs.names) == 8
    assert found.overlay(0).size == (250, 250)


def test_progress_is_reported_after_each_batch(registry: Registry, camnet: str) -> None:
    reports: list[tuple[int, int]] = []
    inputs = analyze("cam", camnet, registry, split="test").inputs
    for _ in dataclasses.replace(inputs, report=lambda *progress: reports.append(progress)):
        pass
    assert reports == [(0, 24), (24, 24)]


def test_inputs_with_equal_names_get_files_of_their_own(
    registry: Registry, camnet: str, tmp_path: Path
) -> None:
    paths = [tmp_path / folder / "manifest.png" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        Image.new("RGB", (20, 20)).save(path)
    document = analyze("cam", camnet, registry, inputs=[str(path) for path in paths]).write(tmp_path / "out")
    assert [item["overlay"] for item in document["items"]] == ["manifest-2.png", "manifest-3.png"]


# Maps and scores


def test_maps_are_scaled_from_0_to_1_and_constant_ones_to_zeros() -> None:
    maps = torch.tensor([[[1.0, 3.0], [2.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]], [[0.0, 1e-30], [0.0, 0.0]]])
    expected = torch.tensor([[[0.0, 1.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    torch.testing.assert_close(normalize(maps), expected)
    assert enlarge(maps[None], 8).shape == (1, 3, 8, 8)


def test_boxes_score_maps() -> None:
    map_ = torch.zeros(16, 16)
    map_[2:6, 8:14] = 1.0
    map_[12, 2] = 0.9  # a smaller part elsewhere
    exact = box_scores(map_[None], [[(8, 2, 14, 6)]], size=16)
    assert exact == {"pointing_game": 1.0, "pointing_center": 0.0, "box_iou": 1.0, "boxed_maps": 1}
    missed = box_scores(map_[None], [[(0, 8, 8, 16), (7, 7, 9, 9)]], size=16)
    assert missed == {"pointing_game": 0.0, "pointing_center": 1.0, "box_iou": 0.0, "boxed_maps": 1}
    half = box_scores(torch.stack([map_, map_]), [[(8, 2, 14, 6)], [(8, 2, 14, 14)]], size=16)
    assert half["box_iou"] == pytest.approx((1 + 24 / 72) / 2)
    assert box_scores(torch.zeros(1, 4, 4), [[(0, 0, 4, 4)]], size=16)["box_iou"] == 0.0


class Corner(nn.Module):
    """Class 1 is likelier the brighter the upper left quarter is."""

    def forward(self, images: Tensor) -> Tensor:
        evidence = images[:, :, :8, :8].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(evidence), 8 * evidence - 4], 1)


def test_pixels_score_maps() -> None:
    images = torch.zeros(2, 3, 16, 16)
    images[:, :, :8, :8] = 1.0
    batches = [Batch(images, torch.tensor([1, 1]), 0, 1, 0)]
    right, wrong = torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16)
    right[:, :, :8, :8] = 1.0
    wrong[:, :, 8:, 8:] = 1.0
    classes = torch.ones(2, 1, dtype=torch.int64)
    good = pixel_scores(Corner(), batches, right, classes)
    bad = pixel_scores(Corner(), batches, wrong, classes)
    assert good["deletion"] < bad["deletion"] - 0.3
    assert good["insertion"] > bad["insertion"]
    assert good["average_drop"] == pytest.approx(0, abs=1e-6)
    assert bad["average_drop"] > 0.9
    # each step takes a tenth of 256 pixels, those of the quarter first: 25, 51, then all 64 of it
    p = torch.sigmoid(8 * torch.tensor([64, 39, 13, *[0] * 8]) / 64 - 4)
    assert good["deletion"] == pytest.approx(float(torch.trapezoid(p, dx=0.1)), abs=1e-6)


def test_each_batch_is_scored_by_its_own_maps() -> None:
    images = torch.zeros(3, 3, 16, 16)
    images[:, :, :8, :8] = 1.0
    batches = [Batch(part, torch.ones(len(part)), i, 2, 0) for i, part in enumerate(images.split(2))]
    maps = torch.zeros(3, 1, 16, 16)
    maps[:2, :, :8, :8], maps[2:, :, 8:, 8:] = 1.0, 1.0
    classes = torch.ones(3, 1, dtype=torch.int64)
    together = pixel_scores(Corner(), batches, maps, classes)
    good = pixel_scores(Corner(), batches[:1], maps[:2], classes[:2])
    bad = pixel_scores(Corner(), batches[1:], maps[2:], classes[2:])
    assert together == pytest.approx({name: (2 * good[name] + bad[name]) / 3 for name in good})


def test_each_map_of_an_image_is_scored_by_its_own_class() -> None:
    images = torch.zeros(2, 3, 16, 16)
    images[:, :, :8, :8] = 1.0
    batches = [Batch(images, torch.ones(2), 0, 1, 0)]
    maps = torch.zeros(2, 2, 16, 16)
    maps[:, :, :8, :8] = 0.6
    classes = torch.tensor([[1, 0], [1, 0]])
    both = pixel_scores(Corner(), batches, maps, classes)
    one, other = (pixel_scores(Corner(), batches, maps[:, [k]], classes[:, [k]]) for k in (0, 1))
    assert both == pytest.approx({name: (one[name] + other[name]) / 2 for name in one})
    assert other["increase_in_confidence"] == 0.0
    assert other["average_drop"] == pytest.approx(0.0, abs=1e-6), "a probability that grows is no drop"


def test_insertion_starts_from_a_blurred_image() -> None:
    images = torch.ones(1, 3, 16, 16)
    found = pixel_scores(
        Corner(),
        [Batch(images, torch.ones(1), 0, 1, 0)],
        torch.rand(1, 1, 4, 4),
        torch.ones(1, 1, dtype=torch.int64),
    )
    assert found["insertion"] == pytest.approx(float(torch.tensor(4.0).sigmoid()), abs=1e-4)


def test_a_constant_map_points_nowhere() -> None:
    found = box_scores(torch.zeros(1, 4, 4), [[(0, 0, 16, 16)]], size=16)
    assert (found["pointing_game"], found["pointing_center"], found["box_iou"]) == (0.0, 1.0, 0.0)


def test_a_box_is_drawn_around_what_exceeds_a_fifth_of_the_maximum() -> None:
    map_ = torch.full((16, 16), 0.1)
    map_[4:8, 4:8], map_[4:8, 8:12] = 1.0, 0.3
    assert box_scores(map_[None], [[(4, 4, 12, 8)]], size=16)["box_iou"] == 1.0
    assert box_scores(map_[None], [[(4, 4, 12, 8), (0, 0, 1, 1)]], size=16)["box_iou"] == 1.0


def test_only_maps_of_the_label_are_compared_with_its_boxes(registry: Registry, camnet: str) -> None:
    true = scored("cam", camnet, registry, split="test", classes=["true"]).scores
    more = scored("cam", camnet, registry, split="test", classes=["true", "ring"]).scores
    assert true["boxed_maps"] == 24
    assert more["boxed_maps"] == 24 + 3, "three of the images are rings, asked about twice"
    other = scored("cam", camnet, registry, split="test", indices=[0], classes=["ring"]).scores
    assert "pointing_game" not in other


def test_maps_are_enlarged_smoothly() -> None:
    maps = torch.tensor([[[[0.0, 1.0]] * 2]])
    expected = torch.tensor([0.0, 0.25, 0.75, 1.0])
    torch.testing.assert_close(enlarge(maps, 4)[0, 0, 0], expected)


def test_an_overlay_is_the_image_where_the_map_is_lowest_and_the_map_s_colors_elsewhere() -> None:
    image = Image.new("RGB", (300, 300), (200, 200, 200))
    map_ = torch.zeros(16, 16)
    map_[:, 12:] = 1.0
    pixels = np.asarray(overlay(image, map_))
    assert pixels.shape == (300, 300, 3)
    assert pixels[150, 20].tolist() == [200, 200, 200]
    red, _, blue = pixels[150, 280].tolist()
    assert red > 200 > blue, "shades of yellow"
    assert overlay(Image.new("RGB", (32, 32)), map_).size == (224, 224), "a small image is enlarged"


def test_maps_are_drawn_on_the_pixels_of_the_user_s_file(
    registry: Registry, camnet: str, tmp_path: Path
) -> None:
    stripes = np.zeros((300, 400, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than anything that 16×16 pixels can show
    Image.fromarray(stripes).save(tmp_path / "cat.png")
    found = analyze("cam", camnet, registry, inputs=[str(tmp_path / "cat.png")])
    maps = maps_of(found)
    maps[:] = 0.0
    maps[..., 0, 0] = 1.0
    drawn = np.asarray(found.overlay(0))
    assert drawn.shape == (300, 300, 3), "the central square, at the size it has in the file"
    np.testing.assert_array_equal(drawn[200:, 200:], stripes[200:, 250:350])
    document = found.write(tmp_path / "out")
    with Image.open(tmp_path / "out" / document["items"][0]["overlay"]) as written:
        np.testing.assert_array_equal(np.asarray(written), drawn)


def test_a_huge_image_is_reduced(registry: Registry, camnet: str, tmp_path: Path) -> None:
    Image.new("RGB", (2_100, 2_200)).save(tmp_path / "huge.png")
    found = analyze("cam", camnet, registry, inputs=[str(tmp_path / "huge.png")])
    assert found.overlay(0).size == (2_048, 2_048)


def test_an_image_in_the_output_folder_is_not_overwritten(
    registry: Registry, camnet: str, image: str
) -> None:
    before = Path(image).read_bytes()
    document = analyze("cam", camnet, registry, inputs=[image]).write(Path(image).parent)
    assert Path(image).read_bytes() == before
    assert document["items"][0]["overlay"] == "cat-2.png"


def test_an_interrupted_drawing_leaves_the_earlier_findings(
    registry: Registry, camnet: str, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    analyze("cam", camnet, registry, inputs=[image]).write(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    found = analyze("cam", camnet, registry, inputs=[image, image])
    drawn: list[object] = []

    def draw(image: Image.Image, map_: Tensor) -> Image.Image:
        drawn.append(map_)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return overlay(image, map_)

    monkeypatch.setattr("zoo.analysis.findings.overlay", draw)
    with pytest.raises(KeyboardInterrupt):
        found.write(out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(("count", "classes"), [(1, 1), (3, 1), (12, 1), (2, 3), (1, 8)])
def test_a_sheet_wraps(registry: Registry, camnet: str, count: int, classes: int) -> None:
    asked = [str(number) for number in range(classes)]
    found = analyze("cam", camnet, registry, split="test", indices=range(count), classes=asked)
    width, height = found.sheet().size
    assert 1 / 2 < width / height < 2, "neither a strip nor a column"
    assert width * height >= count * (1 + classes) * 224**2, "every tile is large enough"


def test_a_notebook_shows_the_sheet_that_is_written(registry: Registry, camnet: str, tmp_path: Path) -> None:
    found = analyze("cam", camnet, registry, split="test", indices=[0])
    assert (found._repr_jpeg_(), found._repr_png_()) == (render.jpeg(found.sheet()), None)
    found.write(tmp_path / "out")
    assert (tmp_path / "out" / "contact-sheet.png").read_bytes() == png(found.sheet())


def test_a_sheet_of_many_images_and_classes_has_its_limits(registry: Registry, camnet: str) -> None:
    found = analyze("cam", camnet, registry, split="test", classes=[str(number) for number in range(8)])
    width, height = found.sheet(side=20).size
    assert (width // 30) * (height // 78) < 200, "24 images of 8 classes would be 216 images"
    assert found.sheet(1, side=20).size < (width, height)


def test_captions_say_everything_once() -> None:
    item = {"input": "pets/cat.jpg", "predicted": "cat", "predicted_probability": 0.9, "true": None}
    cat = item | {"class": "cat", "map_of": "cat", "probability": 0.9, "peak": 17.0}
    dog = item | {"class": "dog", "map_of": "dog", "probability": 0.04, "peak": 2.5}
    assert render.captions([cat, dog]) == [
        ("cat.jpg", "predicted cat (90.0%)"),
        ("evidence for cat", "highest value 17"),
        ("evidence for dog (4.0%)", "highest value 2.5"),
    ]
    assert render.captions([cat | {"true": "dog"}])[0] == ("cat.jpg: dog", "predicted cat (90.0%)")


def test_maps_of_images_that_are_not_drawn_are_written_too(
    registry: Registry, camnet: str, tmp_path: Path
) -> None:
    found = analyze("cam", camnet, registry, split="test", classes=["ring", "plus"])
    document = found.write(tmp_path / "out", draw=3)
    assert np.load(tmp_path / "out" / "maps.npy").shape == (24, 2, 4, 4)
    assert sum("map" in item for item in document["items"]) == 6


@pytest.mark.parametrize("analyzer", ["grad-cam", "score-cam", "activations"])
def test_a_caller_in_inference_mode_gets_the_same_findings(
    registry: Registry, camnet: str, analyzer: str
) -> None:
    plain = analyze(analyzer, camnet, registry, split="test")
    with torch.inference_mode():
        found = analyze(analyzer, camnet, registry, split="test")
    assert str(found.analysis.maps) == str(plain.analysis.maps)
    assert found.analysis.tables == plain.analysis.tables


def test_values_that_the_command_line_would_refuse_are_refused_in_python_too(
    registry: Registry, camnet: str
) -> None:
    nonsense: dict[str, dict[str, Any]] = {
        "no image was selected": {"split": "test", "indices": []},
        "precision.*'fp8'": {"split": "test", "precision": "fp8"},
    }
    for words, given in nonsense.items():
        with pytest.raises(ZooError, match=words):
            analyze("cam", camnet, registry, **given)


def test_scores_with_boxes_and_without(registry: Registry, camnet: str, image: str) -> None:
    found = scored("cam", camnet, registry, split="test", classes=["true"])
    assert found.scores["boxed_maps"] == 24
    assert {"pointing_game", "box_iou", "deletion", "insertion", "average_drop"} <= found.scores.keys()
    free = scored("cam", camnet, registry, inputs=[image])
    assert "deletion" in free.scores
    assert "pointing_game" not in free.scores
    with pytest.raises(
        OptionError, match="score requires heat maps, but analyzers/confusion does not draw any"
    ):
        scored("confusion", camnet, registry, split="test")


def test_the_model_is_run_for_an_analyzer_that_returns_no_logits(
    registry: Registry, camnet: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CAM.analyze
    with_logits = analyze("cam", camnet, registry, inputs=[image]).items
    monkeypatch.setattr(CAM, "analyze", lambda *a, **k: dataclasses.replace(plain(*a, **k), logits=None))
    (without,), (expected,) = analyze("cam", camnet, registry, inputs=[image]).items, with_logits
    assert without["probability"] == pytest.approx(expected["probability"])


def test_a_whole_batch_of_64_by_64_images_is_analyzed(tmp_path: Path) -> None:
    import zoo

    data = {"size": 64, "train_size": 16, "val_size": 0, "test_size": 300}
    zoo.train("camnet", "shapes", data=data, epochs=1, run=tmp_path / "run", progress=False)
    found = zoo.load(tmp_path / "run").analyze("confusion", split="test", progress=False)
    assert len(found.inputs.names) == 300
