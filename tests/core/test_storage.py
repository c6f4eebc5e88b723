"""Whole files or none, and the container."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from zoo import weights
from zoo.errors import WeightsError
from zoo.storage import atomic_write, canonical_json, read_header, write_container

TENSORS = {
    "b": torch.arange(6, dtype=torch.float32).view(2, 3),
    "a": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "n": torch.tensor(7),
    "none": torch.zeros(0, 4),
    "half": torch.ones(3, dtype=torch.bfloat16),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.safetensors"


def container(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str = "U8", shape: object = (4,), data_offsets: object = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], indirect=True)
def test_a_written_file_has_the_mode_the_umask_asks_for(path: Path, umask: int) -> None:
    with atomic_write(path) as file:
        file.write(b"x")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_an_exception_while_writing_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    def interrupted() -> None:
        with atomic_write(path) as file:
            file.write(b"half of the new")
            raise KeyboardInterrupt

    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_file_appears_only_when_it_is_whole(path: Path) -> None:
    with atomic_write(path) as file:
        file.write(b"x" * 100_000)
        assert not path.exists()
    assert path.read_bytes() == b"x" * 100_000
    assert list(path.parent.iterdir()) == [path]


def test_a_failing_disk_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as file:
        file.write(b"x")
    assert list(path.parent.iterdir()) == []


def test_plain_safetensors_reads_what_is_written(path: Path) -> None:
    weights.save_tensors(path, TENSORS, {"format": "pt", "k": "v"})
    read = safetensors.torch.load_file(path)
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", "k": "v"}


def test_equal_content_gives_equal_bytes(path: Path) -> None:
    backwards = {name: tensor.clone() for name, tensor in reversed(TENSORS.items())}
    other = path.with_name("other")
    weights.save_tensors(path, TENSORS, {"a": "1", "b": "2"})
    weights.save_tensors(other, backwards, {"b": "2", "a": "1"})
    assert path.read_bytes() == other.read_bytes()


def test_each_tensor_begins_where_its_type_is_aligned(path: Path) -> None:
    weights.save_tensors(path, TENSORS, {})
    header = read_header(path)
    for name, tensor in TENSORS.items():
        start = header.data_start + header.tensors[name]["data_offsets"][0]
        assert tensor.numel() == 0 or start % tensor.element_size() == 0, name


GOOD = container({"t": entry()}, b"1234")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(60), "is a zip archive, as torch.save writes"),
        (pickle.dumps({"weight": list(range(50))}, protocol=2), "is a pickle, which zoo never opens"),
        (pickle.dumps({"weight": list(range(50))}, protocol=4), "is a pickle, which zoo never opens"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "is a web page, not weights"),
        (b"<!doctype html><html></html>", "is a web page, not weights"),
        (b"<HTML><body>404</body></HTML>", "is a web page, not weights"),
        (b"\x1f\x8b\x08" + bytes(60), "is a gzip archive"),
        (b"short", "is not a safetensors file"),
        (b"just some text that goes on for a while", "is not a safetensors file"),
        (b"\xff" * 64, "is not a safetensors file"),
        (container(b"not json"), "is not a safetensors file: its header is not JSON"),
        (container(b"[" * 10_000), "is not a safetensors file: its header is not JSON"),
        (container(b"[1, 2, 3]"), "is not a safetensors file: its header is not a table"),
        (container({"__metadata__": 3}), "is damaged: its metadata is not a table"),
        (GOOD[:20], "is cut short"),
        (GOOD[:-1], "is cut short: the header promises 4 bytes of tensors, the file holds 3"),
        (GOOD + b"5", "has bytes after its end: the header promises 4 bytes of tensors, the file holds 5"),
        (container(b'{"t": {}, "t": {}}'), "is damaged: its header repeats a key"),
        (container(b'{"t": {"dtype": "U8", "dtype": "I8"}}'), "is damaged: its header repeats a key"),
        (container({"t": 3}), "the header's entry for 't' is malformed"),
        (container({"t": {}}), "the header's entry for 't' is malformed"),
        (container({"t": entry(shape=["4"])}, b"1234"), "the header's entry for 't' is malformed"),
        (container({"t": entry(data_offsets=[4])}, b"1234"), "the header's entry for 't' is malformed"),
        (container({"t": entry(dtype=8)}, b"1234"), "the header's entry for 't' is malformed"),
    ],
)  # fmt: skip
def test_a_foreign_or_damaged_file_is_named_for_what_it_is(path: Path, data: bytes, told: str) -> None:
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        read_header(path)
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    weights.save_tensors(path, TENSORS, {"k": "v"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            read_header(path)


@pytest.mark.parametrize(
    "table",
    [
        {"t": entry(shape=[5])},
        {"t": entry(data_offsets=[4, 0]), "u": entry()},
        {"t": entry(shape=[2], data_offsets=[0, 2]), "u": entry()},
        {"t": entry(data_offsets=[-4, 4])},
        {"t": entry(dtype="F99")},
    ],
    ids=["shape", "backwards", "overlap", "negative", "dtype"],
)
def test_a_header_that_lies_about_its_bytes_is_refused(path: Path, table: dict[str, Any]) -> None:
    path.write_bytes(container(table, b"1234"))
    header = read_header(path)
    with pytest.raises(WeightsError, match="is damaged: its header does not describe its bytes"):
        weights.read_tensors(path, header, "0" * 64)


def test_a_folder_and_an_absent_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder, not a weights file"):
        read_header(tmp_path)
    with pytest.raises(WeightsError, match=r"there is no file .*nothing"):
        read_header(tmp_path / "nothing")


def test_canonical_json_is_one_text_for_one_value() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "ü"}) == '{"a":"ü","b":[1,2.5]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_a_failed_write_of_a_container_keeps_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_container(path, [], {"v": "1"})
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError(5, "I/O")))
    with pytest.raises(OSError, match="I/O"):
        write_container(path, [], {"v": "2"})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
