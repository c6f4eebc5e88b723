"""MNIST and Fashion-MNIST, from small idx files."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.errors import DataError
from zoo_images.idx import read_idx, read_pair
from zoo_images.image_set import ImageSet
from zoo_images.mnist import FASHION, MNIST, TEST, TRAIN, Release, fashion_mnist, mnist


def write_idx(path: Path, data: np.ndarray, *, magic: bytes | None = None, cut: int = 0) -> str:
    """Write bytes as a gzipped idx file, the last `cut` left out, and return the file's sha256."""
    head = (magic or bytes((0, 0, 8, data.ndim))) + struct.pack(f">{data.ndim}I", *data.shape)
    content = head + data.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content[: len(content) - cut], mtime=0))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)


@pytest.fixture
def small(tmp_path: Path) -> Release:
    """Write 40 + 20 random images, and return their release; `root` is then `tmp_path`."""
    hashes: dict[str, str] = {}
    for (images, labels), count in ((TRAIN, 40), (TEST, 20)):
        folder = tmp_path / MNIST.folder
        hashes[images] = write_idx(folder / images, random_images(count))
        hashes[labels] = write_idx(folder / labels, (np.arange(count) % 10).astype(np.uint8))
    return dataclasses.replace(MNIST, hashes=hashes)


@pytest.mark.parametrize("classes", [MNIST.classes, FASHION.classes], ids=["mnist", "fashion-mnist"])
def test_the_images_are_those_of_the_files(small: Release, tmp_path: Path, classes: tuple[str, ...]) -> None:
    data = dataclasses.replace(small, classes=classes).read(root=str(tmp_path), val_size=10)
    assert data.dims == {"in_channels": 1, "image_size": 28, "num_classes": 10}
    assert data.preprocess["classes"] == list(classes)
    assert len(set(classes)) == 10
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [30, 10, 20]
    wanted = torch.from_numpy(random_images(40))
    assert torch.equal(data.split("train").images[:, 0], wanted[:30])
    assert torch.equal(data.split("val").images[:, 0], wanted[30:])
    assert data.split("val").labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_an_image_is_padded_and_its_channel_repeated(small: Release, tmp_path: Path) -> None:
    plain = small.read(root=str(tmp_path), val_size=10)
    wide = small.read(root=str(tmp_path), val_size=10, size=33, channels=3)
    assert wide.dims == {"in_channels": 3, "image_size": 33, "num_classes": 10}
    images, _ = wide.split("train").__getitems__([4, 7])
    assert images.shape == (2, 3, 33, 33)
    for channel in images.unbind(1):
        assert torch.equal(channel[:, 2:30, 2:30], plain.split("train").images[[4, 7], 0])
    images[:, :, 2:30, 2:30] = 0
    assert not images.any()
    assert plain.fingerprint != wide.fingerprint


def test_both_sets_have_their_own_folder_and_hashes() -> None:
    assert MNIST.folder != FASHION.folder, "their files have the same names"
    assert not set(MNIST.hashes.values()) & set(FASHION.hashes.values())
    assert MNIST.hashes.keys() == FASHION.hashes.keys() == {*TRAIN, *TEST}


def test_a_file_with_another_hash_is_refused(small: Release, tmp_path: Path) -> None:
    path = tmp_path / "mnist" / TRAIN[1]
    write_idx(path, np.zeros(40, np.uint8))
    with pytest.raises(
        DataError, match=f"{path} has the wrong content: expected sha256 {small.hashes[TRAIN[1]]}"
    ):
        small.read(root=str(tmp_path))


def test_a_missing_file_is_refused_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^fashion-mnist/train-images-idx3-ubyte\.gz is not in .*") as caught:
        fashion_mnist(root=str(tmp_path))
    assert caught.value.hint == f"it can be downloaded from {FASHION.url}/{TRAIN[0]}"
    assert FASHION.url.startswith("https://")
    assert MNIST.url.startswith("https://")


def test_an_idx_file_is_read_as_written(tmp_path: Path) -> None:
    data = random_images(3)
    write_idx(tmp_path / "x.gz", data)
    assert torch.equal(read_idx(tmp_path / "x.gz", dims=3), torch.from_numpy(data))


@pytest.mark.parametrize(
    ("magic", "cut", "message"),
    [
        (bytes((0, 0, 13, 3)), 0, r"is not an idx file of bytes in 3 dimensions: .* \(got 00 00 0d 03 "),
        (bytes((0, 0, 8, 1)), 0, r"it must begin with 00 00 08 03 and 3 sizes of 4 bytes \(got 00 00 08 01 "),
        (None, 1, r"must have 3 × 28 × 28 bytes of data, as its header says \(got 2,351\)$"),
        (None, 2_352 + 5, r"and 3 sizes of 4 bytes \(got 00 00 08 03 00 00 00 03 00 00 00\)$"),
        (None, 2_352 + 16, r"\(got nothing\)$"),
    ],
    ids=["type", "dims", "short", "head", "empty"],
)  # fmt: skip
def test_a_wrong_idx_file_is_refused_with_what_is_wrong(
    tmp_path: Path, magic: bytes | None, cut: int, message: str
) -> None:
    path = tmp_path / "x.gz"
    write_idx(path, random_images(3), magic=magic, cut=cut)
    with pytest.raises(DataError, match=f"^{path} .*{message}"):
        read_idx(path, dims=3)


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: b"no gzip", lambda c: c[:10] + b"\xff" * 99])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.gz"
    write_idx(path, random_images(3))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"^{path} cannot be unpacked: "):
        read_idx(path, dims=3)


def test_labels_that_do_not_match_the_images_are_refused_by_both_files(tmp_path: Path) -> None:
    images, labels = tmp_path / "images.gz", tmp_path / "labels.gz"
    write_idx(images, random_images(3))
    write_idx(labels, np.zeros(4, np.uint8))
    with pytest.raises(DataError, match=f"^{labels} has 4 labels, but {images} has 3 images$"):
        read_pair(images, labels, classes=10)
    write_idx(labels, np.array([0, 10, 3], np.uint8))
    with pytest.raises(DataError, match=rf"^{labels}: labels must be below 10 \(got 10\)$"):
        read_pair(images, labels, classes=10)


@pytest.mark.parametrize("open_", [mnist, fashion_mnist])
def test_the_real_files_have_their_known_counts(open_: Callable[[], ImageSet]) -> None:
    name = "mnist" if open_ is mnist else "fashion-mnist"
    home = Path(os.environ.get("ZOO_DATA", "nowhere"))
    if not (home / name).is_dir():
        pytest.skip(f"needs the folder {name} in $ZOO_DATA")
    data = open_()
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [55_000, 5_000, 10_000]
