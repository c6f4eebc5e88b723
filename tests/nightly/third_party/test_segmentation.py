"""examples/zoo-segmentation: a task from elsewhere, with everything that the commands do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.nightly.reliability import toys
from tests.nightly.third_party.conftest import EXAMPLES
from zoo import testing
from zoo.cli import run
from zoo.data.image_files import read_image
from zoo.errors import OptionError, SpecError
from zoo.models import weights
from zoo.registry.registry import Registry

SMALL = [
    *("--data", "size=16", "--data", "train_size=64", "--data", "val_size=8", "--data", "test_size=8"),
    *("--model", "width=4", "--model", "depth=2", "--batch-size", "8"),
]

pytestmark = pytest.mark.filterwarnings("ignore::zoo.errors.ZooWarning")


@pytest.fixture(scope="module")
def installed(pip_install: Callable[..., Path]) -> Path:
    """Return a folder that the example is pip-installed into."""
    pytest.importorskip("hatchling")
    return pip_install("zoo-segmentation")


@pytest.fixture(autouse=True)
def _on_the_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))


@pytest.fixture(scope="module")
def trained(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of a small U-Net after two epochs."""
    directory = tmp_path_factory.mktemp("runs") / "small"
    sys.path.insert(0, str(installed))
    try:
        assert run(["--strict", "train", "unet", "shapes-masks", *SMALL, *_to(directory, epochs=2)]) == 0
    finally:
        sys.path.remove(str(installed))
    return directory


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that runs a command with --json, and returns its document."""

    def ask(*arguments: str | Path, code: int = 0) -> Any:
        capsys.readouterr()
        assert run([*map(str, arguments), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return ask


def _to(directory: Path, *, epochs: int) -> list[str]:
    return ["--epochs", str(epochs), "--augment", "crop,flip", "--run", str(directory)]


@pytest.mark.slow
def test_it_is_listed_and_shown_with_its_group_of_training_fields(answer: Callable[..., Any]) -> None:
    names = {row["name"]: row for row in answer("list")}
    assert names["segmentation/unet"]["task"] == names["segmentation/shapes-masks"]["task"] == "segmentation"
    task = answer("show", "segmentation")
    assert task["fields"] == {"augment": [], "augment_options": {}, "mixup_alpha": 0.0}
    assert task["entries"]["architecture"] == ["segmentation/unet"]
    assert task["entries"]["dataset"] == ["segmentation/shapes-masks"]
    analyzers = {*task["entries"]["analyzer"]}
    assert analyzers >= {"analyzers/activations", "analyzers/neighbors", "segmentation/masks"}
    assert not analyzers & {"analyzers/confusion", "analyzers/surprisal", "cam/cam"}
    assert answer("show", "unet")["parameters"] == 488_069
    assert answer("show", "shapes-masks", "--data", "kinds=3")["dims"]["num_classes"] == 4
    (plugin,) = [plugin for plugin in answer("plugins") if plugin["name"] == "segmentation"]
    assert plugin["status"] == "ok"
    assert answer("show", "shapes-masks-unet")["kind"] == "recipe"


@pytest.mark.slow
def test_its_metrics_are_those_of_pixels_and_its_items_images(
    trained: Path, answer: Callable[..., Any]
) -> None:
    result = answer("eval", trained)
    assert (result["split"], result["count"], result["unit"]) == ("test", 8, "images")
    assert result["metrics"].keys() == {"iou", "pixel_accuracy", "loss"}
    assert result["baseline"] == {"iou": 0.2, "loss": pytest.approx(1.609, abs=1e-3)}
    confusion = torch.tensor(result["confusion"])
    assert int(confusion.sum()) == 8 * 16 * 16
    both = confusion.diagonal()
    ious = (both / (confusion.sum(0) + confusion.sum(1) - both)).nanmean()
    assert result["metrics"]["iou"] == pytest.approx(float(ious))
    assert [row["class"] for row in result["classes"]] == [
        *("background", "circle", "square", "triangle", "plus")
    ]
    mirrored = answer("eval", trained, "--tta")
    assert mirrored["tta"]
    assert mirrored["metrics"] != result["metrics"]


def test_training_reports_the_task_s_primary_metric(trained: Path, answer: Callable[..., Any]) -> None:
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [sorted(row["val"]) for row in rows] == [["iou", "loss", "pixel_accuracy"]] * 2
    assert 0 < rows[-1]["train"]["iou"] < 1  # from the confusion matrix of the whole epoch
    card = answer("inspect", trained)
    assert card["task"] == "segmentation"
    assert card["training"]["augment"] == ["crop", "flip"]


@pytest.mark.slow
def test_a_run_stopped_within_an_epoch_resumes_bit_for_bit(tmp_path: Path, trained: Path) -> None:
    """Its sums hold a confusion matrix, which a checkpoint keeps."""
    ours = tmp_path / "small"
    stopping = ["--save-every", "3", *_to(ours, epochs=2)]
    done = subprocess.run(
        [sys.executable, "-c", _KILLS_ITSELF, "train", "unet", "shapes-masks", *SMALL, *stopping],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert run(["resume", str(ours)]) == 0
    assert toys.outcome(ours) == toys.outcome(trained)


_KILLS_ITSELF = """
import os, signal, sys
from zoo import testing
from zoo.cli import run
from zoo.runs.directory import RunDirectory
save = RunDirectory.save
def save_and_die(self, state):
    save(self, state)
    if state.epoch == 1 and state.batch:
        os.kill(os.getpid(), signal.SIGKILL)
RunDirectory.save = save_and_die
run(sys.argv[1:])
"""


def test_its_analyzer_draws_a_split_and_images_of_the_users_own(
    trained: Path, tmp_path: Path, answer: Callable[..., Any]
) -> None:
    split = answer("analyze", "masks", trained, "--indices", "0-4", "--out", tmp_path / "split")
    assert split["scores"].keys() == {"iou", "pixel_accuracy"}
    image, _ = read_image(tmp_path / "split" / "masks.png", size=64, channels=3)
    assert image.std() > 10
    own = answer("analyze", "masks", trained, tmp_path / "split" / "masks.png", "--out", tmp_path / "own")
    assert own["scores"] == {}
    assert sum(row["predicted"] for row in own["tables"]["classes"]) == pytest.approx(1)


@pytest.mark.slow
def test_its_answers_are_masks_and_what_is_in_them(
    tmp_path: Path, trained: Path, answer: Callable[..., Any]
) -> None:
    for number in range(3):
        pixels = torch.randint(0, 256, (20, 30, 3), generator=torch.Generator().manual_seed(number))
        Image.fromarray(pixels.byte().numpy()).save(tmp_path / f"{number}.png")
    (tmp_path / "damaged.png").write_bytes(b"no image")
    result = answer("predict", trained, tmp_path, "--out", tmp_path / "out")
    assert (result["rows"], result["errors"]) == (4, 1)
    table = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    model = zoo.load(trained, progress=False)
    for number, row in enumerate(map(json.loads, table[:3])):
        with Image.open(tmp_path / "out" / row["mask"]) as drawing:
            mask = torch.from_numpy(np.array(drawing))
        image, _ = read_image(tmp_path / f"{number}.png", size=16, channels=3)
        mean, std = (torch.tensor(model.card.preprocess[key]).view(3, 1, 1) for key in ("mean", "std"))
        with torch.no_grad():
            expected = model.module(((torch.from_numpy(image) / 255 - mean) / std)[None]).argmax(1)[0]
        assert torch.equal(mask, expected.byte())
        for one in row["predictions"]:
            share = float((expected == model.classes.index(one["class"])).double().mean())
            assert one["share"] == pytest.approx(share, rel=1e-5)
        assert sum(one["share"] for one in row["predictions"]) == pytest.approx(1, rel=1e-4)
    assert "mask" not in json.loads(table[3])
    answer("predict", trained, tmp_path, "--out", tmp_path / "x.csv", "--top", "1")
    header, *rows = (tmp_path / "x.csv").read_text().splitlines()
    assert header == "input,class,share,mask,error"
    assert [len(row.split("|")) for row in rows] == [1] * len(rows)
    images = [*(tmp_path / "x-images").iterdir()]
    assert len(images) == len(rows) - 1  # the damaged one has none
    (tmp_path / "other").write_text("mine")
    images[0].unlink()
    images[0].symlink_to(tmp_path / "other")
    (tmp_path / "x.csv").unlink()
    answer("predict", trained, tmp_path, "--out", tmp_path / "x.csv", "--top", "1")
    assert (tmp_path / "other").read_text() == "mine"
    with pytest.raises(OptionError, match="can store only rows of numbers"):
        model.predict(tmp_path / "1.png", progress=False).write(tmp_path / "x.npy")
    assert not (tmp_path / "x.npy").exists()


def test_its_images_have_features_and_neighbors(
    tmp_path: Path, trained: Path, answer: Callable[..., Any]
) -> None:
    pixels = torch.randint(0, 256, (20, 30, 3), generator=torch.Generator().manual_seed(0))
    Image.fromarray(pixels.byte().numpy()).save(tmp_path / "a.png")
    (row,) = answer("embed", trained, tmp_path / "a.png")
    assert len(row["features"]) == 4
    result = answer("embed", trained, tmp_path / "a.png", "--no-pool", "--out", tmp_path / "x.npy")
    assert result["shape"] == [4, 16, 16]
    found = answer("analyze", "neighbors", trained, tmp_path / "a.png", "--out", tmp_path / "out")
    (row,) = found["tables"]["neighbors"]
    assert {near["true"] for near in row["neighbors"]} == {None}
    assert found["scores"].keys() == {"nearest_similarity"}


def test_weights_start_a_training_on_other_sizes_and_other_classes(
    trained: Path, tmp_path: Path, answer: Callable[..., Any]
) -> None:
    other = ["--data", "size=24", "--data", "kinds=5", "--data", "train_size=16", "--data", "val_size=8"]
    start = ["train", "unet", "shapes-masks", "--from", trained, "--epochs", 1]
    answer(*start, *other, "--run", tmp_path / "t")
    ours, theirs = (
        weights.load(path / "model.safetensors", Registry.discover())[0] for path in (tmp_path / "t", trained)
    )
    assert ours.head.out_channels == 6  # pyright: ignore[reportAttributeAccessIssue]
    assert theirs.head.out_channels == 5  # pyright: ignore[reportAttributeAccessIssue]


def test_learning_rates_are_tried(answer: Callable[..., Any]) -> None:
    found = answer("lr-find", "unet", "shapes-masks", *SMALL, "--steps", "20")
    assert found["suggestions"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "RUN"], "is not a language model (task: segmentation)"),
        (["analyze", "grad-cam", "RUN"], "grad-cam is for classification"),
        (
            ["analyze", "masks", "RUN", "--class", "plus"],
            "segmentation/masks does not draw heat maps, so it does not accept a class",
        ),
        (["train", "unet", "shapes"], "segmentation"),
        (["train", "unet", "shapes-masks", "--label-smoothing", "0.1"], "--label-smoothing does not apply"),
        (["eval", "RUN", "--data", "kinds=3"], "the classes of the data differ from those of the model"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    trained: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(trained) if word == "RUN" else word for word in arguments]) in (1, 2)
    assert message in capsys.readouterr().err


def test_new_plugins_for_the_task_pass_the_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, name in (("architecture", "dilated"), ("dataset", "one-square"), ("analyzer", "sureness")):
        new = ["new-plugin", name, "--kind", kind, "--task", "segmentation", "--out", str(tmp_path)]
        assert run(new) == 0
        package = f"zoo_{name.replace('-', '_')}"
        site = tmp_path / "site" / f"{package}-0.1.0.dist-info"
        site.mkdir(parents=True)
        (site / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 0.1.0\n")
        (site / "entry_points.txt").write_text(f"[zoo]\n{name} = {package}.plugin\n")
        shutil.copytree(tmp_path / f"zoo-{name}" / package, tmp_path / "site" / package)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in ("dilated", "one-square", "sureness"):
        assert run(["--strict", "check", name]) == 0
    train = ["train", "dilated", "one-square", "--data", "size=8", "--epochs", "1"]
    assert run([*train, "--run", str(tmp_path / "run")]) == 0
    assert run(["analyze", "sureness", str(tmp_path / "run"), "--out", str(tmp_path / "found")]) == 0


@pytest.mark.timeout(600)
def test_its_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "zoo-segmentation/tests", tmp_path / "tests")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "-W", _QUIETLY],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


_QUIETLY = "ignore::zoo.errors.ZooWarning"


_WRONG = '''
import hashlib
import torch
from torch import nn
from zoo import AnalyzerSpec, ArchitectureSpec, DatasetSpec, hookimpl
from zoo.interfaces import Analysis, Analyzer, Dataset
from zoo.models.hooks import untouched

class FromOne(Dataset):
    """Two classes, which its masks count from 1."""
    dims = {"in_channels": 1, "image_size": 8, "num_classes": 2}
    preprocess = {"size": 8, "mean": [0.5], "std": [0.3], "classes": ["a", "b"]}
    fingerprint = hashlib.sha256(b"").hexdigest()

    def split(self, name):
        draws = torch.Generator().manual_seed({"train": 0, "val": 1, "test": 2}[name])
        images = torch.randint(0, 256, (8, 1, 8, 8), generator=draws, dtype=torch.uint8)
        masks = 1 + (images[:, 0] > 99).to(torch.uint8)
        masks[0, 0] = 255
        return torch.utils.data.TensorDataset(images, masks)

class OneForAll(nn.Module):
    """A class for the whole image."""
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int):
        super().__init__()
        self.head = nn.Linear(in_channels, num_classes)

    def forward(self, images):
        return self.head(images.mean((2, 3)))

class Mapped(Analyzer):
    """Maps of the logits, although each pixel has its own."""
    def analyze(self, model, batches, *, subject):
        with untouched(model) as inner, torch.no_grad():
            maps = torch.cat([inner(batch.inputs) for batch in batches])[:, :1]
        return Analysis(maps=maps, classes=torch.zeros(len(maps), 1, dtype=torch.int64))

@hookimpl
def zoo_analyzers():
    fields = {"tasks": ("segmentation",), "ignores": ("class",), "summary": "Maps"}
    yield AnalyzerSpec(name="mapped", target="wrong:Mapped", **fields)

@hookimpl
def zoo_datasets():
    yield DatasetSpec(name="from-one", target="wrong:FromOne", task="segmentation", summary="Masks from 1")

@hookimpl
def zoo_architectures():
    yield ArchitectureSpec(name="all", target="wrong:OneForAll", task="segmentation", summary="One class")
'''


@pytest.fixture
def wrong(tmp_path: Path) -> Iterator[Path]:
    """Return a plugin in one file, for the task of the installed one, of which nothing is right."""
    (tmp_path / "wrong.py").write_text(_WRONG)
    yield tmp_path / "wrong.py"
    sys.modules.pop("wrong", None)


@pytest.mark.slow
def test_the_kit_finds_wrong_masks_and_wrong_answers(wrong: Path) -> None:
    outcomes = {o.name: o.reason for o in testing.check(str(wrong), progress=False) if o.reason}
    assert "expected train labels from -1 to 1; got 2" in outcomes["from-one-labels_in_range"]
    assert "expected logits (1, 3, 32, 32)" in outcomes["all-output_shape"]
    failed = {name for name, reason in outcomes.items() if reason.startswith("expected")}
    assert failed == {"from-one-labels_in_range", "all-output_shape", "mapped-answers_what_was_asked"}


def test_maps_of_answers_that_have_a_place_are_refused_in_words(
    trained: Path, wrong: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_PLUGIN_FILES", str(wrong))
    with pytest.raises(SpecError, match=r"wrong/mapped requires one prediction per input.*\(2, 5, 16, 16\)"):
        zoo.load(trained).analyze("wrong/mapped", indices=[0, 1], progress=False)
