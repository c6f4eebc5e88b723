"""What a model says of inputs of the user's own: equal to evaluation, whatever the batches and the source."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import zoo
from zoo.data.image_files import as_image
from zoo.data.read_ahead import workers
from zoo.errors import DataError, Diverged, OptionError, OutputError, WeightsError
from zoo.interfaces import make_task
from zoo.processors import Processor
from zoo.registry.registry import Registry

EXAMPLES = Path(__file__).parents[3] / "examples" / "shapes"
SIZE = 16
QUIET: dict[str, Any] = {"progress": False}
DATA = {"size": SIZE, "train_size": 64, "val_size": 8, "test_size": 40}


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> zoo.Model:
    """Return a small classifier of shapes."""
    run = tmp_path_factory.mktemp("runs") / "net"
    small: Any = {"model": {"widths": [8]}, "epochs": 3, "batch_size": 16, "lr": 0.01}
    return zoo.train("mlp", "shapes", data=DATA, run=run, **small, **QUIET).model


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> zoo.Model:
    """Return a small model of scenes with several shapes."""
    run = tmp_path_factory.mktemp("runs") / "tagger"
    data = {"size": SIZE, "train_size": 64, "val_size": 8, "test_size": 24}
    small: Any = {"model": {"widths": [8]}, "epochs": 2, "batch_size": 16, "lr": 0.01}
    return zoo.train("mlp", "scenes", data=data, run=run, **small, **QUIET).model


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> zoo.Model:
    """Return a small language model of characters."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "fox.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 40)
    small: Any = {"model": {"hidden_size": 8, "num_layers": 1}, "epochs": 1, "batch_size": 8}
    run, data = folder / "run", {"paths": str(folder / "fox.txt")}
    return zoo.train("lstm", "files", data=data, run=run, **small, **QUIET).model


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the test images of the classifier, as PNG files."""
    folder = tmp_path_factory.mktemp("images")
    for number, (image, _) in enumerate(zoo.open_dataset("shapes", **DATA, **QUIET).split("test")):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:03}.png")
    return folder


def answers(rows: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    return [(row["predictions"][0]["class"], row["predictions"][0]["probability"]) for row in rows]


def test_answers_are_those_of_evaluation_item_by_item(net: zoo.Model, images: Path) -> None:
    registry = Registry.discover()
    data, task = zoo.open_dataset("shapes", **DATA, **QUIET), make_task(registry, net.card.task)
    expected: list[tuple[str, float]] = []
    right: list[bool] = []
    with torch.no_grad():
        for batch in task.eval_batches(data, "test"):
            best, numbers = net.module(batch.inputs).softmax(1).max(1)
            expected += zip([net.classes[number] for number in numbers], best.tolist(), strict=True)
            right += (numbers == batch.targets).tolist()
    rows = net.predict(images, **QUIET)
    assert [row["input"] for row in rows] == [str(path) for path in sorted(images.iterdir())]
    assert [name for name, _ in answers(rows)] == [name for name, _ in expected]
    assert [p for _, p in answers(rows)] == pytest.approx([p for _, p in expected], rel=1e-5)
    assert len({name for name, _ in expected}) > 1
    assert net.evaluate("test", **QUIET)["metrics"]["accuracy"] == pytest.approx(sum(right) / len(right))


def test_the_bytes_of_a_file_are_read_as_the_file_is(net: zoo.Model, images: Path) -> None:
    files = [images / "000.png", images / "001.png"]
    contents = [file.read_bytes() for file in files]
    rows = net.predict([*contents, b"no image", b"", contents[0][:60]], **QUIET)
    assert [row["predictions"] for row in rows[:2]] == [
        row["predictions"] for row in net.predict(files, **QUIET)
    ]
    assert net.predict(contents[0], **QUIET) == rows[:1]
    assert [(row["input"], row["error"]) for row in rows[2:4]] == [
        ("input 2", "the input cannot be read as an image: its format is unknown or not supported"),
        ("input 3", "the input cannot be read as an image: it is empty"),
    ]
    assert rows[4]["error"].startswith("the input cannot be read as an image: ")
    assert [row["input"] for row in rows] == [f"input {number}" for number in range(5)]


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (7, 3), (500, 2)])
def test_batches_and_threads_do_not_matter(
    net: zoo.Model, images: Path, batch_size: int, threads: int
) -> None:
    usual = net.predict(images, **QUIET)
    rows = net.predict(images, batch_size=batch_size, threads=threads, **QUIET)
    assert [row["input"] for row in rows] == [row["input"] for row in usual]
    assert [name for name, _ in answers(rows)] == [name for name, _ in answers(usual)]
    assert [p for _, p in answers(rows)] == pytest.approx([p for _, p in answers(usual)], rel=1e-5)


def test_batches_have_the_size_asked_for(net: zoo.Model, images: Path) -> None:
    sizes: list[int] = []
    hook = net.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    list(net.predict(images, batch_size=16, **QUIET))
    hook.remove()
    assert sizes == [16, 16, 8]


def test_a_file_an_image_an_array_and_a_tensor_get_the_same_answer(net: zoo.Model, images: Path) -> None:
    path = images / "007.png"
    with Image.open(path) as image:
        array = np.array(image)
        given = [path, str(path), image, array, torch.from_numpy(array).permute(2, 0, 1)]
        rows = net.predict(given, **QUIET)
    assert len({row["predictions"][0]["class"] for row in rows}) == 1
    assert [p for _, p in answers(rows)] == pytest.approx([answers(rows)[0][1]] * 5)
    assert [row["input"] for row in rows] == [str(path), str(path), "input 2", "input 3", "input 4"]
    assert net.predict(array, **QUIET) == [{**rows[3], "input": "input 0"}]


def test_an_image_in_memory_is_cut_and_converted_like_a_file(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (30, 50, 4), dtype=np.uint8)
    for pixels in (colors, colors[..., :3], colors[..., 0]):
        Image.fromarray(pixels).save(tmp_path / "x.png")
        tensor = torch.from_numpy(pixels.copy())
        tensor = tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor
        for channels in (1, 3):
            expected = as_image(tmp_path / "x.png", size=8, channels=channels)
            assert expected.shape == (channels, 8, 8)
            np.testing.assert_array_equal(as_image(pixels, size=8, channels=channels), expected)
            np.testing.assert_array_equal(as_image(tensor, size=8, channels=channels), expected)
    one = as_image(colors[..., :1], size=8, channels=1)
    np.testing.assert_array_equal(one, as_image(colors[..., 0], size=8, channels=1))


@pytest.mark.parametrize(("sizes", "notices"), [((SIZE, SIZE), 0), ((SIZE, 20, 24), 1)])
def test_resizing_is_noticed_once_if_an_image_has_another_size(
    net: zoo.Model, tmp_path: Path, sizes: Sequence[int], notices: int
) -> None:
    arrays = [np.zeros((size, size, 3), np.uint8) for size in sizes]
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{number}.png")
    for given in (arrays, [*map(Image.fromarray, arrays)], tmp_path):
        with warnings.catch_warnings(record=True, action="always") as found:
            list(net.predict(given, **QUIET))
        said = "images of other sizes are cropped to the central square and resized to 16×16 pixels"
        assert [str(warning.message) for warning in found] == [said] * notices


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "expected one or more images (got nothing)"),
        ({"a": 1}, "expected one or more images (got an object of type dict)"),
        (3, "expected one or more images (got an object of type int)"),
        (
            [5],
            "expected the path or the bytes of an image, a Pillow image, or a uint8 array or tensor "
            "(got a int)",
        ),
        (np.zeros((8, 8, 3)), "image values must be uint8 (got float64)"),
        (torch.zeros(3, 8, 8), "image values must be uint8 (got torch.float32)"),
        (
            np.zeros((2, 8, 8, 3), np.uint8),
            "an image must have the shape (H, W) or (H, W, 1, 3 or 4) (got (2, 8, 8, 3))",
        ),
        (
            torch.zeros(8, 8, 3, dtype=torch.uint8),
            "an image must have the shape (H, W) or (1, 3 or 4, H, W) (got (8, 8, 3))",
        ),
    ],
)
def test_objects_that_are_no_images_are_refused(net: zoo.Model, given: object, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        list(net.predict(given, **QUIET))
    assert str(caught.value) == message


def test_an_input_that_cannot_be_read_is_a_row_with_the_reason(
    net: zoo.Model, images: Path, tmp_path: Path
) -> None:
    good = (images / "001.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(good[:60])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "huge.png").touch()
    os.truncate(tmp_path / "huge.png", 2**30 + 1)
    os.mkfifo(tmp_path / "pipe.png")
    names = [
        "cut.png",
        "empty.png",
        "text.png",
        "folder.png",
        "gone.png",
        "huge.png",
        "pipe.png",
        "nope.png",
        "*.jpg",
        "a**b",
    ]
    paths = [tmp_path / name for name in names]
    black = np.zeros((0, 4), np.uint8)
    given = iter([images / "001.png", *paths, "a\0b.png", black, images / "002.png"])  # as they come
    rows = net.predict(given, **QUIET)
    assert [row["error"] for row in rows[:1] + rows[-1:]] == [None, None]
    assert all(row["predictions"] == [] for row in rows[1:-1])
    reasons = {Path(row["input"]).name: row["error"] for row in rows[1:-1]}
    assert reasons["cut.png"].startswith("cannot be read as an image: ")
    assert reasons["empty.png"] == "cannot be read as an image: it is empty"
    assert reasons["text.png"] == "cannot be read as an image: its format is unknown or not supported"
    assert reasons["folder.png"] == "contains no images"
    assert reasons["gone.png"] == "cannot be read as an image: No such file or directory"
    assert reasons["huge.png"].startswith("cannot be read as an image: it is a sparse file: only ")
    assert "a pipe or a device" in reasons["pipe.png"]
    assert reasons["nope.png"] == "no such file or folder"
    assert reasons["*.jpg"] == "matches nothing"
    assert reasons["a**b"].startswith("is not a valid pattern: ")
    assert reasons["a\0b.png"] == "its name is not valid"
    assert reasons["input 12"] == "the image cannot be read: it has no pixels"
    usual = net.predict([images / "001.png", images / "002.png"], **QUIET)
    assert [row["predictions"][0]["class"] for row in (rows[0], rows[-1])] == [
        name for name, _ in answers(usual)
    ]


def test_folders_are_read_in_order_with_their_subfolders(
    net: zoo.Model, images: Path, tmp_path: Path
) -> None:
    png = (images / "001.png").read_bytes()
    for name in ("b/2.png", "b/1.PNG", "a.png", "c.png", ".hidden.png", ".git/x.png", "b.d/z.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(png)
    (tmp_path / "in" / "notes.txt").touch()
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    found = [Path(row["input"]).relative_to(tmp_path) for row in net.predict(tmp_path / "in", **QUIET)]
    assert list(map(str, found)) == ["in/a.png", "in/b/1.PNG", "in/b/2.png", "in/b.d/z.png", "in/c.png"]
    rows = net.predict([tmp_path / "in" / "**" / "[zc].png", str(tmp_path / "in/?.png")], **QUIET)
    assert [Path(row["input"]).name for row in rows] == ["z.png", "c.png", "a.png", "c.png"]
    (tmp_path / "in" / "b.d" / "manifest.json").write_text('{"name": "my holiday", "analyzer": "cam"}')
    net.analyze("activations", images / "001.png", **QUIET).write(tmp_path / "in" / "b")
    found = [Path(row["input"]).relative_to(tmp_path) for row in net.predict(tmp_path / "in", **QUIET)]
    assert list(map(str, found)) == ["in/a.png", "in/b.d/z.png", "in/c.png"]
    (tmp_path / "in" / "c[1].png").write_bytes(png)
    assert len(net.predict(tmp_path / "in" / "c[1].png", **QUIET)) == 1


def test_what_is_in_an_open_file_is_one_input(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    with (images / "001.png").open("rb") as file, (images / "001.png").open(encoding="utf-8") as text:
        rows = [*net.predict([images / "001.png", file, text, io.StringIO("001.png"), file], **QUIET)]
    assert rows[1] == {**rows[0], "input": "input 1"}
    assert [row["error"] for row in rows[3:]] == [
        "cannot be read: it must be opened in binary mode",
        "the input cannot be read as an image: it is empty",
    ]
    assert rows[2]["error"].startswith("cannot be read: 'utf-8' codec can't decode")
    (row,) = net.predict(file, **QUIET)
    assert row["error"] == "cannot be read: read of closed file"


def test_a_name_that_is_not_utf_8_is_written_in_words(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    Path(name).write_bytes((images / "001.png").read_bytes())
    (row,) = net.predict(tmp_path, **QUIET)
    assert row["input"] == f"{tmp_path}/\\udcff.png"
    assert row["error"] is None
    assert net.predict(tmp_path, **QUIET).write(tmp_path / "x.csv")["rows"] == 1


def test_inputs_are_asked_for_no_faster_than_they_are_answered(net: zoo.Model, images: Path) -> None:
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield images / "001.png"

    rows = iter(net.predict(endless(), batch_size=4, threads=2, **QUIET))
    for _ in range(10):
        next(rows)
    rows.close()
    assert asked < 30


@pytest.mark.slow  # in a process
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_images(net: zoo.Model, tmp_path: Path) -> None:
    Image.new("RGB", (96, 96)).save(tmp_path / "x.png")
    run = tmp_path / "run"
    data = {"size": 96, "train_size": 16, "val_size": 4, "test_size": 4}
    zoo.train("mlp", "shapes", data=data, model={"widths": [2]}, epochs=1, run=run, **QUIET)
    code = f"""
import pathlib, zoo
model = zoo.load({str(run)!r}, progress=False)
def peak(count):
    inputs = ({str(tmp_path / "x.png")!r} for _ in range(count))
    rows = iter(model.predict(inputs, threads=2, progress=False))
    pages = [int(pathlib.Path("/proc/self/statm").read_text().split()[1]) for _ in rows]
    assert len(pages) == count
    return 4 * max(pages)
few = peak(200)
print(peak(2000) - few)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 15_000, "kilobytes; 2,000 decoded images have 55,000"


def test_top_gives_the_most_likely_classes_in_order(net: zoo.Model, images: Path) -> None:
    (row,) = net.predict(images / "001.png", top=3, **QUIET)
    every = net.predict(images / "001.png", top=99, **QUIET)[0]["predictions"]
    assert row["predictions"] == every[:3]
    assert sorted(answer["class"] for answer in every) == sorted(net.classes)
    assert sum(answer["probability"] for answer in every) == pytest.approx(1)
    shares = [answer["probability"] for answer in every]
    assert shares == sorted(shares, reverse=True)


def test_an_answer_below_a_probability_is_unsure(net: zoo.Model, images: Path) -> None:
    usual = answers(net.predict(images, **QUIET))
    middle = sorted(p for _, p in usual)[20] - 1e-6
    rows = net.predict(images, min_confidence=middle, top=2, **QUIET)
    found = answers(rows)
    assert found == [("unsure", p) if p < middle else (name, p) for name, p in usual]
    assert {len(row["predictions"]) for row in rows if row["predictions"][0]["class"] == "unsure"} == {1}
    assert [name for name, _ in found].count("unsure") == 20


def test_unsure_cannot_be_told_from_a_class_of_that_name(
    net: zoo.Model, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(net.card.preprocess, "classes", ["unsure", *net.classes[1:]])
    with pytest.raises(OptionError, match="the model already has a class named 'unsure'"):
        list(net.predict(images, min_confidence=0.5, **QUIET))


def test_several_labels_are_those_from_one_half_on(tagger: zoo.Model) -> None:
    scenes = zoo.open_dataset("scenes", size=SIZE, train_size=8, val_size=0, test_size=24, **QUIET)
    images = [image for image, _ in scenes.split("test")]
    rows, all_of = tagger.predict(images, **QUIET), tagger.predict(images, top=99, **QUIET)
    counts: set[int] = set()
    for row, every in zip(rows, all_of, strict=True):
        kept = [answer for answer in every["predictions"] if answer["probability"] >= 0.5]
        assert row["predictions"] == kept
        assert len(every["predictions"]) == len(tagger.classes)
        counts.add(len(kept))
    assert len(counts) > 1
    with pytest.raises(OptionError, match="min_confidence requires a model that chooses one class"):
        list(tagger.predict(images, min_confidence=0.5, **QUIET))


def test_a_text_is_scored_from_zeros_token_by_token(reader: zoo.Model) -> None:
    texts = ["the lazy dog jumps. " * 20, "quick brown", "xyz!?"]
    rows = reader.predict(texts, **QUIET)
    assert rows == [
        row | {"input": f"input {n}"} for n, text in enumerate(texts) for row in reader.predict(text, **QUIET)
    ]
    for text, row in zip(texts, rows, strict=True):
        tokens = torch.tensor(reader.vocabulary.encode(text)[0])[:, None]
        with torch.no_grad():
            logits, _ = reader.module(tokens[:-1], None)
        loss = float(F.cross_entropy(logits[:, 0], tokens[1:, 0]))
        (answer,) = row["predictions"]
        assert answer["loss"] == pytest.approx(loss, rel=1e-5)
        assert answer["bits_per_char"] == pytest.approx(loss / math.log(2), rel=1e-5)
        assert answer["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
        assert answer["tokens"] == len(text)
        assert answer["unknown"] == sum(sign in "!?" for sign in text)


def test_a_text_is_a_string_and_a_file_a_path(reader: zoo.Model, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the lazy dog", encoding="utf-8-sig")
    (tmp_path / "b.txt").write_text("q")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe\xfd")
    rows = reader.predict([tmp_path, "the lazy dog"], **QUIET)
    assert [row["error"] for row in rows] == [
        None,
        "the text must have at least 2 tokens (got 1)",
        "is not UTF-8 text",
        None,
    ]
    assert rows[0]["predictions"] == rows[3]["predictions"]
    with pytest.raises(OptionError, match="top requires a model that chooses among classes"):
        list(reader.predict("the lazy dog", top=2, **QUIET))
    with pytest.raises(OptionError, match="expected a string or a Path"):
        list(reader.predict([5], **QUIET))


def test_one_lane_is_the_measure_of_evaluation(reader: zoo.Model) -> None:
    data = zoo.open_dataset("files", **dict(reader.own), **QUIET)
    found = reader.analyze("dynamic-evaluation", split="val", options={"lr": 0}, **QUIET)
    (row,) = reader.predict(reader.vocabulary.decode(data.split("val").tolist()), **QUIET)
    six_digits = pytest.approx(found.scores["loss"], rel=5e-6)
    assert row["predictions"][0]["loss"] == six_digits


class Mute(Processor):
    """It reads nothing, and has no answers."""

    def check_feeding(self, preprocess: Mapping[str, Any], arguments: Mapping[str, Any]) -> None: ...

    def unit(self, preprocess: Mapping[str, Any]) -> str:
        return "things"


def test_a_task_that_does_not_say_how_to_predict_is_refused(
    net: zoo.Model, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(net.__dict__, "_processor", Mute(Registry.discover().task("classification")))
    with pytest.raises(WeightsError, match="a model for classification cannot predict") as caught:
        list(net.predict(images, **QUIET))
    assert caught.value.hint == "the task's processor must implement zoo.plugin.Predicts"


@pytest.mark.parametrize(("place", "value"), [(0, 3e38), (-1, float("inf"))], ids=["nan", "inf"])
def test_answers_that_are_not_finite_are_an_error(
    net: zoo.Model, images: Path, place: int, value: float
) -> None:
    broken = zoo.load(net.path, **QUIET)
    with torch.no_grad():
        [*broken.module.parameters()][place].fill_(value)
    with pytest.raises(Diverged, match="the predictions are not finite"):
        list(broken.predict(images, **QUIET))


def test_gradients_and_modes_are_left_alone(net: zoo.Model, images: Path) -> None:
    modes: list[tuple[bool, bool]] = []

    def see(module: nn.Module, *_: object) -> None:
        modes.append((module.training, torch.is_grad_enabled()))

    net.module.train()
    hook = net.module.register_forward_hook(see)
    rows = iter(net.predict(images, batch_size=8, **QUIET))
    next(rows)
    assert net.module.training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    rows.close()
    hook.remove()
    net.module.eval()
    assert modes[0] == (False, False)


def test_how_many_threads_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert workers(None) == 8
    assert workers(20) == 20


# Files of answers


def test_a_csv_has_a_line_for_each_input(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    (tmp_path / "a,b\n.png").write_bytes(b"no image")
    out, inputs = tmp_path / "x.csv", [tmp_path / "a,b\n.png", images]
    result = net.predict(inputs, **QUIET).write(out)
    about = {"out": str(out), "weights": str(net.path), "rows": 41, "before": 0, "errors": 1, "unsure": 0}
    assert result == about
    rows = [*csv.DictReader(out.read_text().splitlines())]
    assert len(rows) == 41
    assert [*rows[0]] == ["input", "class", "probability", "error"]
    assert rows[0]["input"] == f"{tmp_path}/a,b\\n.png"
    assert rows[0]["error"].endswith("its format is unknown or not supported")
    expected = net.predict(images, **QUIET)
    assert [(row["input"], row["class"]) for row in rows[1:]] == [
        (row["input"], row["predictions"][0]["class"]) for row in expected
    ]
    assert not (tmp_path / "x.csv.unfinished").exists()
    net.predict(images / "001.png", top=3, **QUIET).write(tmp_path / "y.csv")
    (row,) = csv.DictReader((tmp_path / "y.csv").read_text().splitlines())
    three = net.predict(images / "001.png", top=3, **QUIET)[0]["predictions"]
    assert row["class"].split("|") == [answer["class"] for answer in three]
    shares = [float(share) for share in row["probability"].split("|")]
    assert shares == pytest.approx([answer["probability"] for answer in three], rel=1e-5)


def test_a_jsonl_has_the_rows_as_they_are(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    net.predict(iter([images, tmp_path / "nope"]), top=2, **QUIET).write(tmp_path / "x.jsonl")
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    rows = net.predict(iter([images, tmp_path / "nope"]), top=2, **QUIET)
    assert [json.loads(line) for line in lines] == rows


def test_an_array_has_every_probability_and_the_names_beside_it(
    net: zoo.Model, images: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "nope"
    net.predict(iter([missing, images, missing]), **QUIET).write(tmp_path / "x.npy")
    array = np.load(tmp_path / "x.npy")
    assert (array.dtype, array.shape) == (np.dtype("<f4"), (42, len(net.classes)))
    assert np.isnan(array[[0, 41]]).all()
    assert array[1:41].sum(1) == pytest.approx(1, abs=1e-5)
    names = (tmp_path / "x.txt").read_text().splitlines()
    assert names == [str(missing), *map(str, sorted(images.iterdir())), str(missing)]
    rows = net.predict(images, **QUIET)
    assert [net.classes[number] for number in array[1:41].argmax(1)] == [name for name, _ in answers(rows)]
    with pytest.raises(OutputError, match="already exists"):
        net.predict(images, **QUIET).write(tmp_path / "x.npy")
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "x.txt"}


def test_a_file_is_no_folder_to_write_to(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("mine")
    with pytest.raises(OutputError, match="plain is a file, not a folder"):
        net.predict(images, **QUIET).write(tmp_path / "plain")
    assert (tmp_path / "plain").read_text() == "mine"


def test_a_folder_gets_a_table(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    net.predict(images, **QUIET).write(tmp_path / "x")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["predictions.jsonl"]
    with pytest.raises(OptionError, match=r"must be a \.csv, .*, or a new folder \(got x\.txt\)"):
        net.predict(images, **QUIET).write("x.txt")


def test_what_is_written_is_not_read(net: zoo.Model, reader: zoo.Model, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the lazy dog")
    out = tmp_path / "z.csv"
    assert reader.predict(tmp_path, **QUIET).write(out)["rows"] == 1
    rows = [row["input"] for row in reader.predict(tmp_path, **QUIET)]
    assert rows == [str(tmp_path / "a.txt"), str(out)], "unless one asks for it"


def cut(out: Path, content: bytes, at: int, asked: dict[str, Any]) -> None:
    """Leave a file as a kill leaves it: some of its bytes, and what it was begun with beside it."""
    out.write_bytes(content[:at])
    out.with_name(f"{out.name}.unfinished").write_text(json.dumps(asked))


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_a_file_that_was_cut_anywhere_is_continued(
    net: zoo.Model, images: Path, tmp_path: Path, name: str
) -> None:
    inputs, out = [tmp_path / "damaged.png", images], tmp_path / name
    inputs[0].write_bytes(b"no image")
    net.predict(inputs, batch_size=1, **QUIET).write(out)
    whole = out.read_bytes()
    asked = {"weights_sha256": net.card.sha256, "top": None, "min_confidence": None}
    for at in (0, 3, 25, whole.index(b"\n") + 1, len(whole) // 2, len(whole) - 1, len(whole)):
        cut(out, whole[:at] + b"x" * 20_000 * (at == len(whole)), len(whole) + 20_000, asked)
        seen: list[int] = []
        hook = net.module.register_forward_pre_hook(lambda _, x, to=seen: to.append(len(x[0])))  # pyright: ignore
        result = net.predict(inputs, batch_size=1, **QUIET).write(out)
        hook.remove()
        assert out.read_bytes() == whole
        header = name == "x.csv"
        assert result["before"] == max(whole[:at].count(b"\n") - header, 0)
        assert sum(seen) == 41 - max(result["before"], 1), "nothing is answered twice"
        assert not (tmp_path / f"{name}.unfinished").exists()


def test_a_file_is_continued_only_with_the_same_model_options_and_inputs(
    net: zoo.Model, tagger: zoo.Model, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.csv"
    net.predict(images, top=2, **QUIET).write(out)
    whole = out.read_bytes()
    asked = {"weights_sha256": net.card.sha256, "top": 2, "min_confidence": None}

    def refused(model: zoo.Model, inputs: Any, **options: Any) -> str:
        cut(out, whole, len(whole) // 2, asked)
        with pytest.raises(OutputError) as caught:
            model.predict(inputs, **options, **QUIET).write(out)
        assert out.read_bytes() == whole[: len(whole) // 2]
        return f"{caught.value}; {caught.value.hint}"

    assert "was started with top=2 (now 3); repeat the original command" in refused(net, images, top=3)
    assert "started without min_confidence (now 0.5)" in refused(net, images, top=2, min_confidence=0.5)
    assert f"weights_sha256={net.card.sha256} (now" in refused(tagger, images, top=2)
    others = sorted(images.iterdir())
    others[3] = others[2]
    assert f"input 4 was {images}/003.png, now {images}/002.png" in refused(net, others, top=2)
    assert f"input 3 was {images}/002.png, now missing" in refused(net, others[:2], top=2)
    cut(out, whole, len(whole) // 2, asked)
    (tmp_path / "x.csv.unfinished").write_text("{}")
    with pytest.raises(OutputError, match="is damaged or was edited"):
        net.predict(images, top=2, **QUIET).write(out)


def test_a_file_of_somebody_else_is_never_overwritten(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    for name in ("x.csv", "x.jsonl", "x.npy", "x.txt"):
        (tmp_path / name).write_text("mine")
    for name in ("x.csv", "x.jsonl", "x.npy"):
        with pytest.raises(OutputError, match=r"x\.\w+ already exists"):
            net.predict(images, **QUIET).write(tmp_path / name)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}
    assert len([*tmp_path.iterdir()]) == 4
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        net.predict(images, **QUIET).write(tmp_path / "nowhere" / "x.csv")


def test_two_cannot_write_the_same_file(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"

    def while_writing() -> Any:
        yield images / "001.png"
        with pytest.raises(OutputError, match="is being written by another process"):
            net.predict(images, **QUIET).write(out)
        yield images / "002.png"

    assert net.predict(while_writing(), **QUIET).write(out)["rows"] == 2
    assert len(out.read_text().splitlines()) == 2


def test_nothing_is_written_through_a_link(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    for link, name in ((os.symlink, "x.csv"), (os.link, "y.csv")):
        link(tmp_path / "other", tmp_path / name)
        with pytest.raises(OutputError, match=r"\.csv cannot be written: it is a link to another file"):
            net.predict(images, **QUIET).write(tmp_path / name)
    assert (tmp_path / "other").read_bytes() == b""


def test_a_pipe_beside_an_unfinished_file_is_not_read(net: zoo.Model, images: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("input")
    os.mkfifo(tmp_path / "x.csv.unfinished")
    with pytest.raises(OutputError, match=r"x\.csv\.unfinished is damaged or was edited"):
        net.predict(images, **QUIET).write(tmp_path / "x.csv")


def test_a_published_model_classifies_all_example_images() -> None:
    rows = zoo.load("shapes-resnet20", **QUIET).predict(EXAMPLES, top=1, **QUIET)
    assert len(rows) == 8
    assert [row["predictions"][0]["class"] for row in rows] == [Path(row["input"]).stem for row in rows]


@pytest.fixture
def listed(images: Path, tmp_path: Path) -> Path:
    """Return a table of the images, in a folder beside them, with a missing file and columns of its own."""
    folder = tmp_path / "tables"
    folder.mkdir()
    files = [os.path.relpath(path, folder) for path in sorted(images.rglob("*.png"))[:3]]
    rows = [["", "id", "Path", "class"], *([n, 7 + n, file, f"a, {n}"] for n, file in enumerate(files))]
    with (folder / "listed.csv").open("w", newline="") as file:
        csv.writer(file).writerows([*rows, [3, 10, "gone.png", "b"]])
    return folder / "listed.csv"


def test_a_table_of_paths_keeps_its_columns_in_what_is_written(net: zoo.Model, listed: Path) -> None:
    rows = net.predict(listed, **QUIET)
    assert [row["table"]["id"] for row in rows] == ["7", "8", "9", "10"]
    assert rows[0]["table"].keys() == {"Path", "id", "class"}
    paths = [row["input"] for row in rows[:3]]
    assert [row["predictions"] for row in rows[:3]] == [
        row["predictions"] for row in net.predict(paths, **QUIET)
    ]
    assert (rows[3]["input"], rows[3]["error"]) == (str(listed.parent / "gone.png"), "no such file or folder")
    out = listed.with_name("out.csv")
    assert net.predict(str(listed), top=2, **QUIET).write(out)["errors"] == 1
    with out.open(newline="") as file:
        written = [*csv.DictReader(file)]
    assert [*written[0]] == ["input", "class", "probability", "Path", "id", "table.class", "error"]
    assert [row["table.class"] for row in written] == ["a, 0", "a, 1", "a, 2", "b"]
    assert written[0]["class"].count("|") == 1
    assert (written[3]["class"], written[3]["id"]) == ("", "10")


def test_features_keep_the_columns_of_a_table_too(net: zoo.Model, listed: Path) -> None:
    out = listed.with_name("out.csv")
    net.features(listed, **QUIET).write(out)
    head, *lines = out.read_text().splitlines()
    assert head.endswith(",Path,id,class,error")
    assert lines[0].endswith(',7,"a, 0",')
    assert net.features(listed, **QUIET)[0]["table"]["class"] == "a, 0"


def test_a_file_of_a_table_that_was_cut_is_continued(net: zoo.Model, listed: Path) -> None:
    out, asked = listed.with_name("out.csv"), {"weights_sha256": net.card.sha256, "top": None}
    net.predict(listed, **QUIET).write(out)
    whole = out.read_bytes()
    cut(out, whole[: whole.rindex(b",10,")], len(whole) + 20_000, asked | {"min_confidence": None})
    assert net.predict(listed, **QUIET).write(out)["before"] == 3
    assert out.read_bytes() == whole


def test_a_parquet_table_gives_the_same_rows_as_a_csv(net: zoo.Model, listed: Path) -> None:
    with listed.open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name} for row in csv.DictReader(file)]
    columns = [{**row, "id": int(row["id"]), "image bytes": b"x"} for row in rows]
    table = listed.with_suffix(".parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(columns), table)
    assert net.predict(table, **QUIET) == [*net.predict(listed, **QUIET)]


def test_tables_that_list_nothing_or_differ_are_refused(
    net: zoo.Model, listed: Path, reader: zoo.Model
) -> None:
    empty, other = listed.with_name("empty.csv"), listed.with_name("other.csv")
    for content in ("", "path,label\n"):
        empty.write_text(content)
        with pytest.raises(DataError, match=r"empty\.csv does not list any files$"):
            net.predict(empty, **QUIET)
    other.write_text(f"path,color\n{listed.read_text().splitlines()[1].split(',')[2]},red\n")
    with pytest.raises(OptionError, match="is in a table with other columns than the first input"):
        net.predict([listed, other], **QUIET).write(listed.with_name("out.csv"))
    assert not listed.with_name("out.csv").exists()
    assert reader.predict(other, **QUIET)[0]["predictions"][0]["tokens"] > 20, "the text of the file"
