"""The lessons: short, listed, equal to torch's layers, and equal to `zoo train` to the last bit."""

from __future__ import annotations

import inspect
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.docs.pages import blocks
from tests.shell import TEXT
from tests.shell import zoo as run_zoo
from zoo.interfaces import Dataset
from zoo.models.torch_threads import computing_with

LESSONS = Path(__file__).parents[3] / "examples" / "lessons"
README = LESSONS / "README.md"
FILES = sorted(LESSONS.glob("*.py"))
NAMES = [path.name for path in FILES]
SMALL_IMAGES: dict[str, Any] = {"size": 16, "train_size": 300, "val_size": 16, "test_size": 8}
# The commands of README.md that train the same, by lesson
COMMANDS = {
    name: shlex.split(command)
    for block in blocks(README)
    for name, command in re.findall(r"^# (\w+\.py)\nzoo (.*)$", block.text.replace("\\\n", " "), re.M)
}


def lesson(name: str) -> dict[str, Any]:
    return runpy.run_path(str(LESSONS / name))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "book.txt"
    path.write_text(TEXT * 2)
    return path


@pytest.fixture
def text(book: Path) -> Dataset:
    return zoo.open_dataset("files", paths=str(book))


@pytest.fixture(scope="module")
def images() -> Dataset:
    return zoo.open_dataset("shapes", **SMALL_IMAGES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_lesson_has_at_most_60_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_the_readme_lists_the_lessons_in_order() -> None:
    listed = re.findall(r"^\| \[[^]]*\]\((\d\w+\.py)\)", README.read_text(encoding="utf-8"), re.M)
    assert listed == NAMES


def test_the_readme_has_commands_that_train_the_same() -> None:
    assert [*COMMANDS] == [
        "03_stateful_rnn.py",
        "07_stateful_lstm.py",
        "10_fully_connected.py",
        "11_convolutions.py",
        "13_convnet_bn.py",
        "15_one_cycle.py",
        "17_resnet.py",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_lesson_ends_with_the_bits_of_zoo_train(
    name: str, text: Dataset, images: Dataset, book: Path, tmp_path: Path
) -> None:
    words = COMMANDS[name]
    train: Callable[..., torch.nn.Module] = lesson(name)["train"]
    epochs = inspect.signature(train).parameters["epochs"].default
    assert words[words.index("--epochs") + 1] == str(epochs)
    with computing_with(1):
        ours = train(text if "nietzsche" in words else images, epochs=2).state_dict()
    small = ["files", "--data", f"paths={book}"]
    if "cifar10" in words:
        small = ["shapes", *(f"--data={key}={value}" for key, value in SMALL_IMAGES.items())]
    at = next(at for at, word in enumerate(words) if word in ("nietzsche", "cifar10"))
    done = run_zoo(*words[:at], *small, *words[at + 1 :], "--epochs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    theirs = zoo.Run(tmp_path / words[words.index("--run") + 1], device="cpu").last.module.state_dict()
    equal = [torch.equal(*pair) for pair in zip(ours.values(), theirs.values(), strict=True)]
    assert equal == [True] * len(equal)


@pytest.mark.parametrize("name", ["04_rnn_by_hand.py", "05_gru_by_hand.py", "06_lstm_by_hand.py"])
def test_a_layer_by_hand_equals_torchs(name: str, text: Dataset) -> None:
    torch.manual_seed(0)
    assert lesson(name)["compare"](text) <= 1e-6


def test_batch_norm_by_hand_equals_torchs(images: Dataset) -> None:
    assert max(lesson("12_batch_norm.py")["compare"](images, batches=4)) <= 1e-6


def test_the_parallel_scan_equals_the_loop() -> None:
    torch.manual_seed(0)
    keep, new = torch.rand(37, 2, 3), torch.randn(37, 2, 3)
    mingru = lesson("08_min_gru.py")
    rounds, steps = mingru["in_rounds"](keep, new), mingru["in_steps"](keep, new)
    torch.testing.assert_close(rounds, steps, rtol=0, atol=1e-6)


def test_the_three_characters_are_the_loop(text: Dataset) -> None:
    """With the same weights, three characters written out are a window of length 3."""
    torch.manual_seed(0)
    written, loop = (
        lesson(name)[network](5)
        for name, network in (("01_three_characters.py", "ThreeCharacters"), ("02_loop.py", "LoopRNN"))
    )
    loop.load_state_dict(written.state_dict())
    windows = torch.randint(5, (7, 3))
    torch.testing.assert_close(written(*windows.T), loop(windows), rtol=0, atol=1e-6)


def test_the_range_test_raises_the_rate_by_the_same_factor(images: Dataset) -> None:
    rates, losses = lesson("14_range_test.py")["range_test"](images, steps=5)
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert len(losses) == 5


def test_sampling_carries_the_state_and_takes_the_likeliest_of_one(text: Dataset) -> None:
    """With one candidate, each character is the likeliest one after all that was written before."""
    sampling, vocabulary = lesson("09_sampling.py"), text.preprocess["vocabulary"]
    torch.manual_seed(0)
    model = sampling["GRU"](len(vocabulary))
    written = sampling["sample"](model, vocabulary, "the quick ", length=20, top_k=1)
    numbers = torch.tensor([vocabulary.index(character) for character in written])
    logits, _ = model(numbers[:, None])  # (30, 1, V)
    assert numbers[10:].tolist() == logits[9:-1, 0].argmax(1).tolist()


def test_the_activation_maps_are_those_of_cam() -> None:
    cam = lesson("18_class_activation_map.py")
    trained = zoo.load("shapes-resnet20", device="cpu")
    options: dict[str, Any] = {"train_size": 8, "test_size": 6}
    dataset = zoo.open_dataset("shapes", size=64, objects=3, clutter=8, **options)
    inputs = cam["prepare"](dataset.split("test").images, trained.card.preprocess)
    maps, classes = cam["activation_maps"](trained.module, inputs)
    theirs = trained.analyze("cam", split="test", data=options, progress=False).analysis
    assert theirs.maps is not None
    assert theirs.classes is not None
    assert classes.tolist() == theirs.classes[:, 0].tolist()
    torch.testing.assert_close(maps, torch.as_tensor(theirs.maps)[:, 0], rtol=0, atol=1e-5)


PLUGIN = """
from zoo import DatasetSpec, hookimpl

@hookimpl
def zoo_datasets():
    text = DatasetSpec(
        name="few-words", target="zoo_text.corpora:files", task="language-modeling", summary="",
        config={{"paths": {book!r}}},
    )
    images = DatasetSpec(
        name="few-images", target="zoo_images.shapes:shapes", task="classification", summary="",
        config={images!r},
    )
    return [text, images]
"""


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_lesson_runs_as_a_script(path: Path, tmp_path: Path, book: Path) -> None:
    (tmp_path / "few.py").write_text(PLUGIN.format(book=str(book), images=SMALL_IMAGES))
    data = "few-words" if path.name < "10" else "few-images"
    done = subprocess.run(
        [sys.executable, path, data],
        cwd=tmp_path,
        env={**os.environ, "ZOO_PLUGIN_FILES": str(tmp_path / "few.py")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert (tmp_path / "class_activation_maps.png").exists() == (path.name == "18_class_activation_map.py")
