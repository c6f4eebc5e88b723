"""MNIST and Fashion-MNIST, from small idx files."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.errors import DataError
from zoo.files.downloads import offline
from zoo_images.image_set import ImageSet
from zoo_images.mnist import FASHION, MNIST, TEST, TRAIN, MnistRelease, Sums, fashion_mnist, mnist


def idx(data: np.ndarray) -> bytes:
    """Return bytes as the content of an idx file."""
    return bytes((0, 0, 8, data.ndim)) + struct.pack(f">{data.ndim}I", *data.shape) + data.tobytes()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)


CONTENT = {
    name: content
    for (images, labels), count in ((TRAIN, 40), (TEST, 20))
    for name, content in (
        (images, idx(random_images(count))),
        (labels, idx((np.arange(count) % 10).astype(np.uint8))),
    )
}
SMALL = dataclasses.replace(
    MNIST, hashes={name: Sums(packed="0" * 64, content=sha256(it)) for name, it in CONTENT.items()}
)


def write_files(folder: Path, *, packed: bool = True) -> None:
    """Write 40 + 20 random images and their labels, which `SMALL` describes."""
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MnistRelease:
    """Write the files of `SMALL`; `root` is then `tmp_path`."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    write_files(tmp_path / "mnist")
    return SMALL


@pytest.mark.parametrize("classes", [MNIST.classes, FASHION.classes], ids=["mnist", "fashion-mnist"])
def test_the_images_are_those_of_the_files(
    small: MnistRelease, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    data = dataclasses.replace(small, classes=classes).read(root=str(tmp_path), val_size=10)
    assert data.dims == {"in_channels": 1, "image_size": 28, "num_classes": 10}
    assert data.preprocess["classes"] == list(classes)
    assert len(set(classes)) == 10
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [30, 10, 20]
    wanted = torch.from_numpy(random_images(40))
    assert torch.equal(data.split("train").images[:, 0], wanted[:30])
    assert torch.equal(data.split("val").images[:, 0], wanted[30:])
    assert data.split("val").labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_an_image_is_padded_and_its_channel_repeated(small: MnistRelease, tmp_path: Path) -> None:
    plain = small.read(root=str(tmp_path), val_size=10)
    wide = small.read(root=str(tmp_path), val_size=10, size=33, channels=3)
    assert wide.dims == {"in_channels": 3, "image_size": 33, "num_classes": 10}
    images, _ = wide.split("train").read_batch([4, 7])
    assert images.shape == (2, 3, 33, 33)
    for channel in images.unbind(1):
        assert torch.equal(channel[:, 2:30, 2:30], plain.split("train").images[[4, 7], 0])
    images[:, :, 2:30, 2:30] = 0
    assert not images.any()
    assert plain.fingerprint != wide.fingerprint


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_files_may_be_unpacked_and_where_torchvision_puts_them(
    tmp_path: Path, folder: str, packed: bool
) -> None:
    write_files(tmp_path / folder, packed=packed)
    assert len(SMALL.read(root=str(tmp_path), val_size=10).split("test")) == 20


def test_files_of_a_debian_package_are_found_unless_a_root_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "mnist")
    monkeypatch.setattr("zoo_images.mnist.DEBIAN", tmp_path)
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert len(SMALL.read(val_size=10).split("test")) == 20
    with pytest.raises(DataError, match="is not in"):
        SMALL.read(root=str(tmp_path / "elsewhere"))


def test_both_sets_have_their_own_folders_and_hashes() -> None:
    assert not set(MNIST.folders) & set(FASHION.folders), "their files have the same names"
    every = [
        pinned for release in (MNIST, FASHION) for hashes in release.hashes.values() for pinned in hashes
    ]
    assert len(set(every)) == len(every) == 16
    assert MNIST.hashes.keys() == FASHION.hashes.keys() == {*TRAIN, *TEST}


def test_a_file_with_another_content_is_refused(small: MnistRelease, tmp_path: Path) -> None:
    path = tmp_path / "mnist" / f"{TRAIN[1]}.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(40, np.uint8))))
    wanted = small.hashes[TRAIN[1]].content
    with pytest.raises(DataError, match=f"{path} has the wrong content: expected sha256 {wanted}"):
        small.read(root=str(tmp_path))


def test_a_damaged_file_is_refused(small: MnistRelease, tmp_path: Path) -> None:
    path = tmp_path / "mnist" / f"{TRAIN[1]}.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{path} cannot be read: Compressed file ended before"):
        small.read(root=str(tmp_path))


def test_a_missing_file_is_refused_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^fashion-mnist/train-images-idx3-ubyte\.gz is not in .*") as caught:
        fashion_mnist(root=str(tmp_path))
    assert caught.value.hint == f"download it from {FASHION.url}/{TRAIN[0]}.gz"
    assert FASHION.url.startswith("https://")
    assert MNIST.url.startswith("https://")


@pytest.mark.parametrize("open_", [mnist, fashion_mnist])
def test_the_real_files_have_their_known_counts(open_: Callable[[], ImageSet]) -> None:
    with offline():
        try:
            data = open_()
        except DataError as missing:
            pytest.skip(str(missing))
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [55_000, 5_000, 10_000]
    assert data.split("train").labels.bincount().sum() == 55_000
