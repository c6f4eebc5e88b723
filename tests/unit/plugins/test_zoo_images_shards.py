"""Images in shards: tar and Parquet files, their labels, their order, and what is wrong with damaged ones."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.configs import configured
from zoo.errors import DataError
from zoo.interfaces import make_task
from zoo.registry.registry import Registry
from zoo_images import shards as module
from zoo_images.folder import folder
from zoo_images.shards import shards

Members = Sequence[tuple[str, bytes]]


def png(number: int, size: int = 12) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def tar(path: Path, members: Members) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    with tarfile.open(path, "w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def pairs(numbers: Sequence[int], labels: Mapping[int, object] | None = None) -> list[tuple[str, bytes]]:
    """Return the members of images with labels 0 and 1, or with given ones."""
    found: list[tuple[str, bytes]] = []
    for number in numbers:
        label = (labels or {}).get(number, number % 2)
        found += [(f"{number:04}.png", png(number)), (f"{number:04}.cls", str(label).encode())]
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with three training shards of 10 images, and one of 6 for validation."""
    for shard in range(3):
        tar(tmp_path / f"train-{shard:02}.tar", pairs(range(10 * shard, 10 * shard + 10)))
    tar(tmp_path / "val.tar", pairs(range(100, 106)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parquet(path: Path, images: Sequence[object], labels: Sequence[object], **more: Any) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    files.write_table(pyarrow.table({"image": images, "label": labels}), path, row_group_size=4, **more)
    return path


def test_items_are_those_of_the_tars(home: Path) -> None:
    data = shards(train="train-{00..02}.tar", val="val.tar", size=12)
    assert data.dims == {"in_channels": 3, "image_size": 12, "num_classes": 2}
    assert data.preprocess["classes"] == ["0", "1"]
    train = data.split("train")
    assert (len(train), len(data.split("val")), len(data.split("test"))) == (30, 6, 0)
    images, labels = train.read_batch([29, 0, 13])
    for image, number in zip(images, (29, 0, 13), strict=True):
        expected = np.asarray(Image.open(io.BytesIO(png(number)))).transpose(2, 0, 1)
        assert torch.equal(image, torch.from_numpy(expected.copy()))
    assert labels.tolist() == [1, 0, 1]
    assert torch.equal(train[13][0], images[2])
    assert train[-1][1] == 1


@pytest.mark.parametrize(
    "given", ["train-{00..02}.tar", "train-*.tar", "{train-00,train-01,train-02}.tar", "only"]
)
def test_patterns_name_the_same_shards(home: Path, given: str) -> None:
    (home / "only").mkdir()
    for path in home.glob("train-*.tar"):
        (home / "only" / path.name).write_bytes(path.read_bytes())
    wanted = shards(train="train-0[0-2].tar", size=12)
    assert shards(train=given, size=12).fingerprint == wanted.fingerprint
    assert shards(train=str(home / given), size=12).fingerprint == wanted.fingerprint


def test_the_fingerprint_follows_the_content(home: Path) -> None:
    first = shards(train="train-*.tar", val="val.tar", size=12).fingerprint
    tar(home / "val.tar", pairs(range(100, 106), {103: 0}))
    assert shards(train="train-*.tar", val="val.tar", size=12).fingerprint != first


def test_fewer_training_images_keep_their_shards(home: Path) -> None:
    whole = shards(train="train-*.tar", val="val.tar", size=12)
    fewer = shards(train="train-*.tar", val="val.tar", size=12, train_size=12)
    assert fewer.preprocess == whole.preprocess
    assert fewer.fingerprint != whole.fingerprint
    train, images = fewer.split("train"), [image for image, _ in whole.split("train")]
    places = [next(n for n, image in enumerate(images) if torch.equal(image, own)) for own, _ in train]
    assert places == sorted({*places})
    assert train.labels.tolist() == [place % 2 for place in places]
    assert train.shard_lengths == [sum(place // 10 == shard for place in places) for shard in range(3)]


def test_statistics_are_those_of_a_folder(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / "images" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(png(number))
    tar(tmp_path / "all.tar", pairs(range(20)))
    whole = folder(root=str(tmp_path / "images"), size=12, val_share=0, test_share=0)
    assert shards(train=str(tmp_path / "all.tar"), size=12).preprocess == whole.preprocess


def test_labels_in_json_files_by_name(tmp_path: Path) -> None:
    members = [
        *[("a/1.JPG", png(1)), ("a/1.json", b'{"label": "cat", "url": "x"}'), ("a/1.txt", b"a cat")],
        *[("./b/1.cls", b"dog\n"), ("./b/1.json", b'{"width": 3}'), ("b/1.png", png(2))],
        *[("c.png", png(3)), ("c.json", b'"img 10"'), ("c.mask.png", png(4)), ("._c.png", b"")],
        *[("d.png", png(5)), ("d.json", b'"img 9"'), ("README.md", b"")],
    ]
    data = shards(train=str(tar(tmp_path / "x.tar", members)), size=12)
    assert data.preprocess["classes"] == ["cat", "dog", "img 9", "img 10"]
    assert [data.split("train")[index][1] for index in range(4)] == [0, 1, 3, 2]


def test_classes_name_integers_or_order_names(home: Path) -> None:
    data = shards(train="train-*.tar", size=12, classes=("even", "odd", "neither"))
    assert data.preprocess["classes"] == ["even", "odd", "neither"]
    assert data.split("train").labels.tolist() == [0, 1] * 15
    names = tar(home / "names.tar", pairs([1, 2], {1: "odd", 2: "even"}))
    data = shards(train=str(names), size=12, classes=("even", "odd"))
    assert data.split("train").labels.tolist() == [1, 0]


@pytest.mark.parametrize("start", [0, 3])
def test_an_epoch_reads_each_image_once(home: Path, start: int) -> None:
    data = shards(train="train-*.tar", val="val.tar", size=12)
    task = make_task(Registry.discover(), "classification")
    config = configured(batch_size=4, augment=("crop", "flip"), mixup_alpha=0.2)
    whole = [*task.train_batches(data, config, seed=1, epoch=0)]
    rest = [*task.train_batches(data, config, seed=1, epoch=0, start=start)]
    assert sum(len(batch.inputs) for batch in whole) == 30
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(whole[start:], rest, strict=True))
    plain = task.train_batches(data, configured(batch_size=4), seed=1, epoch=0)
    seen = torch.cat([batch.inputs for batch in plain]).flatten(1)
    assert len(seen.unique(dim=0)) == 30


def test_a_parquet_file_has_the_items_of_a_tar(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = range(10)
    bare = parquet(home / "a.parquet", [png(n) for n in numbers], [n % 2 for n in numbers])
    rows = [{"bytes": png(n), "path": f"{n}.png"} for n in numbers]
    as_struct = parquet(home / "b.parquet", rows, ["01"[n % 2] for n in numbers])
    monkeypatch.setattr(module, "_KEPT_ROWS", 5)
    wanted = shards(train="train-00.tar", size=12)
    for path in (bare, as_struct):
        data = shards(train=str(path), size=12)
        assert data.preprocess == wanted.preprocess
        assert data.split("train").shard_lengths == [4, 4, 2]
        found, expected = (each.split("train").read_batch([9, 0, 4, 3]) for each in (data, wanted))
        assert all(map(torch.equal, found, expected))


def test_a_training_on_shards_resumes_and_is_evaluated(home: Path) -> None:
    small: Any = {"model": {"widths": [4]}, "epochs": 2, "batch_size": 4, "progress": False}
    data = {"train": "train-{00..02}.tar", "val": "val.tar", "size": 12}
    run = zoo.train("mlp", "shards", data=data, run=home / "out", **small)
    assert [row["epoch"] for row in run.history] == [1, 2]
    ones = tar(home / "new" / "x.tar", pairs([41, 43]))  # only the class 1, which is the model's second
    report = run.model.evaluate("train", dataset="shards", data={"train": str(ones)})
    assert [row["count"] for row in report["classes"]] == [0, 2]


def test_https_shards_need_a_checksum(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"https://example\.org/train-00\.tar has no checksum"):
        shards(train="https://example.org/train-{00..02}.tar", size=12)
    sums = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(home.glob("train-*"))}
    (home / "sums").write_text("".join(f"{sha256}  {path.name}\n" for path, sha256 in sums.items()))
    for path, sha256 in sums.items():  # as downloads in the cache
        place = home / "cache" / "shards" / sha256 / path.name
        place.parent.mkdir(parents=True)
        place.write_bytes(path.read_bytes())
    monkeypatch.setenv("ZOO_DATA", str(home / "cache"))
    url = "https://example.org/train-{00..02}.tar?token=1"
    with pytest.raises(DataError, match="not a shard"):
        shards(train=url, size=12, checksums="sums")
    url = url.partition("?")[0]
    assert (
        shards(train=url, size=12, checksums="sums").fingerprint
        == shards(train="train-*.tar", size=12).fingerprint
    )
    place.write_bytes(b"another")
    with pytest.raises(DataError, match="wrong content"):
        shards(train=url, size=12, checksums="sums")
    monkeypatch.setattr("zoo_images.shard_files._GB", 100)
    with pytest.raises(DataError, match="the shards take more than download_gb=1"):
        shards(train=url, size=12, checksums="sums", download_gb=1)
    (home / "sums").write_text(f"{'0' * 64}  train-00.tar\n")
    with pytest.raises(DataError, match=r"train-00\.tar has the wrong sha256"):
        shards(train="train-*.tar", size=12, checksums="sums")
    (home / "sums").write_text("abc train-00.tar\n")
    with pytest.raises(DataError, match="line 1 of sums must be a sha256 and a name"):
        shards(train=url, size=12, checksums="sums")


def big_header() -> bytes:
    info = tarfile.TarInfo("x.png")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    return info.tobuf(tarfile.USTAR_FORMAT)


def claimed(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


DAMAGED: dict[str, tuple[Members | bytes, str]] = {
    "no label": ([*pairs([1]), ("2.png", png(2))], "x.tar: key '2' has no label"),
    "no image": ([*pairs([1]), ("2.cls", b"1")], "x.tar: key '2' has a label but no image"),
    "two labels": ([*pairs([1]), ("0001.json", b"0")], "x.tar: key '0001' has two labels, '1' and '0'"),
    "two images": ([*pairs([1]), ("0001.jpg", png(2))], "x.tar: key '0001' has two images"),
    "a list": (
        [("1.png", png(1)), ("1.json", b"[1, 2]")],
        "x.tar: key '1' has no valid label: expected an integer",
    ),
    "empty": ([("1.png", png(1)), ("1.cls", b"")], "x.tar: key '1' has no valid label"),
    "not JSON": ([("1.png", png(1)), ("1.json", b"{")], "x.tar: key '1' has no valid label"),
    "not UTF-8": ([("1.png", png(1)), ("1.cls", b"\xff")], "x.tar: key '1' has no valid label"),
    "long label": (
        [("1.png", png(1)), ("1.cls", bytes(70_000))],
        "key '1' has a .cls file of 70,000 bytes, more than",
    ),
    "texts": ([("1.txt", b"a"), ("2.txt", b"b")], "x.tar contains no images"),
    "not a tar": (b"no tar" * 200, "x.tar cannot be read from its first byte"),
    "nothing": (b"", "x.tar cannot be read from its first byte"),
    "long header": (
        big_header(),
        "x.tar cannot be read from its first byte: a header has 1,073,741,824 bytes",
    ),
    "huge image": (
        claimed("1.png", 1 << 30),
        "x.tar: key '1' has a .png file of 1,073,741,824 bytes, more than",
    ),
    "cut image": (claimed("1.png", 1 << 20), "x.tar: key '1' is cut off: the file is truncated"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_shards_are_named_with_the_key(tmp_path: Path, name: str) -> None:
    content, says = DAMAGED[name]
    path = tmp_path / "x.tar"
    path.write_bytes(content) if isinstance(content, bytes) else tar(path, content)
    with pytest.raises(DataError) as caught:
        shards(train=str(path), size=12)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0.3, 0.5, 0.99])
def test_a_cut_or_overwritten_tar_is_refused(home: Path, place: float) -> None:
    path = home / "train-00.tar"
    content = path.read_bytes()
    with tarfile.open(path) as file:
        members = file.getmembers()
    at = members[int(place * len(members))].offset
    for damaged in (content[:at], content[: at + 100], content[:at] + b"x" * 512 + content[at + 512 :]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"train-00\.tar cannot be read after '00"):
            shards(train="train-*.tar", size=12)


def test_an_image_that_cannot_be_decoded_is_named(home: Path) -> None:
    tar(
        home / "val.tar",
        [*pairs(range(4)), ("cat/7.x.png", b""), ("cat/7.png", b"no image"), ("cat/7.cls", b"1")],
    )
    split = shards(train="train-*.tar", val="val.tar", size=12).split("val")
    with pytest.raises(
        DataError, match=r"val\.tar: key 'cat/7' cannot be read as an image: its format is unknown"
    ):
        split.read_batch([0, 4])
    os.utime(home / "val.tar", (1, 1))
    with pytest.raises(DataError, match=r"val\.tar changed while it was in use"):
        split.read_batch([0])


def test_wrong_parquet_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"x\.parquet: key '1' has no valid label: expected an integer"):
        shards(train=str(parquet(home / "x.parquet", [png(1), png(2)], [1, None])), size=12)
    parquet(home / "x.parquet", [png(1), None], [1, 0])
    with pytest.raises(DataError, match=r"x\.parquet: key '1' cannot be read as an image"):
        shards(train="x.parquet", size=12)
    (home / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"x\.parquet is damaged: "):
        shards(train="x.parquet", size=12)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="requires pyarrow") as caught:
        shards(train="x.parquet", size=12)
    assert "pip install" in (caught.value.hint or "")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"train": "nope-{0..3}.tar"}, r"nope-0\.tar does not exist"),
    "no match": ({"train": "nope-*.tar"}, r"nope-\*\.tar does not exist"),
    "empty folder": ({"train": "empty"}, "empty contains no shards"),
    "another kind": ({"train": "x.zip"}, r"x\.zip is not a shard"),
    "backwards": ({"train": "x-{9..0}.tar"}, r"\{9\.\.0\} in .* must count up"),
    "many": ({"train": "x-{0..999999999}.tar"}, "must count up, by less than 1,000,000"),
    "twice": ({"train": "train-00.tar", "val": "train-00.tar"}, "train-00.tar and .* have the same content"),
    "copied": ({"train": "train-00.tar", "val": "copy/train-00.tar"}, "copy/train-00.tar have the same"),
    "unknown label": ({"train": "train-00.tar", "val": "cats.tar"}, "'0002' has the unknown label 'cat'"),
    "pipe": ({"train": "pipe.tar"}, "a pipe or a device"),
    "http": ({"train": "http://example.org/a.tar", "checksums": "sums"}, "only https URLs are allowed"),
    "no list": ({"train": "train-00.tar", "checksums": "nope"}, "the checksums nope cannot be read"),
    "binary list": ({"train": "train-00.tar", "checksums": "train-00.tar"}, "the checksums train-00.tar"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    (home / "empty").mkdir()
    (home / "x.zip").write_bytes(b"")
    (home / "sums").write_text(f"{'0' * 64}  a.tar\n")
    os.mkfifo(home / "pipe.tar")
    tar(home / "copy" / "train-00.tar", pairs(range(10)))
    tar(home / "cats.tar", pairs([1, 2], {2: "cat"}))
    options, says = WRONG[name]
    with pytest.raises(DataError, match=says):
        shards(size=12, **options)
