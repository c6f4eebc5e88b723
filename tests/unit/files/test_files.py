"""Files that are whole or absent, JSON, and the safetensors container."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from zoo.errors import OutputError, WeightsError
from zoo.files.atomic import atomic_write, sweep, write_output
from zoo.files.canonical import canonical_json, parse_json
from zoo.files.container import StoredTensor, read_container, tensor_sha256, write_container
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


def write(path: Path, metadata: dict[str, str] | None = None) -> None:
    write_container(path, weights.pack(TENSORS), metadata or {})


def container(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: object = "U8", shape: object = (4,), data_offsets: object = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], indirect=True)
def test_a_written_file_has_the_mode_that_the_umask_gives(path: Path, umask: int) -> None:
    with atomic_write(path) as file:
        file.write(b"x")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_an_exception_while_writing_keeps_the_old_file_and_nothing_else(path: Path) -> None:
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


def test_a_full_disk_leaves_no_file_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as file:
        file.write(b"x")
    assert list(path.parent.iterdir()) == []


def test_an_output_is_written_into_a_pipe_and_a_device_and_replaces_neither(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        write_output(path, b"whole")
        assert reader.read() == b"whole"
    assert path.is_fifo()
    with monkeypatch.context() as patch:  # so that a mistake cannot replace a device of this machine
        patch.setattr("zoo.files.atomic.atomic_write", None)
        write_output(Path("/dev/null"), b"nothing")
        with pytest.raises(OutputError, match="/dev/full cannot be written: No space left on device"):
            write_output(Path("/dev/full"), b"x")


def test_dev_stdout_is_what_stdout_is(path: Path) -> None:
    code = "import sys, zoo.files.atomic as a; a.atomic_write = None; "
    code += "from pathlib import Path; a.write_output(Path('/dev/stdout'), b'card')"
    with path.open("wb") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert path.read_bytes() == b"card"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"card"


def test_safetensors_itself_reads_what_is_written(path: Path) -> None:
    write(path, {"format": "pt", "k": "v"})
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
    write(path, {"a": "1", "b": "2"})
    write_container(other, weights.pack(backwards), {"b": "2", "a": "1"})
    assert path.read_bytes() == other.read_bytes()


def test_each_tensor_starts_at_a_multiple_of_its_width(path: Path) -> None:
    write(path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for name, tensor in TENSORS.items():
        start = 8 + length + header[name]["data_offsets"][0]
        assert tensor.numel() == 0 or start % tensor.element_size() == 0, name


ENTRY = json.dumps(entry())
GOOD = container({"t": entry()}, b"1234")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(60), "is a zip archive: a pickle of torch.save"),
        (pickle.dumps({"weight": list(range(50))}, protocol=2), "is a pickle, which only `zoo import` opens"),
        (pickle.dumps({"weight": list(range(50))}, protocol=4), "is a pickle, which only `zoo import` opens"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "is a web page, not weights"),
        (b"<!doctype html><html></html>", "is a web page, not weights"),
        (b"<HTML><body>404</body></HTML>", "is a web page, not weights"),
        (b"\x1f\x8b\x08" + bytes(60), "is a gzip archive"),
        (b"short", "is not a safetensors file"),
        (b"just some text that goes on for a while", "is not a safetensors file"),
        (b"\xff" * 64, "is not a safetensors file"),
        (container(b"not json"), "is damaged: "),
        (container(b"[" * 10_000), "is damaged: "),
        (container(b"[1, 2, 3]"), "is damaged: "),
        (container({"__metadata__": 3}), "is damaged: "),
        (container({"__metadata__": {"k": 3}}), "is damaged: "),
        (GOOD[:20], "is truncated"),
        (GOOD[:-1], "is damaged: its size does not match its header"),
        (GOOD + b"5", "is damaged: its size does not match its header"),
        (container(f'{{"t": {ENTRY}, "t": {ENTRY}}}'.encode(), b"1234"), "is damaged: a key is repeated"),
        (container(b'{"t": {"dtype": "U8", "dtype": "I8"}}'), "is damaged: "),
        (container({"t": 3}), "is damaged: "),
        (container({"t": {}}), "is damaged: "),
        (container({"t": entry(shape=["4"])}, b"1234"), "is damaged: "),
        (container({"t": entry(data_offsets=[4])}, b"1234"), "is damaged: "),
        (container({"t": entry(dtype=8)}, b"1234"), "is damaged: "),
    ],
)  # fmt: skip
def test_the_error_for_a_foreign_or_damaged_file_says_what_it_is(
    path: Path, data: bytes, message: str
) -> None:
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        read_container(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_file_truncated_anywhere_is_refused(path: Path) -> None:
    write(path, {"k": "v"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            read_container(path)


@pytest.mark.parametrize(
    "table",
    [
        {"t": entry(shape=[5])},
        {"t": entry(dtype="F32")},
        {"t": entry(shape=[2**40] * 4)},
        {"t": entry(data_offsets=[4, 0]), "u": entry()},
        {"t": entry(), "u": entry(shape=[2], data_offsets=[2, 4])},
        {"t": entry(), "u": entry()},
        {"t": entry(shape=[2], data_offsets=[2, 4])},
        {"t": entry(data_offsets=[-4, 0])},
        {"t": entry(data_offsets=[0, 4.0])},
        {"t": entry(shape=[True, 4])},
        {"t": entry(dtype="F99")},
    ],
)
def test_a_header_that_does_not_describe_its_bytes_is_refused(path: Path, table: dict[str, Any]) -> None:
    path.write_bytes(container(table, b"1234"))
    with pytest.raises(WeightsError, match="is damaged: "):
        read_container(path)


def test_a_dtype_that_zoo_does_not_store_is_refused(path: Path) -> None:
    path.write_bytes(container({"t": entry(dtype="F8_E4M3")}, b"1234"))
    with pytest.raises(WeightsError, match="'t' has dtype F8_E4M3, which zoo does not support"):
        read_container(path)


def test_a_container_is_read_as_it_was_written(path: Path) -> None:
    stored = weights.pack(TENSORS)
    write_container(path, stored, {"says": "1.25"})
    read = read_container(path)
    assert read.has_checksum
    assert read.metadata["says"] == "1.25"
    assert read.size == path.stat().st_size
    assert read.tensor_sha256 == tensor_sha256(stored)
    assert {name: (t.dtype, t.shape, bytes(t.data)) for name, t in read.tensors.items()} == {
        t.name: (t.dtype, t.shape, bytes(t.data)) for t in stored
    }
    assert read.tensors["b"].numel == 6


def test_a_file_of_another_writer_has_no_checksum(path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(3)}, path, {"format": "pt"})
    assert not read_container(path).has_checksum


def test_any_order_of_tensors_gives_the_same_hash() -> None:
    one, other = (StoredTensor(name, "U8", (1,), memoryview(name.encode())) for name in "ab")
    assert tensor_sha256([one, other]) == tensor_sha256([other, one]) == hashlib.sha256(b"ab").hexdigest()


def test_a_flipped_bit_anywhere_in_the_header_is_noticed(path: Path) -> None:
    write(path, {"says": "1.25"})
    whole = path.read_bytes()
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            container = read_container(path)
        except WeightsError:
            continue
        assert not container.has_checksum, place  # the bit is in the name of the checksum itself


@pytest.mark.parametrize(
    "text",
    [
        *('{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": 1, "a": 2}', '"\\ud800"'),
        *("[" * 101 + "]" * 101, "[" * 100_000, "{", "", "1" * 5_000),
    ],
)
def test_text_that_is_not_strict_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_json(text)


def test_a_pipe_is_refused_without_being_read(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(WeightsError, match="is a pipe or a device"):
        read_container(path)


def test_the_previous_file_is_kept_once_the_next_one_is_whole(path: Path) -> None:
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
    assert read_container(path).metadata["v"] == "2"


def test_a_disk_that_returns_other_bytes_than_were_written_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_container(path, [], {"v": "1"})
    before = path.read_bytes()
    monkeypatch.setattr("hashlib.file_digest", lambda file, name: hashlib.sha256(b"rotten"))
    with pytest.raises(OSError, match="the file does not contain the bytes that were written"):
        write_container(path, [], {"v": "2"})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


WRITES = """
import sys
from pathlib import Path
from zoo.files.atomic import atomic_write, temporary_folder
with atomic_write(Path("file")) as file, temporary_folder(Path("folder")) as folder:
    file.write(b"half")
    (folder / "deep").write_bytes(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""
SWEEPS = "from pathlib import Path; from zoo.files.atomic import sweep; sweep(Path())"


def writer(folder: Path, *before: str) -> subprocess.Popen[str]:
    """Start a process that is just writing a file and a folder."""
    child = subprocess.Popen(
        [*before, sys.executable, "-c", WRITES],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    return child


def test_only_files_of_dead_processes_of_this_machine_are_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, alive = writer(tmp_path), writer(tmp_path)
    dead.kill()
    dead.communicate()
    mine, link, elsewhere = tmp_path / ".mine.tmp", tmp_path / ".a.b.01234567.tmp", tmp_path / "elsewhere"
    mine.write_bytes(b"half")
    elsewhere.write_bytes(b"theirs")
    link.symlink_to(elsewhere)
    halves = {path.name for path in tmp_path.iterdir()} - {mine.name, link.name, elsewhere.name}
    assert len(halves) == 4
    with monkeypatch.context() as patch:
        patch.setattr("platform.node", lambda: "else where.example")
        sweep(tmp_path)
    assert halves <= {path.name for path in tmp_path.iterdir()}
    sweep(tmp_path)
    assert len(halves & {path.name for path in tmp_path.iterdir()}) == 2
    alive.communicate()
    assert {path.name for path in tmp_path.iterdir()} == {"file", *(p.name for p in (mine, link, elsewhere))}


def test_a_temporary_file_does_not_name_this_machine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.node", lambda: "this-machine")
    with atomic_write(path):
        (half,) = path.parent.glob(".*.tmp")  # which stays if the writer is killed
    assert "this-machine" not in half.name


def test_a_writer_in_another_container_is_not_swept(tmp_path: Path) -> None:
    contained = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if shutil.which("unshare") is None or subprocess.run([*contained, "true"], check=False).returncode:
        pytest.skip("this system does not let a process have a PID namespace of its own")
    for inside, outside in (((), contained), (contained, ())):
        alive = writer(tmp_path, *inside)
        halves = {*tmp_path.iterdir()}
        subprocess.run([*outside, sys.executable, "-c", SWEEPS], cwd=tmp_path, check=True)
        assert {*tmp_path.iterdir()} == halves
        alive.communicate()
        assert (tmp_path / "file").read_bytes() == b"half"


def test_a_link_is_replaced_and_what_it_leads_to_does_not_change(path: Path) -> None:
    elsewhere, hard = path.with_name("elsewhere"), path.with_name("hard")
    elsewhere.write_bytes(b"theirs")
    hard.hardlink_to(elsewhere)
    path.symlink_to(elsewhere)
    keep = path.with_name("before")
    keep.symlink_to(elsewhere)
    for place, kept in ((path, keep), (hard, None)):
        with atomic_write(place, keep=kept) as file:
            file.write(b"new")
        assert place.read_bytes() == b"new"
        assert not place.is_symlink()
    assert keep.is_symlink()
    assert elsewhere.read_bytes() == b"theirs"


def test_a_file_stays_in_its_open_folder_wherever_that_is(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    with atomic_write(folder / "file", folder=descriptor) as file:
        file.write(b"x")
    assert [*folder.iterdir()] == []
    assert (tmp_path / "moved/file").read_bytes() == b"x"
    shutil.rmtree(tmp_path / "moved")
    with pytest.raises(FileNotFoundError), atomic_write(folder / "file", folder=descriptor):
        pass
    os.close(descriptor)
    assert [*folder.iterdir()] == []


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read: it is a folder, not a regular file"):
        read_container(tmp_path)
    with pytest.raises(WeightsError, match=r"no such file: .*nothing"):
        read_container(tmp_path / "nothing")


def test_equal_values_have_one_canonical_json() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "ü"}) == '{"a":"ü","b":[1,2.5]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_a_file_that_cannot_be_made_is_named_as_the_caller_knows_it() -> None:
    with pytest.raises(OSError) as caught, atomic_write(Path("/proc/curve.png")):  # noqa: PT011
        pass
    assert caught.value.filename == "/proc/curve.png"
