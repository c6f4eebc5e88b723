"""Read the metadata of an ONNX file from its protobuf messages, without the onnx package. Torch-free.

Files that zoo writes have a checksum: their metadata contains the sha256 of the file, computed with that
field zeroed. Damage is therefore detected before anything runs. An ONNX file can refer to other files in many
places, and ONNX Runtime opens them. Therefore only the fields that an export writes are accepted, none of
which can refer to a file. Fields that later versions of ONNX add are rejected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from onnx import ModelProto

_CHECKSUM = "zoo_sha256"
_NO_CHECKSUM = "0" * 64
_DEEPEST = 40
# Fields and messages in all; a ResNet with 56 layers has 3,560
_MOST = 1_000_000
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

# The wire types of a field that holds a number, several (which may be packed), or bytes
_INT, _INTS = (_VARINT,), (_VARINT, _LENGTH)
_FLOAT, _FLOATS, _DOUBLES = (_FIXED32,), (_FIXED32, _LENGTH), (_FIXED64, _LENGTH)
_BYTES = (_LENGTH,)
# What each message may hold: by the number of a field its wire types, or the message inside. Refused with all
# the rest are functions, training, sparse tensors and tensors in other files.
FIELDS: dict[str, dict[int, tuple[int, ...] | str]] = {
    "ModelProto": {
        1: _INT, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _INT, 6: _BYTES,
        7: "GraphProto", 8: "OperatorSetIdProto", 14: "StringStringEntryProto",
    },
    "GraphProto": {
        1: "NodeProto", 2: _BYTES, 5: "TensorProto", 10: _BYTES, 11: "ValueInfoProto",
        12: "ValueInfoProto", 13: "ValueInfoProto", 16: "StringStringEntryProto",
    },
    "NodeProto": {
        1: _BYTES, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: "AttributeProto", 6: _BYTES, 7: _BYTES,
        9: "StringStringEntryProto",
    },
    "AttributeProto": {
        1: _BYTES, 2: _FLOAT, 3: _INT, 4: _BYTES, 5: "TensorProto", 6: "GraphProto", 7: _FLOATS, 8: _INTS,
        9: _BYTES, 10: "TensorProto", 11: "GraphProto", 13: _BYTES, 20: _INT,
    },
    "TensorProto": {
        1: _INTS, 2: _INT, 4: _FLOATS, 5: _INTS, 6: _BYTES, 7: _INTS, 8: _BYTES, 9: _BYTES, 10: _DOUBLES,
        11: _INTS, 12: _BYTES, 16: "StringStringEntryProto",
    },
    "ValueInfoProto": {1: _BYTES, 2: "TypeProto", 3: _BYTES, 4: "StringStringEntryProto"},
    "TypeProto": {1: "Tensor", 6: _BYTES},
    "Tensor": {1: _INT, 2: "TensorShapeProto"},
    "TensorShapeProto": {1: "Dimension"},
    "Dimension": {1: _INT, 2: _BYTES, 3: _BYTES},
    "OperatorSetIdProto": {1: _BYTES, 2: _INT},
    "StringStringEntryProto": {1: _BYTES, 2: _BYTES},
}  # fmt: skip


class NotOnnx(Exception):
    """The bytes are not an ONNX model, or not one that zoo supports; the message gives the reason."""


class Described(msgspec.Struct):
    """The metadata of a file.

    Attributes:
        texts: the entries of the metadata, by key.
        opset: the version of its operators; 0 if it is not stated.
        checksum: the position of the file's sha256; None if the file has no checksum.
    """

    texts: dict[str, str]
    opset: int = 0
    graphs: int = 0
    fields: int = 0
    checksum: tuple[int, int] | None = None


def described(content: bytes) -> Described:
    """Return the metadata of a file. Raises NotOnnx."""
    if content[4:8] == b"ORTM":  # ONNX Runtime would read it as a file of its own format
        raise NotOnnx("it is also an ORT file")
    found = Described({})
    try:
        _walk(content, 0, len(content), "ModelProto", found, 0)
    except (IndexError, UnicodeDecodeError):
        raise NotOnnx("it is not an ONNX model, or it is truncated") from None
    if found.graphs == 0:
        raise NotOnnx("it is not an ONNX model")
    if found.checksum is not None and found.texts[_CHECKSUM] != _digest(content, found.checksum):
        raise NotOnnx("its content does not match its checksum")
    return found


def with_checksum(proto: ModelProto) -> bytes:
    """Return the bytes of a model with a checksum."""
    proto.metadata_props.add(key=_CHECKSUM, value=_NO_CHECKSUM)
    content = proto.SerializeToString(deterministic=True)
    found = Described({})
    _walk(content, 0, len(content), "ModelProto", found, 0)
    assert found.checksum is not None
    start, end = found.checksum
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[end:]


def _digest(content: bytes, checksum: tuple[int, int]) -> str:
    digest = hashlib.sha256(memoryview(content)[: checksum[0]])
    digest.update(_NO_CHECKSUM.encode())
    digest.update(memoryview(content)[checksum[1] :])
    return digest.hexdigest()


def _walk(content: bytes, start: int, end: int, kind: str, found: Described, depth: int) -> None:
    """Read a message and the messages inside it. Raises NotOnnx, or IndexError if it is truncated."""
    if depth > _DEEPEST:
        raise NotOnnx("its graphs are nested too deeply")
    for number, wire, first, last in _fields(content, start, end):
        found.fields += 1
        if found.fields > _MOST:
            raise NotOnnx(f"it has more than {_MOST:,} fields")
        if kind == "TensorProto" and number in (13, 14):  # external_data, data_location
            raise NotOnnx("it stores weights in other files, which zoo does not open")
        known = FIELDS[kind].get(number, ())
        if wire not in (_BYTES if isinstance(known, str) else known):
            raise NotOnnx(
                f"it contains field {number} of {kind} (wire type {wire}), which zoo does not write"
            )
        if kind == "NodeProto" and number == 7 and first < last:
            raise NotOnnx("it uses operators that are not part of ONNX")
        if kind == "OperatorSetIdProto" and number == 2:
            found.opset = max(found.opset, first)
        if kind == "ModelProto" and number == 14:
            _note(content, first, last, found)
        if isinstance(known, str):
            found.graphs += known == "GraphProto"
            _walk(content, first, last, known, found, depth + 1)


def _note(content: bytes, start: int, end: int, found: Described) -> None:
    """Read an entry of the metadata: its key and its value."""
    parts = {number: (first, last) for number, wire, first, last in _fields(content, start, end) if wire == 2}
    key, value = (content[slice(*parts.get(n, (0, 0)))].decode() for n in (1, 2))
    if key in found.texts:
        raise NotOnnx("its metadata has a duplicate key")
    if key == "ort_config":
        raise NotOnnx("its metadata contains ONNX Runtime settings")
    found.texts[key] = value
    if key == _CHECKSUM:
        found.checksum = parts.get(2, (0, 0))


def _fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number, wire type and position of each field, or a varint's value instead of its position."""
    at = start
    while at < end:
        key, at = _varint(content, at, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(content, at, end)
            yield number, wire, value, 0
            continue
        if wire not in (_FIXED64, _FIXED32, _LENGTH) or number == 0:
            raise NotOnnx("it is not an ONNX model")
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire, 0)
        if wire == _LENGTH:
            size, at = _varint(content, at, end)
        if at + size > end:
            raise IndexError
        yield number, wire, at, at + size
        at += size


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number and the position of the next field. Raises IndexError if the file is truncated."""
    value = shift = 0
    while True:
        if at >= end or shift > 63:
            raise IndexError
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
