"""Images as bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.errors import DataError
from zoo.interfaces import HasBoxes
from zoo_images import cifar
from zoo_images.cifar import RELEASE_10, RELEASE_100, CifarRelease, cifar10, cifar100
from zoo_images.cifar_classes import CIFAR100_COARSE, CIFAR100_FINE
from zoo_images.classification import Classification
from zoo_images.image_set import ImageSet, ImageSplit
from zoo_images.plugin import CLASSIFICATION
from zoo_images.shapes import SHAPES, Style, draw, shapes

SMALL = {"train_size": 32, "val_size": 16, "test_size": 8}


def test_statistics_are_those_of_the_training_pixels() -> None:
    images = torch.randint(
        0, 256, (50, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    images[:, 2] = 7
    empty = ImageSplit(images[:0], torch.zeros(0, dtype=torch.long))
    data = ImageSet(
        {"train": ImageSplit(images, torch.zeros(50)), "val": empty, "test": empty},
        classes=["x"],
        fingerprint="",
    )
    pixels = images.double().transpose(0, 1).flatten(1) / 255
    assert data.preprocess["mean"] == pytest.approx(pixels.mean(1).tolist(), abs=1e-6)
    assert data.preprocess["std"][:2] == pytest.approx(pixels.std(1, correction=0).tolist()[:2], abs=1e-6)
    assert data.preprocess["std"][2] > 0, "a flat channel must not divide by 0"
    assert data.dims == {"in_channels": 3, "image_size": 8, "num_classes": 1}


def test_each_channel_is_normalized_by_its_own_statistics() -> None:
    images = torch.arange(48, dtype=torch.uint8).view(1, 2, 4, 6)
    feed = {"mean": [0.1, 0.2], "std": [0.5, 0.25]}
    mean, std = (torch.tensor(feed[name]).view(2, 1, 1) for name in ("mean", "std"))
    found = Classification(CLASSIFICATION).prepare(images, feed)
    torch.testing.assert_close(found, (images / 255 - mean) / std)


def test_an_image_does_not_depend_on_how_many_there_are() -> None:
    few, many = shapes(**SMALL), shapes(train_size=40, val_size=16, test_size=0)
    assert torch.equal(few.split("train").images, many.split("train").images[:32])
    assert len(many.split("test")) == 0
    assert not torch.equal(few.split("train").images[:8], few.split("val").images[:8])


def test_shapes_have_boxes_and_other_images_have_none() -> None:
    data = shapes(**SMALL)
    assert isinstance(data.split("train"), HasBoxes)
    assert not isinstance(ImageSplit(torch.zeros(1, 3, 8, 8), torch.zeros(1)), HasBoxes)


def test_a_shape_that_is_thinner_than_a_pixel_is_drawn_a_little_larger() -> None:
    frame, style = list(SHAPES).index("frame"), Style(size=16, objects=4, clutter=0, seed=0)
    for seed in (53, 138):  # between which pixels the sides of a frame lie
        image, boxes = draw([frame] * 4, seed, style)
        assert image.shape == (3, 16, 16)
        assert all(0 < x1 - x0 <= 8 and 0 < y1 - y0 <= 8 for x0, y0, x1, y1 in boxes)


def test_classes_come_in_turn() -> None:
    assert torch.bincount(shapes(**SMALL).split("train").labels).tolist() == [4] * len(SHAPES)


@pytest.mark.parametrize(("size", "objects"), [(32, 1), (64, 1), (48, 3)])
def test_each_box_holds_an_object_that_stands_out_from_the_ground(size: int, objects: int) -> None:
    counts = {"train_size": 8, "val_size": 0, "test_size": 40}
    clean = shapes(size=size, objects=objects, clutter=0, **counts).split("test")
    for image, by_kind in zip(clean.images.numpy().astype(int), clean.boxes, strict=True):
        (boxes,) = by_kind.values()
        outside = np.ones((size, size), dtype=bool)
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= size
            assert 0 <= y0 < y1 <= size
            outside[y0:y1, x0:x1] = False
        assert len(boxes) == objects
        ground = np.median(image[:, outside], axis=1)
        strange = abs(image - ground[:, None, None]).max(0) > 60  # five deviations of the ground's noise
        assert strange[outside].mean() < 0.002
        for x0, y0, x1, y1 in boxes:
            inside = strange[y0:y1, x0:x1]
            assert inside.mean() > 0.15
            assert inside[[0, -1]].any(1).all(), "the box touches the object above and below"
            assert inside[:, [0, -1]].any(0).all(), "and on both sides"


def test_boxes_of_several_objects_do_not_overlap() -> None:
    for by_kind in shapes(size=64, objects=4, train_size=40, val_size=0, test_size=0).split("train").boxes:
        (boxes,) = by_kind.values()
        seen = np.zeros((64, 64), dtype=int)
        for x0, y0, x1, y1 in boxes:
            seen[y0:y1, x0:x1] += 1
        assert seen.max() == 1


needs_data = pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs CIFAR-10 in $ZOO_DATA")


@needs_data
def test_cifar10_has_its_known_counts_and_statistics() -> None:
    data = cifar10()
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [45_000, 5_000, 10_000]
    assert torch.bincount(data.split("test").labels).tolist() == [1_000] * 10
    first, label = data.split("test")[0]
    assert (first.shape, first.dtype, data.preprocess["classes"][label]) == ((3, 32, 32), torch.uint8, "cat")

    whole = cifar10(val_size=0)
    assert [len(whole.split(split)) for split in ("train", "val")] == [50_000, 0]
    assert torch.bincount(whole.split("train").labels).tolist() == [5_000] * 10
    assert whole.preprocess["mean"] == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert whole.preprocess["std"] == pytest.approx([0.2470, 0.2435, 0.2616], abs=1e-4)
    assert whole.fingerprint != data.fingerprint


@needs_data
def test_a_wrong_byte_in_cifar10_is_refused_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / RELEASE_10.folder
    shutil.copytree(Path(os.environ["ZOO_DATA"]) / RELEASE_10.folder, copy, copy_function=os.symlink)
    bad = copy / "data_batch_3.bin"
    data = bytearray(bad.read_bytes())
    data[1000] ^= 1
    bad.unlink()
    bad.write_bytes(data)
    with pytest.raises(DataError, match=f"{bad} has the wrong content: expected sha256 bbe85"):
        cifar10(root=str(tmp_path))


def test_an_incomplete_folder_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    folder = tmp_path / RELEASE_10.folder
    folder.mkdir()
    for name in list(RELEASE_10.files)[1:]:
        (folder / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"lacks data_batch_1\.bin"):
        cifar10(root=str(tmp_path))


def test_a_missing_cifar10_is_refused_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is not in") as caught:
        cifar10(root=str(tmp_path))
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in (caught.value.hint or "")


def write_release(release: CifarRelease, folder: Path, counts: list[int]) -> CifarRelease:
    """Write files of random records with labels in turn, and return the release with their hashes."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    files: dict[str, tuple[int, str]] = {}
    for name, count in zip(release.files, counts, strict=True):
        records = random.integers(0, 256, (count, release.labels + 3_072), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 20
        records[:, release.labels - 1] = np.arange(count) % (20 if release.labels == 1 else 100)
        (folder / name).write_bytes(records.tobytes())
        files[name] = (count, hashlib.sha256(records.tobytes()).hexdigest())
    return dataclasses.replace(release, files=files)


@pytest.fixture
def small_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put 200 + 100 random images in the place of CIFAR-100, and return the folder of their files."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / RELEASE_100.folder
    monkeypatch.setattr("zoo_images.cifar.RELEASE_100", write_release(RELEASE_100, folder, [200, 100]))
    return folder


def test_cifar100_reads_both_labels_of_a_record(small_cifar100: Path) -> None:
    root = str(small_cifar100.parent)
    fine, coarse = cifar100(root=root, val_size=50), cifar100(root=root, val_size=50, labels="coarse")
    raw = np.frombuffer((small_cifar100 / "train.bin").read_bytes(), np.uint8).reshape(200, 3_074)
    for data, classes in ((fine, CIFAR100_FINE), (coarse, CIFAR100_COARSE)):
        assert [len(data.split(split)) for split in ("train", "val", "test")] == [150, 50, 100]
        assert data.preprocess["classes"] == list(classes)
        image, _ = data.split("train")[123]
        assert image.flatten().tolist() == raw[123, 2:].tolist()
    assert fine.dims["num_classes"] == 100
    assert fine.split("train")[123][1] == 23
    assert coarse.dims["num_classes"] == 20
    assert coarse.split("train")[123][1] == 3
    assert len({fine.fingerprint, coarse.fingerprint, cifar100(root=root, val_size=0).fingerprint}) == 3


def test_cifar100_names_are_as_many_as_its_labels_and_in_order() -> None:
    assert len(CIFAR100_FINE) == 100
    assert len(CIFAR100_COARSE) == 20
    assert list(CIFAR100_FINE) == sorted(CIFAR100_FINE)
    assert list(CIFAR100_COARSE) == sorted(CIFAR100_COARSE)


def archived(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an archive of CIFAR-100 in a folder, which is the one that the release consists of."""
    archive = home / RELEASE_100.archive
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, RELEASE_100.folder)
    cifar_release(monkeypatch, sha256=hashlib.sha256(archive.read_bytes()).hexdigest())
    return archive


def test_cifar100_is_unpacked_from_its_archive(
    small_cifar100: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    archived(small_cifar100, home, monkeypatch)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    data = cifar100(root=str(home), val_size=50)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "another"))
    wanted = cifar100(root=str(small_cifar100.parent), val_size=50)
    for split in ("train", "val", "test"):
        assert data.split(split).images.equal(wanted.split(split).images)


def test_an_archive_with_a_wrong_member_is_refused(
    small_cifar100: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_cifar100 / "train.bin").write_bytes(bytes(200 * 3_074))
    home = tmp_path / "home"
    home.mkdir()
    archive = archived(small_cifar100, home, monkeypatch)
    with pytest.raises(DataError, match=rf"train\.bin in {archive} has the wrong sha256"):
        cifar100(root=str(home), val_size=50)


def cifar_release(monkeypatch: pytest.MonkeyPatch, **changes: str) -> CifarRelease:
    """Change fields of the release of CIFAR-100."""
    release = dataclasses.replace(cifar.RELEASE_100, **changes)
    monkeypatch.setattr(cifar, "RELEASE_100", release)
    return release


def test_a_file_of_the_wrong_length_is_refused_with_both_lengths(small_cifar100: Path) -> None:
    path = small_cifar100 / "test.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError) as caught:
        cifar100(root=str(small_cifar100.parent), val_size=50)
    assert (
        str(caught.value)
        == f"{path} must contain 100 records of 3,074 bytes each, 307,400 bytes in total (got 307,399)"
    )
    assert "cifar-100-binary.tar.gz" in (caught.value.hint or "")


def test_a_file_of_the_wrong_hash_is_refused_with_both_hashes(small_cifar100: Path) -> None:
    path = small_cifar100 / "train.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=rf"{path} has the wrong content: expected sha256 ") as caught:
        cifar100(root=str(small_cifar100.parent), val_size=50)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)


def test_a_missing_cifar100_is_refused_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-100-binary\.tar\.gz is not in") as caught:
        cifar100(root=str(tmp_path))
    assert "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz" in (caught.value.hint or "")
