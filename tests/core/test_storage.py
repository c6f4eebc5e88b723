"""Whole files or none, and the container."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from zoo.errors import WeightsError
from zoo.files.atomic import atomic_write, sweep, temporary_beside
from zoo.files.canonical import canonical_json, parse_json
from zoo.files.container import read_header, write_container
from zoo.models import weights

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
        metadata = file.metadata()
        assert len(metadata.pop("header_sha256")) == 64
        assert metadata == {"format": "pt", "k": "v"}


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
        (container({"__metadata__": {"k": 3}}), "is damaged: its metadata is not a table of texts"),
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
    ("table", "told"),
    [
        ({"t": entry(shape=[5])}, "the shape of 't' is not that of its bytes"),
        ({"t": entry(dtype="F32")}, "the shape of 't' is not that of its bytes"),
        ({"t": entry(shape=[2**40] * 4)}, "the shape of 't' is not that of its bytes"),
        ({"t": entry(data_offsets=[4, 0]), "u": entry()}, "the shape of 't' is not that of its bytes"),
        ({"t": entry(), "u": entry(shape=[2], data_offsets=[2, 4])}, "'u' overlaps another"),
        ({"t": entry(), "u": entry()}, "'u' overlaps another"),
        ({"t": entry(shape=[2], data_offsets=[2, 4])}, "'t' leaves bytes before it that no tensor has"),
        ({"t": entry(data_offsets=[-4, 0])}, "entry for 't' is malformed"),
        ({"t": entry(data_offsets=[0, 4.0])}, "entry for 't' is malformed"),
        ({"t": entry(shape=[True, 4])}, "entry for 't' is malformed"),
        ({"t": entry(dtype="F99")}, "'t' is of the type 'F99', which zoo does not know"),
    ],
)  # fmt: skip
def test_a_header_that_lies_about_its_bytes_is_refused(path: Path, table: dict[str, Any], told: str) -> None:
    path.write_bytes(container(table, b"1234"))
    with pytest.raises(WeightsError) as caught:
        read_header(path)
    assert told in str(caught.value)


def test_a_flipped_bit_anywhere_in_the_header_is_noticed(path: Path) -> None:
    weights.save_tensors(path, TENSORS, {"says": "1.25"})
    whole = path.read_bytes()
    for place in range(read_header(path).data_start):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            header = read_header(path)
        except WeightsError:
            continue
        assert not header.sealed, place  # the seal's own name: whoever needs one refuses


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": -Infinity}', '{"a": 1, "a": 2}', '"\\ud800"', "[" * 100_000, "{", "", "1" * 5_000],
)
def test_what_json_does_not_allow_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_json(text)


def test_a_pipe_is_refused_and_never_read(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(WeightsError, match="is a pipe or a device"):
        read_header(path)


def test_the_file_before_is_kept_only_once_the_next_is_whole(path: Path) -> None:
    keep = path.with_name("before")
    write_container(path, [], {"v": "1"}, keep=keep)
    assert not keep.exists()
    first = path.read_bytes()
    write_container(path, [], {"v": "2"}, keep=keep)
    assert keep.read_bytes() == first

    def fails() -> None:
        with atomic_write(path, keep=keep) as file:
            file.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fails()
    assert keep.read_bytes() == first
    assert read_header(path).metadata["v"] == "2"


def test_a_disk_that_keeps_other_bytes_than_were_written_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_container(path, [], {"v": "1"})
    before = path.read_bytes()
    monkeypatch.setattr("hashlib.file_digest", lambda file, name: hashlib.sha256(b"rotten"))
    with pytest.raises(OSError, match="what was written reads otherwise"):
        write_container(path, [], {"v": "2"})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_only_what_the_dead_of_this_machine_left_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr(os, "getpid", lambda: gone.pid)
    dead, folder = temporary_beside(tmp_path / "dead"), temporary_beside(tmp_path / "folder")
    monkeypatch.setattr("platform.node", lambda: "else where.example")
    elsewhere = temporary_beside(tmp_path / "dead")
    monkeypatch.undo()
    alive = temporary_beside(tmp_path / "alive")
    mine = tmp_path / ".mine.tmp"
    for path in (dead, elsewhere, alive, mine, folder / "deep"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([elsewhere, alive, mine])


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
