"""The bases of tasks on independent items, as examples/zoo-regression, -audio and -forecast use them."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import sys
import wave
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.nightly.reliability import toys
from zoo.cli import run
from zoo.config.train_config import TrainConfig
from zoo.data.views import View
from zoo.errors import DataError, OptionError
from zoo.evaluation.intervals import intervals_of, wilson
from zoo.evaluation.item_tasks import ClassificationTask, ItemTask, RegressionTask
from zoo.evaluation.measure import measure
from zoo.files.cards import Card
from zoo.processors import Prediction, RegressionProcessor
from zoo.registry.registry import Registry
from zoo.runs.directory import RunDirectory
from zoo.training.state import TrainState

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = ("regression", "audio", "forecast")
NUMBERS = {"targets": ["height"], "target_mean": [10.0], "target_std": [2.0]}
ROWS = {"mean": [1.0, 2.0], "std": [2.0, 4.0], "features": ["east", "north"]} | NUMBERS
SOUNDS = {"sample_rate": 8, "classes": ["low", "high", "none"]}


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put the examples on the search path, as if pip had installed them."""
    site = tmp_path_factory.mktemp("site")
    for name in NAMES:
        shutil.copytree(EXAMPLES / f"zoo-{name}" / f"zoo_{name}", site / f"zoo_{name}")
        info = site / f"zoo_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[zoo]\n{name} = zoo_{name}.plugin\n")
    sys.path.insert(0, str(site))
    yield
    sys.path.remove(str(site))
    for module in [name for name in sys.modules if name.startswith(tuple(f"zoo_{each}" for each in NAMES))]:
        del sys.modules[module]


def task_of(name: str) -> Any:
    (spec,) = import_module(f"zoo_{name}.plugin").zoo_tasks()
    return spec.load()(spec)


@pytest.fixture
def regression() -> RegressionTask:
    return task_of("regression")


@pytest.fixture
def audio() -> ClassificationTask:
    return task_of("audio")


@pytest.fixture
def cards(card: Callable[..., Card]) -> Callable[..., Card]:
    """Return a function that makes the card of a model for rows or for sounds, with some values replaced."""

    def make(name: str, arguments: Mapping[str, Any] = {}, **preprocess: Any) -> Card:
        dims = {"num_features": 2, "num_targets": 1} if name == "regression" else {"num_samples": 4}
        feed = ROWS if name == "regression" else SOUNDS
        classes = {"num_classes": 3} if name == "audio" else {}
        return card(task=name, arguments={**dims, **classes, **arguments}, preprocess=feed | preprocess)

    return make


def rows(*items: tuple[list[float], Any], **preprocess: Any) -> View:
    split = [(torch.tensor(row), target) for row, target in items]
    return View(
        dims={"num_features": 2, "num_targets": 1},
        preprocess=ROWS | preprocess,
        split=lambda name: split,
        fingerprint="0" * 64,
    )


def sounds(labels: list[int], classes: list[str], **preprocess: Any) -> View:
    split = [(torch.full((4,), number / 10), label) for number, label in enumerate(labels)]
    return View(
        dims={"num_samples": 4, "num_classes": len(classes)},
        preprocess=SOUNDS | {"classes": classes} | preprocess,
        split=lambda name: split,
    )


class Constant(nn.Module):
    """A model with the same outputs for every batch."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.outputs


def test_inputs_and_targets_are_scaled(regression: RegressionTask) -> None:
    data = rows(([3.0, 2.0], 12.0), ([1.0, -2.0], 10.0))
    (batch,) = regression.eval_batches(data, "test")
    assert batch.inputs.tolist() == [[1.0, 0.0], [0.0, -1.0]]
    assert batch.targets.tolist() == [[1.0], [0.0]]
    assert batch.targets.dtype == torch.float32
    (trained,) = regression.train_batches(data, TrainConfig(batch_size=2), seed=0, epoch=0)
    assert sorted(trained.inputs.tolist()) == sorted(batch.inputs.tolist())


def test_a_mean_of_a_channel_applies_to_all_its_positions(regression: RegressionTask) -> None:
    preprocess = {"mean": [0.0, 1.0], "std": [1.0, 2.0]}
    items = torch.ones(1, 2, 3, 3)
    assert regression.prepare(items, preprocess)[0, :, 0, 0].tolist() == [1.0, 0.0]
    assert regression.prepare(torch.ones(1, 5), {"mean": [0.5], "std": [0.5]}).tolist() == [[1.0] * 5]


@pytest.mark.parametrize("shape", [(2, 1), (2,)])
def test_errors_are_in_the_unit_of_the_targets(regression: RegressionTask, shape: tuple[int, ...]) -> None:
    (batch,) = regression.eval_batches(rows(([0.0, 0.0], 14.0), ([0.0, 0.0], 10.0)), "test")  # 2 and 0
    step = regression.step(Constant(torch.tensor([1.0, 3.0]).view(shape)), batch)  # 12 and 16
    sums: Any = {"loss": float(step.sums["loss"].detach()), **step.sums}
    metrics = regression.metrics(sums, step.count, ROWS)
    assert metrics == {"mae": 4.0, "rmse": pytest.approx(math.sqrt(20)), "loss": 5.0}
    assert step.loss.item() == 5.0


def test_several_targets_have_scales_of_their_own(regression: RegressionTask) -> None:
    scales: dict[str, Any] = {"target_mean": [0.0, 10.0], "target_std": [1.0, 3.0]}
    data = rows(([0.0, 0.0], torch.tensor([1.0, 13.0])), targets=["x", "y"], **scales)
    (batch,) = regression.eval_batches(data, "test")
    assert batch.targets.tolist() == [[1.0, 1.0]]
    step = regression.step(Constant(torch.zeros(1, 2)), batch)
    metrics = regression.metrics({**step.sums, "loss": 1.0}, 1, data.preprocess)
    assert metrics == {"mae": 2.0, "rmse": pytest.approx(math.sqrt(5)), "loss": 1.0}
    assert regression.baseline(data.preprocess) == {"loss": 1.0, "rmse": pytest.approx(math.sqrt(5))}
    (prediction,) = regression.processor.predictions(np.array([[1.0, -1.0]]), data.preprocess)  # type: ignore[attr-defined]
    assert prediction.rows == [{"target": "x", "value": 1.0}, {"target": "y", "value": 7.0}]
    assert prediction.values.tolist() == [1.0, 7.0]


def test_each_metric_of_numbers_has_an_interval(regression: RegressionTask) -> None:
    data = rows(*(([0.0, 0.0], 10.0 + number) for number in range(20)))
    measured = measure(nn.Linear(2, 1), regression, data, "test", with_items=True)
    for name, (low, high) in intervals_of(regression, measured, data.preprocess).items():
        assert low < measured.metrics[name] < high
    assert measured.metrics.keys() == {"mae", "rmse", "loss"}


def test_other_rows_are_scaled_as_the_model_was_trained(
    regression: RegressionTask, cards: Callable[..., Card]
) -> None:
    data = rows(([3.0, 2.0], 12.0), mean=[9.0, 9.0], std=[9.0, 9.0], target_mean=[0.0], target_std=[1.0])
    fed = regression.feed(data, cards("regression"))
    (batch,) = regression.eval_batches(fed, "test")
    assert (batch.inputs.tolist(), batch.targets.tolist()) == ([[1.0, 0.0]], [[1.0]])
    assert fed.fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("arguments", "preprocess", "message"),
    [
        ({"num_features": 3}, {}, "the data has num_features=2, but the model has num_features=3"),
        (
            {},
            {"features": ["north", "east"]},
            r"the data has features=\['east', 'north'\], but the model has",
        ),
        (
            {},
            {"targets": ["depth"]},
            r"the data has targets=\['height'\], but the model has targets=\['depth",
        ),
        ({}, {"unit": "m"}, "the data has unit=None, but the model has unit=m"),
    ],
)
def test_rows_of_other_numbers_are_refused(
    arguments: Any, preprocess: Any, message: str, regression: RegressionTask, cards: Callable[..., Card]
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        regression.feed(rows(), cards("regression", arguments, **preprocess))
    assert caught.value.hint == "the model was trained on text/files"


def test_classes_are_matched_by_name(audio: ClassificationTask, cards: Callable[..., Card]) -> None:
    fed = audio.feed(sounds([0, 1, 1], ["none", "low"]), cards("audio"))
    assert fed.dims["num_classes"] == 3
    (batch,) = audio.eval_batches(fed, "test")
    assert batch.targets.tolist() == [2, 0, 0]
    assert batch.inputs[:, 0].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert fed.preprocess == SOUNDS


def test_a_class_that_the_model_lacks_is_refused(
    audio: ClassificationTask, cards: Callable[..., Card]
) -> None:
    with pytest.raises(DataError, match="the model has no class 'loud'"):
        audio.feed(sounds([0], ["low", "loud"]), cards("audio"))
    with pytest.raises(DataError, match="the data has sample_rate=9, but the model has sample_rate=8"):
        audio.feed(sounds([0], ["low", "high", "none"], sample_rate=9), cards("audio"))


def test_the_interval_of_accuracy_is_wilsons(audio: ClassificationTask) -> None:
    data = sounds([0, 0, 0, 1, 2], SOUNDS["classes"])
    measured = measure(Constant(torch.eye(3)[[0, 0, 1, 1, 0]]), audio, data, "test", with_items=True)
    intervals = intervals_of(audio, measured, data.preprocess)
    assert measured.metrics["accuracy"] == 3 / 5
    assert intervals["accuracy"] == wilson(3, 5)
    assert measured.details["confusion"] == [[2, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert measured.details["classes"][0] == {
        "class": "low",
        "count": 3,
        "accuracy": 2 / 3,
        "interval": [*wilson(2, 3)],
    }
    assert measured.details["missing_classes"] == []


def test_with_more_than_ten_classes_the_first_five_count(audio: ClassificationTask) -> None:
    classes = [f"class {number}" for number in range(11)]
    (batch,) = audio.eval_batches(sounds([0, 5], classes), "test")
    step = audio.step(Constant(-torch.arange(11.0).repeat(2, 1)), batch)  # the first five are 0 to 4
    assert audio.metrics({key: float(step.sums[key]) for key in step.sums if key != "confusion"}, 2, {})[
        "top5_accuracy"
    ] == pytest.approx(0.5)


def test_a_single_item_left_over_joins_the_batch_before_it(regression: RegressionTask) -> None:
    data = rows(*(([float(number), 0.0], 0.0) for number in range(9)))
    batches = [*regression.train_batches(data, TrainConfig(batch_size=4), seed=0, epoch=0)]
    assert [batch.count for batch in batches] == [4, 5]
    assert {batch.total for batch in batches} == {2}


def test_a_split_that_reads_batches_is_read_in_batches(regression: RegressionTask) -> None:
    class Reads:
        def __len__(self) -> int:
            return 4

        def read_batch(self, indices: Any) -> tuple[Tensor, Tensor]:
            numbers = torch.tensor(indices).float()
            return numbers[:, None].expand(-1, 2), numbers

    (batch,) = regression.batches_of(Reads(), NUMBERS)
    assert batch.inputs[:, 0].tolist() == [0, 1, 2, 3]
    assert batch.targets.flatten().tolist() == [-5, -4.5, -4, -3.5]


def test_an_empty_training_split_is_refused(regression: RegressionTask) -> None:
    with pytest.raises(DataError, match="the training split is empty"):
        next(regression.train_batches(rows(), TrainConfig(), seed=0, epoch=0))
    assert [*regression.eval_batches(rows(), "val")] == []


def test_each_item_is_evaluated_once_in_batches_that_are_numbered_from_0(regression: RegressionTask) -> None:
    batches = [*regression.eval_batches(rows(*[([0.0, 0.0], 0.0)] * 251), "test")]
    assert [(batch.index, batch.total, batch.count) for batch in batches] == [(0, 2, 250), (1, 2, 1)]


class Blended(RegressionTask):
    """Shifts each row at random, then blends it with an earlier row."""

    back = 1

    def overlap(self, config: TrainConfig) -> int:
        return self.back

    def augment(self, batches: Any, dataset: Any, config: TrainConfig) -> Iterator[tuple[Tensor, Tensor]]:
        shifted = ((x + draws.uniform()[:, None], y, draws) for x, y, draws in batches)
        for inputs, targets in super().augment(shifted, dataset, config):
            yield inputs + 2 * inputs.roll(self.back, 0), targets


@pytest.mark.parametrize(("world_size", "back"), [(2, 1), (3, 1), (5, 1), (2, 3)])
def test_processes_share_the_batches_that_a_task_augments(
    regression: RegressionTask, world_size: int, back: int
) -> None:
    data = rows(*(([float(number), 0.0], 0.0) for number in range(10)))
    task = Blended(regression.spec)
    task.back = back  # the last batch has two items
    place: dict[str, Any] = {"seed": 0, "epoch": 1, "start": 1}
    parts = [
        task.train_batches(data, TrainConfig(batch_size=4), **place, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for whole, *shares in zip(
        task.train_batches(data, TrainConfig(batch_size=4), **place), *parts, strict=True
    ):
        counted = [part for part in shares if part.share]
        assert torch.equal(torch.cat([part.inputs for part in counted]), whole.inputs)
        assert sum(part.share for part in counted) == pytest.approx(1)


def test_the_weights_of_classes_are_those_of_items_and_of_the_loss(audio: ClassificationTask) -> None:
    class Weighed(ClassificationTask):
        def class_weights(self, split: Any, config: TrainConfig) -> Tensor:
            return torch.tensor([1.0, 3.0, 0.0])

    task = Weighed(audio.spec)
    (batch,) = task.train_batches(
        sounds([0, 1, 2], SOUNDS["classes"]), TrainConfig(batch_size=3), seed=0, epoch=0
    )
    assert batch.weights is not None
    assert batch.weights.tolist() == [(1.0, 3.0, 0.0)[label] for label in batch.targets.tolist()]
    model = Constant(torch.zeros(3, 3))
    assert task.step(model, batch).loss.item() == pytest.approx(4 / 3 * math.log(3))
    assert task.step(model, replace(batch, weights=None)).loss.item() == pytest.approx(math.log(3))


def test_an_example_has_the_shape_of_an_input(audio: ItemTask) -> None:
    assert audio.example({"num_samples": 7, "num_classes": 2}).shape == (1, 7)


@pytest.mark.parametrize(
    ("name", "arguments", "preprocess", "message"),
    [
        ("regression", {"num_features": 0}, {}, "num_features must be an integer from 1 to 10,000,000"),
        ("regression", {"num_features": True}, {}, "num_features must be an integer .*got True"),
        ("regression", {}, {"mean": [0.0]}, "mean has 1 values, but std requires 2"),
        ("regression", {}, {"std": [1.0, 0.0]}, r"preprocess: std\[1\]: expected float >= 1e-30"),
        ("regression", {}, {"target_mean": []}, "targets has 1 values, but target_mean requires 0"),
        (
            "regression",
            {},
            {"target_std": [math.inf]},
            r"preprocess: target_std\[0\]: expected float <= 1e\+?30",
        ),
        ("regression", {}, {"targets": [1]}, r"preprocess: targets\[0\]: expected str, got int"),
        ("audio", {}, {"classes": ["low"]}, "classes has 1 values, but num_classes requires 3"),
    ],
)
def test_a_card_that_does_not_fit_its_model_is_refused(
    name: str, arguments: Any, preprocess: Any, message: str, cards: Callable[..., Card]
) -> None:
    processor, fit = task_of(name).processor, cards(name)
    processor.check_feeding(fit.preprocess, fit.arguments)
    unfit = cards(name, arguments, **preprocess)
    with pytest.raises(OptionError, match=message):
        processor.check_feeding(unfit.preprocess, unfit.arguments)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["targets"], "preprocess: targets is missing"),
        (["target_std"], "preprocess: target_std is missing"),
        (["targets", "target_mean", "target_std"], "preprocess: target_mean is missing"),
        (["std"], "mean has 2 values, but std requires 0"),
    ],
)
def test_a_card_without_names_or_scales_is_refused(
    keys: list[str], message: str, cards: Callable[..., Card]
) -> None:
    card = cards("regression")
    lacking = {name: value for name, value in card.preprocess.items() if name not in keys}
    with pytest.raises(OptionError, match=message):
        task_of("regression").processor.check_feeding(lacking, card.arguments)


def test_an_input_of_another_form_is_refused(tmp_path: Path, cards: Callable[..., Card]) -> None:
    reader = task_of("regression").processor.input_reader(cards("regression"))
    (tmp_path / "row.csv").write_text("1, 2\n")
    row, _ = reader.read(tmp_path / "row.csv")
    assert (row.tolist(), row.dtype) == ([1.0, 2.0], np.float32)
    (tmp_path / "words.csv").write_text("1, two\n")
    with pytest.raises(DataError, match=r"words\.csv cannot be read: ValueError: could not convert string"):
        reader.read(tmp_path / "words.csv")
    with pytest.raises(DataError, match=r"the input has the shape \(3,\), but the model reads \(2,\)"):
        reader.read([1, 2, 3])
    with pytest.raises(FileNotFoundError):
        reader.read(tmp_path / "missing.csv")


def write_wav(path: Path, values: Any, *, rate: int, channels: int = 1, width: int = 2) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(np.asarray(values, "<i2" if width == 2 else np.uint8).tobytes())


def test_a_recording_is_resampled_cropped_and_padded(tmp_path: Path, cards: Callable[..., Card]) -> None:
    read = task_of("audio").processor.input_reader(cards("audio")).read  # 4 samples, 8 per second
    path = tmp_path / "x.wav"
    write_wav(path, [0, 16384, -32768, 8192, 1, 1], rate=8)
    assert read(path)[0].tolist() == [0.0, 0.5, -1.0, 0.25]
    write_wav(path, [16384, 8192], rate=8)
    assert read(path)[0].tolist() == [0.5, 0.25, 0.0, 0.0]
    write_wav(path, [0, 8192, 16384, 24576, 0, 0, 0, 0], rate=16)
    assert read(path)[0].tolist() == [0.0, 0.5, 0.0, 0.0]
    write_wav(path, [0, 16384, 16384, 16384], rate=8, channels=2)
    assert read(path)[0].tolist() == [0.25, 0.5, 0.0, 0.0]
    write_wav(path, [1, 2, 3, 4], rate=8, width=1)
    with pytest.raises(DataError, match=r"x\.wav has 8 bits per sample \(expected 16\)"):
        read(path)
    path.write_bytes(b"not a recording")
    with pytest.raises(DataError, match=r"x\.wav cannot be read: "):
        read(path)


def test_a_recording_is_classified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "sound-net", "tones", "--run", str(tmp_path / "run"), "--epochs", "9", "--json"]
    assert run(["--strict", *train]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["val"]["accuracy"] > 0.6
    turns = np.arange(2000) * 220 / 8000 % 1
    write_wav(tmp_path / "tone.wav", 20_000 * (1 - 2 * (turns >= 0.5)), rate=8000)
    assert run(["--strict", "predict", str(tmp_path / "run"), str(tmp_path / "tone.wav"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["predictions"][0]["class"] == "square"


def test_a_period_is_predicted_in_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = zoo.train("row-mlp", "pendulums", epochs=5, run=tmp_path / "run", progress=False)
    (row,) = made.model.predict([[1.0, 0.5]], progress=False)
    assert row["predictions"] == [{"target": "period", "value": pytest.approx(2.038, abs=0.1)}]
    metrics = made.model.evaluate("test", progress=False)["metrics"]
    assert metrics["rmse"] < 0.2  # 1.26 for the mean
    layers = made.model.analyze("activations", split="val", progress=False).analysis.tables["layers"]
    assert [row["kind"] for row in layers][:2] == ["Linear", "ReLU"]
    capsys.readouterr()
    assert run(["eval", str(tmp_path / "run"), "--quiet"]) == 0
    assert re.search(r": rmse 0\.\d+ \(.*, mae 0.*, loss ", capsys.readouterr().out), (
        "the primary metric first"
    )
    file = made.model.export(tmp_path / "x.onnx", progress=False)["file"]
    assert zoo.load(file).evaluate("test", progress=False)["metrics"] == pytest.approx(metrics, rel=1e-4)


def test_each_number_of_a_target_has_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [{"target": "day 1", "value": 1.5}, {"target": "day 2", "low": 1, "high": 2.5}]
    columns, cells = ["day 1", "day 2 low", "day 2 high"], ["1.5", "1", "2.5"]

    def predictions(self: Any, outputs: Any, preprocess: Any, *, top: int | None = None) -> list[Prediction]:
        return [Prediction(rows=answers) for _ in outputs]

    monkeypatch.setattr(RegressionProcessor, "predictions", predictions)
    zoo.train("row-mlp", "pendulums", run=tmp_path / "run", epochs=1, progress=False)
    for name, text in {"a.txt": "1 0.5", "b.txt": "1"}.items():
        (tmp_path / name).write_text(text)
    given = ["predict", str(tmp_path / "run"), str(tmp_path / "b.txt"), str(tmp_path / "a.txt"), "--quiet"]
    assert run(given) == 0
    named, (_, _, unread), row = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert (named, row) == (["input", *columns], [str(tmp_path / "a.txt"), *cells])
    assert unread == "has the shape (1,), but the model reads (2,)"
    assert run([*given, "--out", str(tmp_path / "x.csv")]) == 0
    header, empty, full = csv.reader((tmp_path / "x.csv").read_text().splitlines())
    assert header == ["input", *columns, "error"]
    assert empty[1:-1] == [""] * len(columns)
    assert full == [str(tmp_path / "a.txt"), *cells, ""]


def test_a_run_killed_within_an_epoch_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ["train", "row-mlp", "pendulums", "--save-every", "3", "--epochs", "2", "--quiet", "--run"]
    assert run([*train, str(tmp_path / "whole")]) == 0
    save = RunDirectory.save

    def save_and_die(self: RunDirectory, state: TrainState) -> None:
        save(self, state)
        if state.epoch == 1 and state.batch:
            raise KeyError("as if killed")

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save", save_and_die)
        assert run([*train, str(tmp_path / "killed")]) != 0
    assert run(["resume", str(tmp_path / "killed")]) == 0
    assert toys.outcome(tmp_path / "killed") == toys.outcome(tmp_path / "whole")


def test_an_error_of_a_model_suggests_checking_its_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "row-mlp", "pendulums", "--epochs", "1", "--run", str(tmp_path / "run")]) == 0
    entry = Registry.discover().architecture("row-mlp")
    monkeypatch.setattr(entry.load(), "forward", lambda self, rows: (rows, 0))
    capsys.readouterr()
    for command in (
        ["train", "row-mlp", "pendulums", "--run", str(tmp_path / "wrong")],
        ["eval", str(tmp_path / "run")],
    ):
        assert run(command) == 1
        said = "     `zoo check regression` may explain this error; `zoo --debug ...`"
        assert said in capsys.readouterr().err
    ours = ["mlp", "shapes", "--data", "train_size=8", "--model", "widths=0", "--run", str(tmp_path / "ours")]
    assert run(["train", *ours]) != 0
    assert "zoo check" not in capsys.readouterr().err


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of an epoch whose model predicts three quantiles of each of 24 hours."""
    run = tmp_path_factory.mktemp("forecaster") / "run"
    data = {"metrics": ["coverage"], "epochs": 1}
    zoo.train("quantile-mlp", "demand", **data, run=run, progress=False)
    return run


def test_a_forecast_has_a_line_for_each_hour(
    forecaster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(tmp_path / f"{number}.csv") for number in range(2)]
    for number, path in enumerate(paths):
        Path(path).write_text("\n".join(str(50 + number + hour % 24) for hour in range(168)))
    given = ["predict", str(forecaster), *paths, str(tmp_path / "none.csv"), "--quiet"]
    Path(given[-2]).write_text("1 2")
    out = tmp_path / "out.csv"
    assert run([*given, "--out", str(out)]) == 0
    assert "wrote" in capsys.readouterr().out
    table = [*csv.DictReader(out.read_text().splitlines())]
    assert [row["input"] for row in table] == [name for name in paths for _ in range(24)] + [given[-2]]
    assert [row["hour"] for row in table[:24]] == [str(hour) for hour in range(1, 25)]
    assert list(table[0]) == ["input", "hour", "5%", "50%", "95%", "error"]
    assert "has the shape (2,)" in table[-1]["error"]
    assert run(given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "input\thour\t5%\t50%\t95%"
    assert [line.split("\t")[:2] for line in lines[1:3]] == [[paths[0], "1"], [paths[0], "2"]]
    assert len(lines) == 1 + 24 + 24 + 1
    assert run([*given, "--json"]) == 0
    first, *_ = json.loads(capsys.readouterr().out)
    assert [row["hour"] for row in first["predictions"]] == [*range(1, 25)]
    assert first["predictions"][0]["50%"] == pytest.approx(float(table[0]["50%"]), rel=1e-4)


def test_a_file_of_forecasts_that_was_cut_within_an_input_is_written_again(
    forecaster: Path, tmp_path: Path
) -> None:
    model, out = zoo.load(forecaster), tmp_path / "out.csv"
    histories = [[50.0 + number + hour % 24 for hour in range(168)] for number in range(3)]
    found = model.predict(histories, progress=False)
    assert found.write(out)["rows"] == 72
    whole = out.read_text()
    asked = {"weights_sha256": model.card.sha256, "top": None, "min_confidence": None}
    out.write_text("".join(whole.splitlines(keepends=True)[:30]))
    (tmp_path / "out.csv.unfinished").write_text(json.dumps(asked))
    assert found.write(out)["before"] == 0
    assert out.read_text() == whole


def test_runs_are_sorted_by_how_close_a_metric_is_to_its_target(forecaster: Path, tmp_path: Path) -> None:
    for value in (0.7, 0.86, 0.97):
        shutil.copytree(forecaster, tmp_path / str(value))
        log = tmp_path / str(value) / "metrics.jsonl"
        log.write_text(re.sub(r'"coverage": ?[0-9.]+', f'"coverage":{value}', log.read_text()))
    found = zoo.list_runs(tmp_path, sort="val.coverage")
    assert [Path(row["run"]).name for row in found] == ["0.86", "0.97", "0.7"]
    found = zoo.list_runs(tmp_path, sort="-val.coverage")
    assert [Path(row["run"]).name for row in found] == ["0.7", "0.97", "0.86"]
