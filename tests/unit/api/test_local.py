"""Classes and data of a Python session: `zoo.train(Net, (images, labels))`."""

from __future__ import annotations

import gc
import json
import random
import signal
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import zoo
from tests.shell import zoo as shell
from zoo.errors import Interrupted, OptionError, UnknownName, WeightsError, ZooError, ZooWarning
from zoo.testing import check
from zoo_images.tiny import TinyTags

ROOT = Path(__file__).parents[3]
LABELS = np.arange(60) % 3
IMAGES = (np.random.default_rng(0).random((60, 8, 8)) * 90 + 80 * LABELS[:, None, None]).astype(np.uint8)
TEXT = "the quick brown fox jumps over the lazy dog. " * 60
QUIET: dict[str, Any] = {"progress": False, "threads": 1, "run": "runs/own"}

pytestmark = [pytest.mark.filterwarnings("ignore::zoo.errors.ZooWarning")]


class SmallNet(nn.Module):
    """A convolution, and a head for whatever classes the data has."""

    def __init__(self, in_channels: int, num_classes: int, width=4) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.Dropout(0.1), nn.ReLU())
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


class SmallRnn(nn.Module):
    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(vocab_size, 8), nn.GRU(8, 8)
        self.head = nn.Linear(8, vocab_size)

    def forward(self, tokens: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        outputs, state = self.rnn(self.embedding(tokens), state)
        return self.head(outputs), state


class Items(Dataset[Any]):
    """A map-style dataset of Pillow images."""

    classes = ("none", "some", "much")

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(IMAGES[index]), int(LABELS[index])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(architecture: Any = SmallNet, data: Any = (IMAGES, LABELS), **options: Any) -> zoo.Run:
    return zoo.train(architecture, data, **{"epochs": 1, **QUIET, **options})


def tensors(run: zoo.Run) -> dict[str, torch.Tensor]:
    return run.last.module.state_dict()


def test_the_run_of_a_class_can_be_used_like_any_other() -> None:
    run = train(epochs=2, model={"width": 6})
    card = run.model.card
    assert (card.architecture, card.dataset.name, card.task) == (
        "local/small-net",
        "local/data",
        "classification",
    )
    assert card.arguments == {"in_channels": 1, "image_size": 8, "num_classes": 3, "width": 6}
    assert run.model.evaluate("test", progress=False)["count"] == 6
    assert run.model.predict([IMAGES[0]], progress=False)[0]["predictions"][0]["class"] in ("0", "1", "2")
    assert np.asarray(run.model.features([*IMAGES[:2]], progress=False)).shape == (2, 6)
    assert run.model.analyze("grad-cam", [IMAGES[0]], layer="features", progress=False).items
    assert [row["run"] for row in zoo.list_runs()] == ["runs/own"]


def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped() -> None:
    whole = train(epochs=3)
    train(epochs=3, run="runs/stopped", stop_after=1)
    with pytest.raises(UnknownName, match="local/small-net belongs to a Python session"):
        zoo.resume("runs/stopped", progress=False)
    resumed = zoo.resume("runs/stopped", architecture=SmallNet, dataset=(IMAGES, LABELS), progress=False)
    again = train(epochs=3, run="runs/stopped", resume=True)
    for name, tensor in tensors(whole).items():
        assert torch.equal(tensor, tensors(resumed)[name])
        assert torch.equal(tensor, tensors(again)[name])


class StoppedNet(SmallNet):
    """Sends SIGTERM in training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            signal.raise_signal(signal.SIGTERM)
        return super().forward(x)


@pytest.mark.parametrize(
    ("data", "given"), [((IMAGES, LABELS), ", dataset=data"), ("shapes", "")], ids=["arrays", "name"]
)
def test_a_stopped_run_hints_at_the_call_that_continues_it(data: Any, given: str) -> None:
    hint = "in Python, zoo.resume('runs/own', architecture={}" + f"{given}) continues the run"
    with pytest.raises(Interrupted) as stopped:
        train(StoppedNet, data)
    assert (stopped.value.hint, stopped.value.exit_code) == (hint.format("StoppedNet"), 143)
    done = shell("resume", "runs/own")
    assert done.stderr.splitlines()[-1].strip() == hint.format("Net")
    with pytest.raises(Interrupted if data == "shapes" else UnknownName) as again:
        zoo.resume("runs/own", architecture=StoppedNet, progress=False)
    assert again.value.hint == hint.format("StoppedNet")


def test_other_data_is_not_taken_for_the_data_of_the_run() -> None:
    train(epochs=2, stop_after=1)
    with pytest.raises(ZooError, match=r"contains a different run \(the data has changed\)"):
        train(SmallNet, (IMAGES, LABELS[::-1].copy()), epochs=2, resume=True)


def test_a_file_of_a_class_is_loaded_with_the_class() -> None:
    train()
    with pytest.raises(WeightsError, match="local/small-net belongs to a Python session"):
        zoo.load("runs/own")
    model = zoo.load("runs/own", architecture=SmallNet)
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 3)
    with pytest.raises(UnknownName, match="local/data belongs to a Python session"):
        model.evaluate(progress=False)
    model = zoo.load("runs/own", architecture=SmallNet, dataset=(IMAGES, LABELS))
    assert model.evaluate(progress=False)["count"] == 6
    done = shell("eval", "runs/own")
    assert done.returncode == 1
    assert "zoo.load(path, architecture=Net, dataset=data)" in done.stderr


def test_a_class_whose_source_has_changed_is_warned_of() -> None:
    train(epochs=2, stop_after=1)

    class Changed(SmallNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    with pytest.warns(ZooWarning, match=r"the source of local/small-net has changed since .*best"):
        zoo.load("runs/own", architecture=Changed)
    with pytest.warns(ZooWarning, match=r"the source of local/small-net has changed since .*checkpoint"):
        zoo.resume("runs/own", architecture=Changed, dataset=(IMAGES, LABELS), progress=False)


def test_runs_of_classes_are_compared_with_each_other_and_with_named_models() -> None:
    one, other = train(), train("mlp", run="runs/mlp", model={"widths": (4,)})
    found = zoo.compare(one, other, split="val", progress=False)
    assert (found.count, len(found.pairs) > 0) == (6, True)

    def small_net(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

    same_name = train(small_net, run="runs/other")
    with pytest.raises(OptionError, match="two different classes are called local/small-net"):
        zoo.compare(one, same_name, progress=False)


def test_fine_tuning_starts_from_the_weights_of_a_class() -> None:
    train(epochs=2)
    tuned = train(from_weights="runs/own", run="runs/tuned")
    assert tuned.model.card.base_model["architecture"] == "local/small-net"


@pytest.mark.parametrize(
    "data",
    [
        (IMAGES[:, None], LABELS),
        (IMAGES[..., None], LABELS),
        (torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
        [IMAGES, LABELS.tolist()],
        TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
        {"train": (IMAGES, LABELS)},
        Items(),
    ],
    ids=["nchw", "nhwc", "tensors", "list", "tensor-dataset", "dict", "items"],
)
def test_images_can_have_several_forms(data: Any) -> None:
    run = train(data=data)
    expected = train(run="runs/expected")
    for name, tensor in tensors(expected).items():
        assert torch.equal(tensor, tensors(run)[name])
    sampled = " of all labels and a sample of 60 images" in run.model.card.dataset.fingerprint
    assert sampled is isinstance(data, Items)


class NoisyItems(Items):
    """Draws from all global generators."""

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        noise = random.randrange(9) + np.random.randint(9) + int(torch.randint(9, ()))
        return Image.fromarray(IMAGES[index] + np.uint8(noise)), int(LABELS[index])


def test_a_run_on_items_that_draw_random_numbers_resumes_exactly() -> None:
    whole = train(data=NoisyItems(), epochs=3)
    train(data=NoisyItems(), epochs=3, run="runs/stopped", stop_after=1)
    resumed = zoo.resume("runs/stopped", architecture=SmallNet, dataset=NoisyItems(), progress=False)
    for name, tensor in tensors(whole).items():
        assert torch.equal(tensor, tensors(resumed)[name])


class BadItems(Items):
    """An item cannot be read: while the labels are read, or, with `targets`, while the model trains."""

    def __init__(self, targets: Any = None) -> None:
        self.targets = targets

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        if index == 7:
            raise ValueError("bad item")
        return super().__getitem__(index)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("targets", [None, LABELS], ids=["labels", "images"])
def test_the_error_of_an_item_names_it(targets: Any, split: str) -> None:
    with pytest.raises(ValueError, match="bad item") as raised:
        train(data={"train": Items(), split: BadItems(targets)})
    assert f"item 7 of {split} could not be read" in raised.value.__notes__


def test_color_images_and_given_splits() -> None:
    images = np.stack([IMAGES] * 3, axis=-1)
    run = train(data={"train": (images, LABELS), "test": (images[:7], LABELS[:7])})
    assert run.model.card.arguments["in_channels"] == 3
    assert run.model.evaluate(progress=False)["count"] == 7
    assert "val" not in run.history[-1]


def test_classes_have_the_names_of_the_labels_of_the_dataset_or_of_the_option() -> None:
    assert train().model.classes == ["0", "1", "2"]
    words = np.array(["low", "mid", "top"])[LABELS]
    assert train(data=(IMAGES, words), run="runs/words").model.classes == ["low", "mid", "top"]
    assert train(data=Items(), run="runs/items").model.classes == ["none", "some", "much"]
    options = {**QUIET, "run": "runs/named", "data": {"classes": ["x", "y", "z"]}}
    assert zoo.train(SmallNet, (IMAGES, LABELS), epochs=1, **options).model.classes == ["x", "y", "z"]


@pytest.mark.parametrize("label", [0, 1, "a"])
def test_a_single_class_is_warned_of(label: int | str) -> None:
    with pytest.warns(ZooWarning, match=f"all training images have the label {label}, so"):
        train(data=(IMAGES, np.array([label] * len(IMAGES))))


def test_texts_train_a_language_model() -> None:
    run = train(SmallRnn, {"train": TEXT, "val": TEXT[:200]})
    assert run.model.card.task == "language-modeling"
    assert len(str(run.model.sample("the ", max_new_tokens=5, progress=False))) == 5
    words = zoo.train(
        SmallRnn, {"train": TEXT}, data={"tokens": "word"}, epochs=1, **{**QUIET, "run": "runs/w"}
    )
    assert " fox" in words.model.vocabulary.tokens


def test_a_dataset_of_zoo_needs_its_task() -> None:
    with pytest.raises(OptionError, match="requires its task: task=NAME"):
        train(data=TinyTags(size=8))
    assert train(data=TinyTags(size=8), task="multi-label").model.card.task == "multi-label"


def test_data_is_not_kept_after_its_call() -> None:
    images = torch.from_numpy(IMAGES.copy())
    train(data=(images, LABELS))
    gone = weakref.ref(images)
    del images
    gc.collect()
    assert gone() is None


@pytest.mark.slow
def test_the_notebook_about_it_runs() -> None:
    notebook = json.loads((ROOT / "examples" / "own-model.ipynb").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["run"].history[-1]["epoch"] == 4
    assert len(zoo.compare(names["run"], names["other"], progress=False).pairs) > 0
    (answer,) = zoo.load("runs/stripes.onnx").predict([names["images"][0]], progress=False)
    assert (
        answer["predictions"]
        == names["run"].model.predict([names["images"][0]], progress=False)[0]["predictions"]
    )


class Columns:
    """A table, as pandas has them: it has a length, and columns in place of items by number."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, name: str) -> list[int]:
        return {"column": [1]}[name]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(IMAGES, LABELS, strict=True))


def lazy(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


def ten(width: int = 10) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: train(SmallNet(1, 3)), "pass the class SmallNet, not an instance of it"),
        (lambda: train(3), r"name must be a string, a Recipe, or a class or function .* \(got 3\)"),
        (lambda: train(data=None), "SmallNet requires a dataset"),
        (lambda: train(data=[1, 2]), "the form of this list is not recognized as data"),
        (lambda: train(data=Columns()), "the form of this Columns is not recognized as data"),
        (lambda: train(data=iter([1])), "this list_iterator has no items by number"),
        (lambda: train(data=Stream()), "this Stream has no items by number"),
        (lambda: train(data={"train": (IMAGES, LABELS), "val": Stream()}), "this Stream has no items"),
        (lambda: train(data=IMAGES), "the form of this ndarray is not recognized as data"),
        (lambda: train(data={"tran": (IMAGES, LABELS)}), "unknown split 'tran'; did you mean 'train'?"),
        (lambda: train(data={"val": (IMAGES, LABELS)}), "the data has no split 'train'"),
        (
            lambda: train(task="multi-label"),
            "this tuple is not recognized as data for multi-label",
        ),
        (lambda: train(task="clasification"), "unknown task 'clasification'; did you mean 'classification'"),
        (lambda: train(SmallRnn, TEXT + "\n"), "dataset must be a name"),
        (lambda: train("mlp", "shapes", task="classification"), "task is only for data of a Python session"),
        (lambda: train(model={"widht": 3}), "has no option 'widht'; did you mean 'width'?"),
        (lambda: train(processes=2), "can only be used in one process"),
        (lambda: train(lazy), "local/lazy: the size of 1.weight is unknown until the model is called"),
        (lambda: train(ten), r"must return logits of shape \[2, 3\] .*got \[2, 10\]"),
        (
            lambda: train(data=(IMAGES / 255, LABELS)),
            r"images must be uint8, from 0 to 255 \(got torch.float64",
        ),
        (lambda: train(data=(IMAGES[:, :4], LABELS)), r"the train images have the shape \[60, 4, 8\]"),
        (lambda: train(data=(IMAGES, LABELS[1:])), "train has 60 images, but 59 labels"),
        (lambda: train(data=(IMAGES, LABELS - 1)), r"labels must be at least 0 \(got -1\)"),
        (lambda: train(data=(IMAGES, LABELS / 2)), r"one integer or string for each image \(got float64"),
        (
            lambda: train(data={"train": (IMAGES, LABELS), "val": (IMAGES, LABELS + 1)}),
            r"the val labels must be from 0 to 2 \(got 3\)",
        ),
        (
            lambda: train("mlp") and zoo.load("runs/own", architecture=SmallNet),
            "convnet/mlp can be found by name",
        ),
        (lambda: train() and zoo.reproduce("runs/own"), "local/small-net belongs to a Python session"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ZooError, match=said):
        call()


def test_an_error_of_the_class_says_what_it_was_called_with() -> None:
    def wrong(num_classes: int) -> nn.Module:
        return nn.Linear(5, num_classes)

    with pytest.raises(RuntimeError) as raised:
        train(wrong)
    note = "local/wrong was called with torch.float32 inputs of shape [2, 1, 8, 8], as in training"
    assert note in raised.value.__notes__


def test_a_sweep_of_a_class_hints_at_a_plugin() -> None:
    with pytest.raises(OptionError, match="name must be a string or a Recipe") as raised:
        zoo.sweep(cast("Any", SmallNet), cast("Any", (IMAGES, LABELS)), over={"lr": [0.1, 0.2]})
    assert "write a plugin" in str(raised.value.hint)


def test_no_plugin_is_called_local(tmp_path: Path) -> None:
    (tmp_path / "local.py").write_text("api = 1\n")
    (outcome,) = [one for one in check("local.py", progress=False) if one.name == "local-loads"]
    assert (outcome.outcome, "no plugin can be called 'local'" in outcome.reason) == ("failed", True)
