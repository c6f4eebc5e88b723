"""Files that are whole or absent, and the safetensors container. Torch-free.

The order that survives a power cut: write a temporary file in the same folder, flush, fsync, rename,
fsync the folder. The container is written by hand so that equal content gives equal bytes: the stock
writer shuffles its metadata, and makes files that only their owner can read.

Each container has a seal: a sha256 of its header, in its header, so that a bit that flips in what a file says
of itself is noticed as one in its tensors is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from zoo.errors import WeightsError

__all__ = [
    "Header",
    "Tensor",
    "atomic_write",
    "canonical_json",
    "is_running",
    "parse_json",
    "read_header",
    "sweep",
    "temporary_beside",
    "tensor_sha256",
    "write_container",
]

_MAX_HEADER = 32_000_000
"""The format allows three times as much, which as Python objects would be gigabytes."""
_LENGTH_BYTES = 8
_SEAL = "header_sha256"
_NO_SEAL = "0" * 64
_WIDTHS = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
_TEMPORARY = re.compile(r"\..+\.(?P<host>[A-Za-z0-9-]+)\.(?P<pid>\d+)\.[0-9a-f]{8}\.tmp")
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes (a pickle, which zoo never opens)"),
    (b"\x80", "a pickle, which zoo never opens"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"<!DOCTYPE", "a web page, not weights"),
    (b"<html", "a web page, not weights"),
    (b"\x1f\x8b", "a gzip archive"),
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as bytes: its name, safetensors dtype (`F32`), shape and buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a safetensors file says."""

    tensors: Mapping[str, Mapping[str, Any]]
    """For each tensor its dtype, shape and data_offsets."""
    metadata: Mapping[str, str]
    data_start: int
    size: int
    sealed: bool = False
    """Whether it holds a sha256 of itself, which was right."""


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises ValueError for what is not JSON, such as NaN, and for what Python reads and cannot write again: a
    repeated key, half a surrogate pair, tables inside tables without end.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a key is repeated")
        return table

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        if "\\u" in text:
            canonical_json(value).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


@contextlib.contextmanager
def atomic_write(path: Path, *, keep: Path | None = None) -> Generator[IO[bytes]]:
    """Open a temporary file that becomes `path` when the block ends well, and vanishes otherwise.

    With `keep`, the file that was at `path` so far is kept there.
    """
    temporary = temporary_beside(path)
    try:
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong is to be told, not that it cannot be cleaned up
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name beside `path` that says who writes there, so that `sweep` knows the dead."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def sweep(folder: Path) -> None:
    """Remove what writers on this machine left unfinished in `folder` when they died; the living go on."""
    for path in folder.glob(".*.tmp"):
        made = _TEMPORARY.fullmatch(path.name)
        if made and made["host"] == _host() and not is_running(int(made["pid"])):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Say whether a process of this machine is alive."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:40] or "-"


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def layout(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors in file order: wide dtypes first, so that each starts at a multiple of its width."""
    return sorted(tensors, key=lambda tensor: (-_width(tensor), tensor.name))


def tensor_sha256(tensors: Sequence[Tensor]) -> str:
    """Return the sha256 of the data section these tensors make."""
    digest = hashlib.sha256()
    for tensor in layout(tensors):
        digest.update(tensor.data)
    return digest.hexdigest()


def write_container(
    path: Path, tensors: Sequence[Tensor], metadata: Mapping[str, str], *, keep: Path | None = None
) -> None:
    """Write a safetensors file in one atomic step; equal arguments give equal bytes.

    It is read again before it takes its place. With `keep`, the file that was there so far is kept there.
    """
    ordered = layout(tensors)
    head: dict[str, Any] = {"__metadata__": {**metadata, _SEAL: _NO_SEAL}}
    offset = 0
    for tensor in ordered:
        end = offset + tensor.data.nbytes
        head[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = canonical_json(head).encode()
    text += b" " * (-len(text) % 8)
    text = _sealed(text, hashlib.sha256(text).hexdigest())
    written = hashlib.sha256()
    with atomic_write(path, keep=keep) as file:
        for part in (len(text).to_bytes(_LENGTH_BYTES, "little"), text, *(each.data for each in ordered)):
            file.write(part)
            written.update(part)
        file.flush()
        file.seek(0)
        if hashlib.file_digest(file, "sha256").digest() != written.digest():  # pyright: ignore[reportArgumentType]
            raise OSError(errno.EIO, "what was written reads otherwise", str(path))


def _sealed(text: bytes, digest: str) -> bytes:
    """Return a header with its seal, which stands where it first stood open."""
    mark = f'"{_SEAL}":"'.encode()
    return text.replace(mark + _NO_SEAL.encode(), mark + digest.encode(), 1)


def _check_seal(path: Path, text: bytes, metadata: Mapping[str, str]) -> bool:
    seal = metadata.get(_SEAL)
    if seal is None:
        return False
    mark = f'"{_SEAL}":"'.encode()
    opened = text.replace(mark + seal.encode(), mark + _NO_SEAL.encode(), 1)
    if hashlib.sha256(opened).hexdigest() != seal:
        raise WeightsError(
            f"{path} is damaged: its header is not the one that was written", hint="copy or download it again"
        )
    return True


def read_header(path: Path) -> Header:
    """Read the head of a safetensors file. Raises WeightsError saying what the file is instead.

    The header must describe every byte of the file, each once.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):  # reading it might never end
            raise WeightsError(f"{path} is a pipe or a device, not a weights file")
        size = found.st_size
        with path.open("rb") as file:
            start = file.read(32)
            length = int.from_bytes(start[:_LENGTH_BYTES], "little")
            _refuse_foreign(path, start, size, length)
            file.seek(_LENGTH_BYTES)
            text = file.read(length)
    except IsADirectoryError:
        raise WeightsError(f"{path} is a folder, not a weights file") from None
    except FileNotFoundError:
        raise WeightsError(f"there is no file {path}") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # such as a zero byte in its name
        raise WeightsError(f"{str(path)!r} cannot be the name of a file: {error}") from None
    head = _parse(path, text)
    metadata = head.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise WeightsError(f"{path} is damaged: its metadata is not a table of texts")
    told = cast("dict[str, str]", metadata)
    sealed = _check_seal(path, text, told)
    header = Header(head, told, _LENGTH_BYTES + length, size, sealed)
    _check_extent(path, header)
    return header


def _refuse_foreign(path: Path, start: bytes, size: int, length: int) -> None:
    if size == 0:
        raise WeightsError(f"{path} is empty")
    for magic, what in _FOREIGN:
        if start.lower().startswith(magic.lower()) and (magic != b"\x80" or length > size):
            raise WeightsError(f"{path} is {what}")
    if size < _LENGTH_BYTES + 2 or length > _MAX_HEADER:
        raise WeightsError(f"{path} is not a safetensors file")
    if _LENGTH_BYTES + length > size:
        what = (
            "is cut short"
            if start[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"
            else "is not a safetensors file"
        )
        raise WeightsError(f"{path} {what}", hint="copy or download it again")


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        head = parse_json(text.decode())
    except ValueError as error:
        if "repeated" in str(error):
            raise WeightsError(f"{path} is damaged: its header repeats a key") from None
        raise WeightsError(f"{path} is not a safetensors file: its header is not JSON") from None
    if not isinstance(head, dict):
        raise WeightsError(f"{path} is not a safetensors file: its header is not a table")
    return cast("dict[str, Any]", head)


def _check_extent(path: Path, header: Header) -> None:
    """Refuse a file whose tensors do not lie one after the other from its header to its end."""
    places: list[tuple[int, int, str]] = []
    for name, tensor in header.tensors.items():
        try:
            start, stop = tensor["data_offsets"]
            numbers = [start, stop, *tensor["shape"]]
            if not isinstance(tensor["dtype"], str) or not all(type(n) is int and n >= 0 for n in numbers):
                raise TypeError
        except (KeyError, TypeError, ValueError):
            raise WeightsError(f"{path} is damaged: the header's entry for {name!r} is malformed") from None
        if tensor["dtype"] not in _WIDTHS:
            raise WeightsError(
                f"{path}: {name!r} is of the type {tensor['dtype']!r}, which zoo does not know"
            )
        if stop - start != _WIDTHS[tensor["dtype"]] * _product(tensor["shape"], at_most=header.size):
            raise WeightsError(f"{path} is damaged: the shape of {name!r} is not that of its bytes")
        places.append((start, stop, name))
    end = 0
    for start, stop, name in sorted(places):
        if start != end:
            what = "overlaps another" if start < end else "leaves bytes before it that no tensor has"
            raise WeightsError(f"{path} is damaged: {name!r} {what}")
        end = stop
    held = header.size - header.data_start
    if end != held:
        what = "is cut short" if held < end else "has bytes after its end"
        told = f"{path} {what}: the header promises {end:,} bytes of tensors, the file holds {held:,}"
        raise WeightsError(told, hint="copy or download it again")


def _product(shape: Sequence[int], *, at_most: int) -> int:
    """Return how many numbers a shape has, or -1 for more than `at_most`."""
    if 0 in shape:
        return 0
    count = 1
    for length in shape:
        count *= length
        if count > at_most:
            return -1
    return count


def _width(tensor: Tensor) -> int:
    return _WIDTHS[tensor.dtype] if tensor.data.nbytes else 0
