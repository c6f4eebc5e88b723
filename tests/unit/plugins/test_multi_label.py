"""Multi-label classification: batches, loss, metrics; drawn scenes; and a model from training to analysis."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.configs import configured
from tests.unit.plugins.test_average_precision import plain
from zoo.api.entry_description import describe
from zoo.config.train_config import TrainConfig
from zoo.errors import OptionError, SpecError
from zoo.evaluation.measure import measure, numbers
from zoo.evaluation.measure import metrics_of as checked_metrics
from zoo.interfaces import Batch
from zoo_images.multi_label import MultiLabel
from zoo_images.plugin import MULTI_LABEL
from zoo_images.scenes import Scenes, scenes
from zoo_images.shapes import SHAPES
from zoo_images.tiny import TinyTags

TASK = MultiLabel(MULTI_LABEL)
FEW: dict[str, Any] = {"size": 16, "train_size": 48, "val_size": 0, "test_size": 24}
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [-0.5, 3.0, -2.0], [1.0, 0.25, -4.0], [-3.0, -0.25, 1.5]])
LABELS = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=torch.uint8)


class Fixed(nn.Module):
    """Returns the same logits for any input."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[: len(images)]


def batch_of(targets: Tensor) -> Batch:
    return Batch(torch.zeros(len(targets), 3, 4, 4), targets, 0, 1, 0)


def metrics_of(logits: Tensor, targets: Tensor) -> dict[str, float]:
    step = TASK.step(Fixed(logits), batch_of(targets.float()))
    return TASK.metrics(numbers({k: v.double() for k, v in step.sums.items()}), step.count, {})


def test_the_loss_is_the_mean_binary_cross_entropy() -> None:
    step = TASK.step(Fixed(LOGITS), batch_of(LABELS.float()))
    p = LOGITS.sigmoid()
    expected = -torch.where(LABELS.bool(), p.log(), (1 - p).log()).mean()
    assert step.loss.item() == pytest.approx(expected.item())
    assert step.count == 4
    assert metrics_of(LOGITS, LABELS)["loss"] == pytest.approx(expected.item())


def test_metrics_are_those_of_the_whole_split() -> None:
    found = metrics_of(LOGITS, LABELS)
    precisions = [plain(LOGITS[:, k], LABELS[:, k]) for k in range(3)]
    assert found["mAP"] == pytest.approx(sum(precisions) / 3)
    right, chosen, there = 3, 6, 5  # labels above one half that hold, all above, all that hold
    assert found["f1"] == pytest.approx(2 * right / (chosen + there))


def test_a_class_without_images_does_not_count() -> None:
    labels = LABELS.clone()
    labels[:, 1] = 0
    precisions = [plain(LOGITS[:, k], labels[:, k]) for k in (0, 2)]
    assert metrics_of(LOGITS, labels)["mAP"] == pytest.approx(sum(precisions) / 2)
    nothing = metrics_of(torch.full((4, 3), -1.0), torch.zeros(4, 3))
    assert (nothing["mAP"], nothing["f1"]) == (0, 0)


def test_details_have_each_class() -> None:
    labels = LABELS.clone()
    labels[:, 1] = 0
    step = TASK.step(Fixed(LOGITS), batch_of(labels.float()))
    found = TASK.details(step.sums, {"classes": ["a", "b", "c"]})
    assert found == {
        "classes": [
            {"class": "a", "count": 2, "average_precision": pytest.approx(plain(LOGITS[:, 0], labels[:, 0]))},
            {"class": "b", "count": 0, "average_precision": None},
            {"class": "c", "count": 1, "average_precision": pytest.approx(plain(LOGITS[:, 2], labels[:, 2]))},
        ],
        "missing_classes": ["b"],
    }


@pytest.mark.parametrize(("metric", "taken"), [(True, 1.0), (torch.tensor(0.5), 0.5), ("much", None)])
def test_a_metric_is_a_number(monkeypatch: pytest.MonkeyPatch, metric: object, taken: float | None) -> None:
    """One that is not is known after the first epoch, not after the last."""
    monkeypatch.setattr(MultiLabel, "metrics", lambda *_: {"good": metric})
    if taken is None:
        with pytest.raises(SpecError, match="multi-label: metric 'good' must be a number"):
            checked_metrics(TASK, {}, 1, {})
        return
    assert repr(checked_metrics(TASK, {}, 1, {})) == repr({"good": taken})


def test_measuring_in_batches_gives_the_metrics_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = TinyTags(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
    whole = measure(model, TASK, data, "train")
    monkeypatch.setattr("zoo_images.image_task._EVAL_PIXELS", 7 * 32 * 32)
    parts = measure(model, TASK, data, "train")
    assert parts.count == whole.count == 40
    assert parts.details == whole.details
    assert parts.metrics == pytest.approx(whole.metrics)


def test_targets_are_floating_point_and_count_as_images() -> None:
    data = TinyTags()
    batch = next(TASK.train_batches(data, TrainConfig(batch_size=8), seed=0, epoch=0))
    assert (batch.targets.dtype, batch.targets.shape, batch.count) == (torch.float32, (8, 10), 8)
    evaluated = torch.cat([b.targets for b in TASK.eval_batches(data, "val")])
    assert torch.equal(evaluated, torch.stack([tags for _, tags in data.split("val")]).float())
    whole = scenes(**FEW)
    (batch,) = TASK.eval_batches(whole, "test")
    assert torch.equal(batch.targets, whole.split("test").labels.float())


def test_mixup_blends_all_labels_of_an_image() -> None:
    data = TinyTags()
    (plain_batch,) = TASK.train_batches(data, TrainConfig(batch_size=40), seed=0, epoch=0)
    config = configured(batch_size=40, mixup_alpha=0.4)
    (batch,) = TASK.train_batches(data, config, seed=0, epoch=0)
    before = plain_batch.targets
    blended = batch.targets[batch.targets.remainder(1) > 0].unique()
    assert 1 <= len(blended) <= 2, "one weight, and its rest"
    weight = next(w for w in (float(blended[0]), 1 - float(blended[0])) if _blends(before, batch.targets, w))
    torch.testing.assert_close(batch.inputs, plain_batch.inputs.lerp(plain_batch.inputs.roll(1, 0), weight))
    assert TASK.step(Fixed(torch.zeros(40, 10)), batch).loss.item() == pytest.approx(math.log(2))


def _blends(before: Tensor, after: Tensor, weight: float) -> bool:
    return torch.allclose(before.lerp(before.roll(1, 0), weight), after, atol=1e-5)


def test_guessing_gives_ln_2() -> None:
    assert TASK.baseline({"classes": ["a"]}) == {"loss": pytest.approx(math.log(2))}
    assert metrics_of(torch.zeros(4, 3), LABELS)["loss"] == pytest.approx(math.log(2))


def test_views_average_the_probability_of_each_class() -> None:
    class Brightness(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([images[:, 0, 0, 0], -3 * images[:, 1, 3, 2]], 1)

    images = torch.randn(2, 3, 32, 32)
    seen: list[Tensor] = []

    class Watched(Brightness):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(super().forward(images).sigmoid())
            return super().forward(images)

    mean = TASK.views(Watched())(images).sigmoid()
    torch.testing.assert_close(mean, torch.stack(seen).mean(0))
    assert len(seen) == 6


def test_a_scene_has_the_labels_of_its_boxes() -> None:
    data = scenes(train_size=60, val_size=0, test_size=0).split("train")
    counts = [sum(map(len, boxes.values())) for boxes in data.boxes]
    assert {*counts} == {0, 1, 2, 3, 4}
    for labels, boxes in zip(data.labels, data.boxes, strict=True):
        assert labels.nonzero()[:, 0].tolist() == sorted(boxes)
        for left, top, right, bottom in (box for several in boxes.values() for box in several):
            assert 0 <= left < right <= 32
            assert 0 <= top < bottom <= 32
    assert data.labels.sum(1).max() >= 3


def test_a_box_of_a_scene_holds_a_shape_of_its_kind() -> None:
    ys, xs = np.mgrid[-1:1:200j, -1:1:200j]
    masks = [inside(xs, ys) for inside in SHAPES.values()]
    tight = [mask[mask.any(1)][:, mask.any(0)] for mask in masks]
    data = scenes(size=64, clutter=0, train_size=8, val_size=0, test_size=60).split("test")
    for image, boxes in zip(data.images.numpy().astype(int), data.boxes, strict=True):
        ground = np.median(image, axis=(1, 2))
        strange = abs(image - ground[:, None, None]).max(0) > 60
        for kind, (left, top, right, bottom) in ((k, box) for k, several in boxes.items() for box in several):
            height, width = tight[kind].shape
            rows = ((np.arange(bottom - top) + 0.5) / (bottom - top) * height).astype(int)
            columns = ((np.arange(right - left) + 0.5) / (right - left) * width).astype(int)
            expected = tight[kind][rows][:, columns]
            assert (strange[top:bottom, left:right] == expected).mean() > 0.85


def test_a_scene_depends_on_its_number_alone() -> None:
    few, many = scenes(**FEW), scenes(**FEW | {"train_size": 60})
    for part in ("images", "labels"):
        assert torch.equal(getattr(few.split("train"), part), getattr(many.split("train"), part)[:48])
    assert few.fingerprint == scenes(**FEW).fingerprint != scenes(**FEW, seed=1).fingerprint
    assert few.preprocess["classes"] == list(SHAPES)
    image, labels = few.split("train")[3]
    assert isinstance(labels, Tensor)
    assert (image.shape, labels.shape, labels.dtype) == ((3, 16, 16), (8,), torch.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    return zoo.train(
        "resnet-lite",
        "scenes",
        data=FEW,
        model={"widths": [4, 8]},
        epochs=1,
        batch_size=16,
        run=tmp_path_factory.mktemp("runs") / "scenes",
        progress=False,
    )


def test_a_classifier_s_architecture_learns_several_labels(run: zoo.Run) -> None:
    row = run.history[-1]
    assert {*row["train"]} == {*row["test"]} == {"mAP", "loss", "f1"}
    card = run.model.card
    assert (card.task, card.dataset.name) == ("multi-label", "images/scenes")
    assert "test mAP" in repr(run)


def test_its_evaluation_has_each_class_and_views(run: zoo.Run) -> None:
    result = run.model.evaluate("test")
    assert result["metrics"] == pytest.approx(run.history[-1]["test"])
    assert [row["class"] for row in result["classes"]] == list(SHAPES)
    assert sum(row["count"] for row in result["classes"]) == int(scenes(**FEW).split("test").labels.sum())
    assert run.model.evaluate("test", tta=True)["metrics"] != result["metrics"]
    with pytest.raises(OptionError, match="tta_below requires a task whose classes exclude each other"):
        run.model.evaluate("test", tta=True, tta_below=0.5)


def test_maps_are_of_any_of_the_labels(run: zoo.Run) -> None:
    data = scenes(**FEW).split("test")
    assert isinstance(data, Scenes)
    found = run.model.analyze("grad-cam", split="test", classes=["predicted", "true", "ring"])
    logits = found.analysis.logits
    assert logits is not None
    names = list(SHAPES)
    for number, items in enumerate(zip(*[iter(found.items)] * 3, strict=True)):
        labels = data.labels[number].nonzero()[:, 0].tolist()
        likeliest = int(logits[number].argmax())
        ranked = [k for k in logits[number].argsort(descending=True).tolist() if k in labels]
        of_labels = ranked[0] if ranked else likeliest
        assert [item["class"] for item in items] == [names[likeliest], names[of_labels], "ring"]
        for item in items:
            assert item["true"] == (", ".join(names[k] for k in labels) or "none")
            assert item["predicted"] == names[likeliest]
            assert item["probability"] == pytest.approx(
                float(logits[number, item["class_index"]].sigmoid()), rel=1e-5
            )


def test_maps_are_scored_with_the_boxes_of_their_class(run: zoo.Run) -> None:
    data = scenes(**FEW).split("test")
    assert isinstance(data, Scenes)
    found = run.model.analyze("grad-cam", split="test", classes=["ring", "plus"], score=True)
    wanted = [list(SHAPES).index(name) for name in ("ring", "plus")]
    assert found.scores["boxed_maps"] == sum(k in boxes for boxes in data.boxes for k in wanted)


def test_scores_are_of_the_probability_of_the_class_alone(run: zoo.Run) -> None:
    found = run.model.analyze("grad-cam", split="test", classes=["ring"], score=True)
    (batch,) = found.inputs
    maps = found.analysis.maps
    assert maps is not None
    size = batch.inputs.shape[2]
    large = nn.functional.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
    low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
    masked = batch.inputs * (large - low) / (high - low).clamp(min=1e-12)
    with torch.no_grad():
        before, after = (run.model(images).sigmoid()[:, 1] for images in (batch.inputs, masked))
    expected = float(((before - after).relu() / before).mean())
    assert found.scores["average_drop"] == pytest.approx(expected, rel=1e-3)


def test_files_have_no_labels(run: zoo.Run, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    with pytest.warns(zoo.ZooWarning, match="central square"):
        found = run.model.analyze("eigen-cam", str(tmp_path / "red.png"))
    assert [item["true"] for item in found.items] == [None]


def test_what_is_shown_of_a_task_names_the_architectures_that_serve_it(registry: zoo.Registry) -> None:
    shown = describe("multi-label", registry)["entries"]
    assert "convnet/resnet20" in shown["architecture"]
    assert shown["dataset"] == ["images/labeled", "images/scenes"]
    assert "cam/grad-cam" in shown["analyzer"]
    assert "analyzers/confusion" not in shown["analyzer"]


def test_a_classifier_lends_its_features_but_not_its_head(run: zoo.Run, tmp_path: Path) -> None:
    small: dict[str, Any] = {"epochs": 1, "batch_size": 16, "progress": False}
    single = zoo.train(
        "resnet-lite", "shapes", data=FEW, model={"widths": [4, 8]}, run=tmp_path / "single", **small
    )
    assert single.model.classes == run.model.classes
    with pytest.warns(zoo.ZooWarning) as caught:
        tuned = zoo.train(
            "resnet-lite", "scenes", data=FEW, from_weights=single.directory, run=tmp_path / "tuned", **small
        )
    messages = [str(warning.message) for warning in caught]
    origin = "convnet/resnet-lite trained on images/shapes"
    assert f"starting from 20 tensors of {origin}; newly initialized: out.weight, out.bias" in messages
    assert tuned.model.card.arguments["widths"] == [4, 8]
    with pytest.warns(zoo.ZooWarning, match="starting from 22 tensors"):
        zoo.train("resnet-lite", "scenes", data=FEW, from_weights=run.directory, run=tmp_path / "on", **small)
