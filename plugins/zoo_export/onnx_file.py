"""What an ONNX file says of itself, read without ONNX: a walk over its protobuf messages. Torch-free.

zoo's own files are sealed: their metadata holds the sha256 of the file, computed with that field zeroed, so
that damage is noticed before anything is run. Nothing here follows what a file names: one that keeps its
weights in other files is refused, since it could name any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Described", "NotOnnx", "described", "sealed"]

_SEAL = "zoo_sha256"
_NO_SEAL = "0" * 64
# Fields of messages that hold other messages, by number; those of tensors that name other files
_INSIDE = {
    "model": {7: "graph", 8: "opset", 14: "text", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
}
_DEEPEST = 40
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class NotOnnx(Exception):
    """The bytes are no ONNX model, or not one that zoo reads; the message says why."""


class Described(msgspec.Struct):
    """What a file says of itself.

    Attributes:
        texts: its metadata.
        opset: the version of the operators that it uses; 0 if it does not say.
        seal: where the sha256 of the file is in it; None if it has none.
    """

    texts: dict[str, str]
    opset: int = 0
    graphs: int = 0
    seal: tuple[int, int] | None = None


def described(content: bytes) -> Described:
    """Return what a file says of itself. Raises NotOnnx."""
    found = Described({})
    try:
        _walk(content, 0, len(content), "model", found, 0)
    except (IndexError, UnicodeDecodeError):
        raise NotOnnx("it is not an ONNX model, or cut off") from None
    if found.graphs == 0:
        raise NotOnnx("it is not an ONNX model")
    if found.seal is not None and found.texts[_SEAL] != _digest(content, found.seal):
        raise NotOnnx("its content is not what was written")
    return found


def sealed(proto: ModelProto) -> bytes:
    """Return the bytes of a model, sealed."""
    proto.metadata_props.add(key=_SEAL, value=_NO_SEAL)
    content = proto.SerializeToString(deterministic=True)
    found = Described({})
    _walk(content, 0, len(content), "model", found, 0)
    assert found.seal is not None
    start, end = found.seal
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[end:]


def _digest(content: bytes, seal: tuple[int, int]) -> str:
    digest = hashlib.sha256(memoryview(content)[: seal[0]])
    digest.update(_NO_SEAL.encode())
    digest.update(memoryview(content)[seal[1] :])
    return digest.hexdigest()


def _walk(content: bytes, start: int, end: int, kind: str, found: Described, depth: int) -> None:
    """Note what a message says, and those inside it. Raises NotOnnx, or IndexError where it is cut off."""
    if depth > _DEEPEST:
        raise NotOnnx("its graphs are nested too deeply")
    if kind == "text":
        _note(content, start, end, found)
        return
    for number, wire, first, last in _fields(content, start, end):
        inner = _INSIDE.get(kind, {}).get(number)
        if inner == "external":
            raise NotOnnx("it keeps weights in other files, which zoo does not open")
        if kind == "opset" and number == 2 and wire == _VARINT:
            found.opset = max(found.opset, first)
        if inner and wire == _LENGTH:
            found.graphs += inner == "graph"
            _walk(content, first, last, inner, found, depth + 1)


def _note(content: bytes, start: int, end: int, found: Described) -> None:
    """Note a text of the metadata: its key and its value."""
    parts = {number: (first, last) for number, wire, first, last in _fields(content, start, end) if wire == 2}
    key, value = (content[slice(*parts.get(n, (0, 0)))].decode() for n in (1, 2))
    if key in found.texts:
        raise NotOnnx("its metadata says something twice")
    found.texts[key] = value
    if key == _SEAL:
        found.seal = parts.get(2, (0, 0))


def _fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type and place of each field; a varint's value instead of its place."""
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
    """Return a number and where the next field begins. Raises IndexError where it is cut off."""
    value = shift = 0
    while True:
        if at >= end or shift > 63:
            raise IndexError
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
