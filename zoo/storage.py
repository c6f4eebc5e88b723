"""Files that are whole or absent, and the safetensors container. Torch-free.

The order that survives a power cut: write a temporary file in the same folder, flush, fsync, rename,
fsync the folder. The container is written by hand so that equal content gives equal bytes: the stock
writer shuffles its metadata, and makes files that only their owner can read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
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
    "read_header",
    "tensor_sha256",
    "write_container",
]

_MAX_HEADER = 100_000_000
_LENGTH_BYTES = 8
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


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@contextlib.contextmanager
def atomic_write(path: Path) -> Generator[IO[bytes]]:
    """Open a temporary file that becomes `path` when the block ends well, and vanishes otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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


def write_container(path: Path, tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file in one atomic step; equal arguments give equal bytes."""
    ordered = layout(tensors)
    head: dict[str, Any] = {"__metadata__": dict(metadata)}
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
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little"))
        file.write(text)
        for tensor in ordered:
            file.write(tensor.data)


def read_header(path: Path) -> Header:
    """Read the head of a safetensors file. Raises WeightsError saying what the file is instead."""
    try:
        size = path.stat().st_size
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
    head = _parse(path, text)
    metadata = head.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise WeightsError(f"{path} is damaged: its metadata is not a table")
    header = Header(head, cast("dict[str, str]", metadata), _LENGTH_BYTES + length, size)
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
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise WeightsError(f"{path} is damaged: its header repeats a key")
        return table

    try:
        head = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise WeightsError(f"{path} is not a safetensors file: its header is not JSON") from None
    if not isinstance(head, dict):
        raise WeightsError(f"{path} is not a safetensors file: its header is not a table")
    return cast("dict[str, Any]", head)


def _check_extent(path: Path, header: Header) -> None:
    end = 0
    for name, tensor in header.tensors.items():
        try:
            _, stop = map(int, tensor["data_offsets"])
            if not isinstance(tensor["dtype"], str) or not all(isinstance(n, int) for n in tensor["shape"]):
                raise TypeError
        except (KeyError, TypeError, ValueError):
            raise WeightsError(f"{path} is damaged: the header's entry for {name!r} is malformed") from None
        end = max(end, stop)
    held = header.size - header.data_start
    if end != held:
        what = "is cut short" if held < end else "has bytes after its end"
        told = f"{path} {what}: the header promises {end:,} bytes of tensors, the file holds {held:,}"
        raise WeightsError(told, hint="copy or download it again")


def _width(tensor: Tensor) -> int:
    count = 1
    for length in tensor.shape:
        count *= length
    return tensor.data.nbytes // count if count else 0
