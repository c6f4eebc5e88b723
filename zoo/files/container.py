"""The safetensors container: equal content produces equal bytes, and no file is trusted. Torch-free.

safetensors' writer shuffles the metadata and creates files that only their owner can read, so this module
writes files itself. They are read by safetensors' deserializer, which rejects a header that does not describe
every byte.

Each container has a checksum: its metadata holds a sha256 of its header, computed with that field zeroed, so
a flipped bit in the metadata is detected, just like one in the tensors.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import safetensors

from zoo.errors import WeightsError, first_line
from zoo.files.atomic import atomic_write
from zoo.files.canonical import canonical_json, parse_json
from zoo.files.downloads import require_sha256
from zoo.files.regular import open_regular

# Bytes of a header, and marks of JSON in it, which bound the objects that it becomes: enough for checkpoints
# of tens of thousands of epochs, or of a hundred thousand tensors.
_MAX_HEADER = 32_000_000
_MAX_MARKS = 1_000_000
_LENGTH_BYTES = 8
_AGAIN = "copy or download it again"
_EXPECTED = "expected an id from `zoo list weights`, a run directory, or a .safetensors file"
_CHECKSUM = "header_sha256"
_NO_CHECKSUM = "0" * 64
# Bytes per number of each dtype that zoo stores
_WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4,
    "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
_FOREIGN = (
    (
        b"PK\x03\x04",
        "a zip archive: a pickle of torch.save, which only `zoo import` opens, or a file of a missing plugin",
    ),
    (b"\x80", "a pickle, which only `zoo import` opens"),
    (b"\x08", "an ONNX file, which supports only predict, embed, sample, eval, inspect and serve"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"<!DOCTYPE", "a web page, not weights"),
    (b"<html", "a web page, not weights"),
    (b"\x1f\x8b", "a gzip archive"),
)


class StoredTensor(msgspec.Struct, frozen=True):
    """One tensor as bytes: its name, safetensors dtype (`F32`), shape and buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    @property
    def numel(self) -> int:
        """The number of elements."""
        return self.data.nbytes // _WIDTHS[self.dtype]


class Container(msgspec.Struct, frozen=True):
    """The content of a safetensors file.

    Attributes:
        size: size of the whole file in bytes.
        tensor_sha256: sha256 of the bytes of all tensors.
        has_checksum: whether the header holds its own sha256 (a wrong sha256 is rejected).
    """

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]
    size: int
    tensor_sha256: str
    has_checksum: bool


def _layout(tensors: Sequence[StoredTensor]) -> list[StoredTensor]:
    """Return tensors in file order: wide dtypes first, so each tensor starts at a multiple of its width."""
    return sorted(tensors, key=lambda each: (-_WIDTHS[each.dtype] if each.data.nbytes else 0, each.name))


def tensor_sha256(tensors: Sequence[StoredTensor]) -> str:
    """Return the sha256 of the data section of these tensors."""
    digest = hashlib.sha256()
    for tensor in _layout(tensors):
        digest.update(tensor.data)
    return digest.hexdigest()


def write_container(
    path: Path,
    tensors: Sequence[StoredTensor],
    metadata: Mapping[str, str],
    *,
    keep: Path | None = None,
    folder: int | None = None,
) -> None:
    """Write a safetensors file in one atomic step; equal arguments produce equal bytes.

    The file is read back and verified before it is moved to `path`.

    Args:
        keep: path to which an existing file at `path` is moved.
        folder: as in `atomic_write`.

    Raises:
        OSError: the file cannot be written, or its content is different when it is read back.
    """
    ordered = _layout(tensors)
    head: dict[str, Any] = {"__metadata__": {**metadata, _CHECKSUM: _NO_CHECKSUM}}
    offset = 0
    for tensor in ordered:
        end = offset + tensor.data.nbytes
        head[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    text = canonical_json(head).encode()
    text += b" " * (-len(text) % 8)
    text = _with_checksum(text, _NO_CHECKSUM, hashlib.sha256(text).hexdigest())
    written = hashlib.sha256()
    with atomic_write(path, keep=keep, folder=folder) as file:
        for part in (len(text).to_bytes(_LENGTH_BYTES, "little"), text, *(tensor.data for tensor in ordered)):
            file.write(part)
            written.update(part)
        file.flush()
        file.seek(0)
        if hashlib.file_digest(file, "sha256").digest() != written.digest():  # pyright: ignore[reportArgumentType]
            raise OSError(errno.EIO, "the file does not contain the bytes that were written", str(path))


def read_container(path: Path, *, sha256: str = "") -> Container:
    """Read a safetensors file in a single pass. The header is checked before anything else is read.

    Args:
        sha256: the sha256 that the file must match, if it is pinned.

    Raises:
        WeightsError: the file is missing, unreadable, damaged or of a different type, as the message
            explains.
        DataError: the file does not match `sha256`.
    """
    data = _read(path)
    if sha256:
        require_sha256(path, hashlib.sha256(data).hexdigest(), sha256)
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        stored = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise damaged(path, first_line(error).removeprefix("Error while deserializing: ")) from None
    metadata = _metadata(path, data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    tensors: dict[str, StoredTensor] = {}
    for name, entry in stored:
        if entry["dtype"] not in _WIDTHS:
            raise WeightsError(f"{path}: {name!r} has dtype {entry['dtype']}, which zoo does not support")
        shape = tuple(entry["shape"])
        tensors[name] = StoredTensor(name, entry["dtype"], shape, memoryview(entry["data"]))
    digest = hashlib.sha256(memoryview(data)[_LENGTH_BYTES + length :]).hexdigest()
    return Container(tensors, metadata, len(data), digest, has_checksum=_CHECKSUM in metadata)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file of any size quickly: its header is checked, and its tensors are not read.

    Raises WeightsError, as `read_container` does.
    """
    return _metadata(path, _read(path, only_header=True)[_LENGTH_BYTES:])


def importing(path: Path) -> str:
    """Return the hint for a file that another program wrote."""
    return f"`zoo import {shlex.quote(str(path))} --architecture NAME` converts it to a weights file"


def damaged(path: Path, what: str) -> WeightsError:
    """Return the error for a file whose content differs from what was written."""
    return WeightsError(f"{path} is damaged: {what}", hint=_AGAIN)


def _metadata(path: Path, text: bytes) -> dict[str, str]:
    """Return the metadata in the text of a header, which must match its checksum if it has one."""
    try:
        metadata = msgspec.convert(_parsed(path, text).get("__metadata__", {}), dict[str, str])
    except msgspec.ValidationError:
        raise damaged(path, "its metadata is not text") from None
    checksum = metadata.get(_CHECKSUM)
    if (
        checksum is not None
        and hashlib.sha256(_with_checksum(text, checksum, _NO_CHECKSUM)).hexdigest() != checksum
    ):
        raise damaged(path, "its header does not match its checksum")
    return metadata


def _read(path: Path, *, only_header: bool = False) -> bytes:
    """Return the bytes of a file. They are read only if the header describes all of them."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size  # of the very file that is read
            start = file.read(32)
            length = int.from_bytes(start[:_LENGTH_BYTES], "little")
            _refuse_foreign(path, start, size, length)
            file.seek(_LENGTH_BYTES)
            if _end(_parsed(path, file.read(length))) != size - _LENGTH_BYTES - length:
                raise damaged(path, "its size does not match its header")
            file.seek(0)
            return file.read(_LENGTH_BYTES + length if only_header else size)
    except FileNotFoundError:
        raise WeightsError(f"no such file: {path}") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
    except MemoryError:
        raise WeightsError(f"{path} does not fit in memory") from None


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    if sum(map(text.count, (b",", b"[", b"{"))) > _MAX_MARKS:
        raise damaged(path, "its header has too many values")
    try:
        return parse_json(text.decode())
    except ValueError as error:
        raise damaged(path, first_line(error)) from None


def _end(head: Mapping[str, Any]) -> Any:
    """Return the offset where the last tensor ends; None if the header does not describe tensors."""
    try:
        return max((head[name]["data_offsets"][1] for name in head if name != "__metadata__"), default=0)
    except (TypeError, KeyError, IndexError):
        return None


def _with_checksum(text: bytes, before: str, after: str) -> bytes:
    """Return a header with a different checksum."""
    mark = f'"{_CHECKSUM}":"'.encode()
    return text.replace(mark + before.encode(), mark + after.encode(), 1)


def _refuse_foreign(path: Path, start: bytes, size: int, length: int) -> None:
    if size == 0:
        raise WeightsError(f"{path} is empty")
    for magic, what in _FOREIGN:
        if start.lower().startswith(magic.lower()) and (len(magic) > 1 or length > size):
            raise WeightsError(f"{path} is {what}", hint=importing(path) if "pickle" in what else _EXPECTED)
    if size < _LENGTH_BYTES + 2 or not 2 <= length <= _MAX_HEADER:
        raise WeightsError(f"{path} is not a safetensors file", hint=_EXPECTED)
    if _LENGTH_BYTES + length > size:
        is_header = start[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"
        what = "is truncated" if is_header else "is not a safetensors file"
        raise WeightsError(f"{path} {what}", hint=_AGAIN if is_header else _EXPECTED)
