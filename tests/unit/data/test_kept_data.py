"""Data that is decoded or synthesized once and then kept: opened again, damaged, not kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.files.work import listening

SMALL: dict[str, Any] = {"train_size": 16, "val_size": 8, "test_size": 8}
SETS = ["shapes", "scenes"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(name: str = "shapes", **options: Any) -> tuple[Any, set[str]]:
    """Open a small set, and return it with the work that was reported."""
    work: set[str] = set()
    with listening(lambda what, *_: work.add(what)):
        data = zoo.open_dataset(name, progress=False, **SMALL | options)
    return data, work


def content(data: Any) -> list[object]:
    splits = [data.split(name) for name in ("train", "val", "test")]
    boxes = [split.boxes for split in splits]
    tensors = [(split.images.tolist(), split.labels.tolist(), split.labels.dtype) for split in splits]
    return [data.fingerprint, data.preprocess, boxes, tensors]


@pytest.mark.parametrize("name", SETS)
def test_a_synthesized_set_is_made_once_and_is_the_same_again(name: str, cache: Path) -> None:
    first, work = opened(name)
    assert f"drawing {name}" in work
    again, work = opened(name)
    assert not work
    assert content(again) == content(first)
    _, work = opened(name, seed=1)
    assert f"drawing {name}" in work


def kept(cache: Path) -> Path:
    (pixels,) = (cache / "synthesized" / "shapes").glob("*/pixels.bin")
    return pixels.parent


@pytest.mark.parametrize("small", [0, 1 << 20], ids=["mapped", "in memory"])
@pytest.mark.parametrize("damage", ["a byte", "cut", "empty", "no checksum", "gone", "writable by others"])
def test_what_is_damaged_or_may_be_of_others_is_made_again(
    damage: str, small: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.files.cached_files._SMALL", small)
    first, _ = opened()
    whole, pixels = content(first), kept(cache) / "pixels.bin"
    data = bytearray(pixels.read_bytes())
    data[1_000] ^= 1
    match damage:
        case "a byte":
            pixels.write_bytes(data)
        case "cut":
            pixels.write_bytes(data[:-1])
        case "empty":
            pixels.write_bytes(b"")
        case "no checksum":
            (kept(cache) / "sha256.json").unlink()
        case "gone":
            pixels.unlink()
        case _:
            kept(cache).chmod(0o777)
    again, work = opened()
    assert work
    assert content(again) == whole
    assert kept(cache).stat().st_mode & 0o777 == 0o700
    assert not opened()[1]


def test_damaged_facts_are_computed_again(cache: Path) -> None:
    whole = content(opened()[0])
    facts = [*cache.rglob("fact.json")]
    assert len(facts) == 2, "the statistics and the fingerprint"
    for path in facts:
        path.write_bytes(path.read_bytes()[:-2] + b'1"')
    assert content(opened()[0]) == whole


def test_to_verify_is_to_read_what_is_kept(cache: Path) -> None:
    whole, pixels = content(opened()[0]), kept(cache) / "pixels.bin"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ZOO_VERIFY", "1")
        again, work = opened()
    assert not any("drawing" in what for what in work)
    assert content(again) == whole
    times = pixels.stat()
    pixels.write_bytes(b"\0" * times.st_size)
    os.utime(pixels, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ZOO_VERIFY", "1")
        assert content(opened()[0]) == whole


@pytest.mark.parametrize("name", SETS)
def test_where_nothing_can_be_kept_the_set_is_in_memory(name: str, cache: Path) -> None:
    whole = content(opened(name)[0])
    shutil.rmtree(cache)
    cache.write_text("a file, in which no folder can be made")
    assert content(opened(name)[0]) == whole


def test_a_full_disk_is_no_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content(opened()[0])
    shutil.rmtree(cache)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert content(opened()[0]) == whole
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_writing_to_the_images_leaves_what_is_kept_alone(cache: Path) -> None:
    opened()[0].split("train").images.zero_()
    again, work = opened()
    assert again.split("train").images.any()
    assert not work


@pytest.mark.nightly  # the other tests do the same with smaller data
@pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs CIFAR-10 in $ZOO_DATA")
def test_cifar10_is_the_same_again_and_without_a_cache(cache: Path) -> None:
    first = zoo.open_dataset("cifar10", progress=False)
    work: list[str] = []
    with listening(lambda what, *_: work.append(what)):
        again = zoo.open_dataset("cifar10", progress=False)
    assert not work
    shutil.rmtree(cache)
    cache.write_text("a file")
    for other in (again, zoo.open_dataset("cifar10", progress=False)):
        assert (other.fingerprint, other.preprocess) == (first.fingerprint, first.preprocess)
        for split in ("train", "val", "test"):
            one, two = first.split(split), other.split(split)
            assert torch.equal(one.images, two.images)
            assert torch.equal(one.labels, two.labels)
