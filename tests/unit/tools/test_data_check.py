"""`zoo data check`: copies within and across splits, and other faults of data."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

import zoo
from tests.shell import zoo as shell
from zoo.errors import DataError, OptionError
from zoo.tools.data_check.near_duplicates import near_duplicates, reduced
from zoo.tools.data_check.text_overlap import shared_passages

QUIET: dict[str, Any] = {"progress": False}
SMALL = {"train_size": 120, "val_size": 40, "test_size": 40}


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """40 images of shapes, (40, 3, 32, 32)."""
    return zoo.open_dataset("shapes", train_size=40, val_size=0, test_size=0, **QUIET).split("train").images


def as_image(pixels: Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))


def as_pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return Image.open(buffer).convert("RGB")


def shifted(image: Image.Image) -> Image.Image:
    pixels = np.pad(np.array(image), ((0, 1), (1, 0), (0, 0)), mode="edge")
    return Image.fromarray(np.ascontiguousarray(pixels[1:, :-1]))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda image: image,
    "darker": lambda image: image.point([round(0.7 * value) for value in range(256)] * 3),
    "mirrored": ImageOps.mirror,
    "recompressed": recompressed,
    "shifted": shifted,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_near_duplicate(pictures: Tensor, change: str) -> None:
    copy = as_pixels(CHANGES[change](as_image(pictures[7])))
    found = near_duplicates(torch.cat([pictures, copy[None]]), least=0.8)
    assert found.numbers.tolist() == [[7, 40]]
    assert found.mirrored.tolist() == [change == "mirrored"]
    assert 0.8 <= found.similarity.item() <= 1 + 1e-6


def test_different_images_are_not_near_duplicates(pictures: Tensor) -> None:
    assert len(near_duplicates(pictures, least=0.8).numbers) == 0


def test_gray_and_large_copies_are_found_too(pictures: Tensor) -> None:
    gray = pictures.float().mean(1, keepdim=True).byte()
    assert near_duplicates(torch.cat([gray, gray[3:4].flip(3)]), least=0.8).numbers.tolist() == [[3, 40]]
    large = torch.nn.functional.interpolate(pictures.float(), (48, 48), mode="bilinear").byte()
    assert reduced(large).shape == pictures.shape
    both = torch.cat([reduced(large), pictures[5:6]])
    assert near_duplicates(both, least=0.8).numbers.tolist() == [[5, 40]]


def test_pairs_are_found_however_the_images_are_cut(
    pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.cat([pictures, pictures[::4], pictures[1::4].flip(3)])
    expected = near_duplicates(images, least=0.8)
    assert len(expected.numbers) == 20
    for name, value in (("_ROWS", 7), ("_COLUMNS", 9), ("_PAIRS", 2)):
        monkeypatch.setattr(f"zoo.tools.data_check.near_duplicates.{name}", value)
    reports: list[tuple[int, int]] = []
    found = near_duplicates(images, least=0.8, report=lambda *each: reports.append(each))
    assert sorted(found.numbers.tolist()) == sorted(expected.numbers.tolist())
    assert reports[-1] == (60 * 61 // 2, 60 * 61 // 2)
    assert reports == sorted(reports)


def test_images_without_structure_are_no_copies_of_each_other() -> None:
    flat = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 32, 32) * 40
    assert len(near_duplicates(flat, least=0.8).numbers) == 0
    assert len(near_duplicates(flat[:1], least=0.8).numbers) == 0


@pytest.fixture
def folder(tmp_path: Path, pictures: Tensor) -> Path:
    """A folder of 40 images in two classes, and faults."""
    for number, pixels in enumerate(pictures):
        split = "test" if number // 2 % 4 == 0 else "train"
        save(as_image(pixels), tmp_path, split, "even" if number % 2 == 0 else "odd", f"{number:02}.png")
    return tmp_path


def save(image: Image.Image, root: Path, *parts: str) -> None:
    path = root.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def check(root: Path, **options: Any) -> dict[str, Any]:
    return zoo.check_data("folder", data={"root": str(root), "size": 32}, **QUIET, **options).to_dict()


def copies(facts: dict[str, Any], split: str, known: str) -> dict[str, int]:
    (row,) = [row for row in facts["copies"] if (row["split"], row["in"]) == (split, known)]
    return {key: row[key] for key in ("exact", "near", "labels_differ")}


NONE = {"exact": 0, "near": 0, "labels_differ": 0}


def test_a_folder_without_faults_has_no_findings(folder: Path) -> None:
    facts = check(folder)
    assert (facts["exact"], facts["near"], facts["constant"]) == ([], [], [])
    assert all({**row, "split": "", "in": ""} == {**NONE, "split": "", "in": ""} for row in facts["copies"])
    assert facts["splits"]["train"] == {"count": 30, "classes": {"even": 15, "odd": 15}}
    assert facts["sizes"] == {"smallest": (32, 32), "largest": (32, 32), "enlarged": [], "cropped": []}


@pytest.mark.filterwarnings("ignore:.* also in train:zoo.ZooWarning")
def test_copies_are_counted_by_split_and_kind(folder: Path, pictures: Tensor) -> None:
    save(as_image(pictures[4]), folder, "test", "even", "exact.png")  # of an image in train
    save(as_image(pictures[10].flip(2)), folder, "test", "even", "mirrored.png")
    save(
        as_image(pictures[11]).point([value // 2 for value in range(256)] * 3),
        folder,
        "train",
        "odd",
        "d.png",
    )
    facts = check(folder)
    assert copies(facts, "test", "train") == {"exact": 1, "near": 1, "labels_differ": 0}
    assert copies(facts, "train", "train") == {"exact": 0, "near": 1, "labels_differ": 0}
    assert copies(facts, "test", "test") == NONE
    (exact,) = facts["exact"]
    assert [(item["split"], Path(item["name"]).name) for item in exact["items"]] == [
        ("train", "04.png"),
        ("test", "exact.png"),
    ]
    near = {tuple(Path(item["name"]).name for item in pair["items"]): pair for pair in facts["near"]}
    assert {names: pair["mirrored"] for names, pair in near.items()} == {
        ("10.png", "mirrored.png"): True,
        ("11.png", "d.png"): False,
    }


@pytest.mark.filterwarnings("ignore:.*with different labels:zoo.ZooWarning")
def test_copies_with_other_labels_are_marked(folder: Path, pictures: Tensor) -> None:
    save(as_image(pictures[4]), folder, "train", "odd", "again.png")
    save(as_image(pictures[6].flip(2)), folder, "test", "odd", "mirrored.png")
    facts = check(folder)
    assert copies(facts, "train", "train") == {"exact": 1, "near": 0, "labels_differ": 1}
    assert copies(facts, "test", "train") == {"exact": 0, "near": 1, "labels_differ": 1}
    assert [pair["labels_differ"] for pair in (*facts["exact"], *facts["near"])] == [True, True]
    assert [item["label"] for item in facts["near"][0]["items"]] == ["even", "odd"]


def test_constant_small_and_wide_files_are_listed(folder: Path) -> None:
    save(Image.new("RGB", (32, 32), "red"), folder, "train", "odd", "red.png")
    save(Image.new("RGB", (32, 32), "blue"), folder, "train", "odd", "blue.png")
    save(as_image(torch.randint(0, 256, (3, 8, 20), dtype=torch.uint8)), folder, "train", "odd", "small.png")
    save(as_image(torch.randint(0, 256, (3, 50, 101), dtype=torch.uint8)), folder, "train", "odd", "wide.png")
    facts = check(folder)
    assert sorted(Path(item["name"]).name for item in facts["constant"]) == ["blue.png", "red.png"]
    assert facts["exact"] == facts["near"] == []
    names = {
        key: [Path(item["name"]).name for item in facts["sizes"][key]] for key in ("enlarged", "cropped")
    }
    assert names == {"enlarged": ["small.png"], "cropped": ["small.png", "wide.png"]}
    assert (facts["sizes"]["smallest"], facts["sizes"]["largest"]) == ((20, 8), (101, 50))


@pytest.mark.parametrize("cache", [True, False])
def test_unreadable_images_and_empty_classes_are_listed_and_the_rest_is_checked(
    folder: Path, pictures: Tensor, cache: bool
) -> None:
    save(as_image(pictures[4]), folder, "train", "even", "exact.png")
    bad = {"train/even/a.png": b"no image", "train/odd/b.png": b"", "test/odd/c.jpg": b"\xff\xd8\xff"}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    for name in ("train/none", "test/none"):
        (folder / name).mkdir()
    data = {"root": str(folder), "size": 32, "cache": cache}
    with pytest.raises(DataError, match=r"none contains no images|cannot be read as an image"):
        zoo.open_dataset("folder", **QUIET, **data)
    facts = zoo.check_data("folder", data=data, **QUIET).to_dict()
    assert {row["path"] for row in facts["errors"]} == {
        str(folder / name) for name in [*bad, "train/none", "test/none"]
    }
    assert all(row["path"] in row["error"] for row in facts["errors"])
    assert facts["splits"]["train"] == {"count": 31, "classes": {"even": 16, "none": 0, "odd": 15}}
    assert copies(facts, "train", "train") == {"exact": 1, "near": 0, "labels_differ": 0}


def test_a_class_of_unreadable_images_is_no_reason_to_stop(folder: Path) -> None:
    for path in (folder / "test" / "odd").iterdir():
        path.write_bytes(b"no image")
    facts = check(folder)
    assert len(facts["errors"]) == 5
    assert facts["splits"]["test"]["classes"] == {"even": 5, "odd": 0}
    for path in folder.glob("train/*/*"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="train contains no images that can be read"):
        check(folder)


def test_unreadable_images_with_several_labels_are_listed(folder: Path) -> None:
    images = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    rows = [f"{path},{path.parent.name}" for path in images]
    (folder / "labels.csv").write_text("\n".join(["file,labels", *rows]))
    (folder / images[3]).write_bytes(b"no image")
    facts = zoo.check_data("labeled", data={"root": str(folder), "size": 32}, **QUIET).facts
    assert [row["path"] for row in facts["errors"]] == [str(folder / images[3])]
    assert sum(split["count"] for split in facts["splits"].values()) == 39


def test_many_near_duplicates_suggest_a_higher_similarity(folder: Path, pictures: Tensor) -> None:
    words = ["data", "check", "folder", "--data", f"root={folder}", "--data", "size=32", "-q"]
    for number in range(3):
        save(as_image(pictures[number].flip(2)), folder, "train", "even", f"mirrored-{number}.png")
    said = " ".join(shell(*words).stdout.split())
    assert "6 of 43 images have a near duplicate; if the pairs show different images, raise" in said
    assert "raise --similarity (now 0.85)" in said
    (folder / "train/even/mirrored-0.png").unlink()
    (folder / "train/even/mirrored-1.png").unlink()
    assert "raise --similarity" not in shell(*words).stdout


def test_the_command_lists_some_of_many_unreadable_images(folder: Path) -> None:
    for number in range(30):
        (folder / "train" / "odd" / f"{number}.png").write_bytes(b"")
    words = ["data", "check", "folder", "--data", f"root={folder}", "--data", "size=32"]
    done = shell(*words, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert "unreadable images and empty class folders: 30" in done.stdout
    assert done.stdout.count("cannot be read as an image: it is empty") == 20
    assert "… and 10 more; --json lists all" in done.stdout
    assert len(json.loads(shell(*words, "--json").stdout)["errors"]) == 30


def test_a_lower_similarity_finds_more(pictures: Tensor, folder: Path) -> None:
    noisy = pictures[4].float() + 25 * torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    save(as_image(noisy.clamp(0, 255).byte()), folder, "test", "even", "noisy.png")
    assert len(check(folder, similarity=0.99)["near"]) == 0
    assert len(check(folder, similarity=0.6)["near"]) == 1


def test_images_of_several_labels_are_checked_too() -> None:
    facts = zoo.check_data("scenes", data=SMALL, **QUIET).facts
    assert facts["splits"]["train"]["count"] == 120
    assert facts["exact"] == []


def test_the_sheet_draws_pairs_with_different_labels_first(folder: Path, pictures: Tensor) -> None:
    save(as_image(pictures[10].flip(2)), folder, "test", "even", "same.png")
    save(as_image(pictures[6].flip(2)), folder, "test", "odd", "other.png")
    found = zoo.check_data("folder", data={"root": str(folder), "size": 32}, **QUIET)
    one, two = found.sheet(1), found.sheet()
    assert two.width * two.height > 1.5 * one.width * one.height
    assert np.array_equal(np.array(two)[:100, :100], np.array(one)[:100, :100])
    clean = zoo.check_data("shapes", data=SMALL, **QUIET)
    with pytest.raises(OptionError, match="there are no copies to draw"):
        clean.sheet()


def test_the_shared_passages_of_two_texts_are_found() -> None:
    random = np.random.default_rng(0)
    others = random.integers(0, 50, 4_000)
    tokens = random.integers(0, 50, 1_000)
    tokens[100:130], tokens[500:512], tokens[700:709] = others[7:37], others[900:912], others[1_500:1_509]
    found = shared_passages(tokens, others, ngram=10)
    assert found.passages == [(100, 30), (500, 12)]
    assert found.share == pytest.approx(42 / 1_000)
    brute = {tuple(others[n : n + 10]) for n in range(len(others) - 9)}
    starts = [n for n in range(len(tokens) - 9) if tuple(tokens[n : n + 10]) in brute]
    assert starts == [*range(100, 121), *range(500, 503)]


def test_a_shared_end_and_texts_shorter_than_an_n_gram() -> None:
    tokens = np.arange(30)
    assert shared_passages(tokens, tokens[20:], ngram=10) == (10 / 30, [(20, 10)])
    assert shared_passages(tokens, tokens, ngram=30) == (1.0, [(0, 30)])
    assert shared_passages(tokens, tokens, ngram=31) == (0.0, [])
    assert shared_passages(tokens[:0], tokens, ngram=2) == (0.0, [])


def test_texts_report_shared_passages_of_each_pair_of_splits(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    text = "".join(map(chr, random.integers(97, 123, 3_000)))
    shared = text[100:180]
    (tmp_path / "my.txt").write_text(text[:2_950] + shared[:40] + text[2_990:] + shared)
    facts = zoo.check_data("files", data={"paths": [str(tmp_path / "my.txt")]}, ngram=60, **QUIET).facts
    rows = {(row["split"], row["in"]): row for row in facts["overlap"]}
    assert rows.keys() == {("val", "train"), ("test", "train"), ("test", "val")}
    (passage,) = rows["test", "train"]["passages"]
    assert (passage["text"], passage["length"]) == (shared, 80)
    assert rows["val", "train"]["share"] == 0


def test_a_long_passage_of_words_is_cut(tmp_path: Path) -> None:
    text = " ".join(map(str, np.random.default_rng(0).integers(1_000_000, size=300)))
    (tmp_path / "my.txt").write_text(f"{text} " * 10)
    facts = zoo.check_data(
        "files", data={"paths": [str(tmp_path / "my.txt")], "tokens": "word"}, **QUIET
    ).facts
    (passage, *_) = facts["overlap"][0]["passages"]
    assert passage["length"] > 200
    words = [
        "data",
        "check",
        "files",
        "--data",
        f"paths={tmp_path / 'my.txt'}",
        "--data",
        "tokens=word",
        "-q",
    ]
    assert "…" in shell(*words).stdout


def test_the_command_prints_findings_and_json(folder: Path, pictures: Tensor, tmp_path: Path) -> None:
    save(as_image(pictures[10].flip(2)), folder, "test", "odd", "mirrored.png")
    words = ["data", "check", "folder", "--data", f"root={folder}", "--data", "size=32"]
    plot = tmp_path / "pairs.png"
    done = shell(*words, "--plot", plot, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "test in train 0 1 1" in lines
    assert "1 near duplicate with different labels" in lines
    assert lines[-1] == f"figure {plot}"
    assert plot.read_bytes()[:4] == b"\x89PNG"
    document = json.loads(shell(*words, "--json").stdout)
    assert document["plot"] is None
    assert copies(document, "test", "train") == {"exact": 0, "near": 1, "labels_differ": 1}
    assert document.keys() >= {"dataset", "fingerprint", "splits", "exact", "near", "constant", "sizes"}
    for columns in (80, 120):
        assert max(map(len, shell(*words, "-q", columns=columns).stdout.splitlines())) <= columns


def test_the_command_draws_nothing_without_copies(tmp_path: Path) -> None:
    sizes = [word for key, value in SMALL.items() for word in ("--data", f"{key}={value}")]
    done = shell("data", "check", "shapes", *sizes, "--plot", tmp_path / "x.png", "-q")
    assert done.stdout.splitlines()[-1] == "no figure was drawn, because there are no copies"
    assert not (tmp_path / "x.png").exists()


def test_the_command_explains_mistakes(tmp_path: Path) -> None:
    done = shell("data", "check", "shaps")
    assert done.returncode == 1
    assert "unknown dataset 'shaps'; did you mean 'shapes'?" in done.stderr
    assert shell("data", "check", "folder").returncode != 0
    done = shell("data", "check", "shapes", "--similarity", "1.5")
    assert (done.returncode, "--similarity must be" in done.stderr) == (2, True)
    done = shell("data", "check", "folder", "--data", f"root={tmp_path / 'nope'}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_other_data_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo_images.tiny import TinyImages

    floats = [(torch.zeros(3, 8, 8), 0)]
    monkeypatch.setattr("zoo.api.models_and_datasets.open_dataset", lambda *_, **__: TinyImages(size=8))
    monkeypatch.setattr(TinyImages, "split", lambda *_: floats)
    with pytest.raises(DataError, match=r"images must be uint8 \(C, H, W\), but the train split has float32"):
        zoo.check_data("shapes", **QUIET)
    monkeypatch.setattr(TinyImages, "split", lambda *_: [])
    with pytest.raises(DataError, match="the dataset is empty"):
        zoo.check_data("shapes", **QUIET)
    monkeypatch.setattr(TinyImages, "preprocess", {})
    with pytest.raises(OptionError, match="has neither images with classes nor text"):
        zoo.check_data("shapes", **QUIET)
