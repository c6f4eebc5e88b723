"""Weights, cards and archives forged by hand. Each must be refused in one sentence."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from zoo.files.canonical import canonical_json
from zoo.files.container import StoredTensor, tensor_sha256, write_container

WITNESS = Path(f"/tmp/zoo-was-here-{os.getpid()}")
"""Written by what runs a command hidden in one of these files; another run of the tests has its own."""


def container(header: Any, data: bytes = b"") -> bytes:
    """Return a safetensors file, whatever its header says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start: int, stop: int, **changes: Any) -> dict[str, Any]:
    """Return what a header says of a tensor of bytes."""
    return {"dtype": "U8", "shape": [stop - start], "data_offsets": [start, stop]} | changes


class _RunsACommand:
    """Its pickle runs a command when it is opened."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {WITNESS}",)


def _zip(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, content)
    return made.getvalue()


EVIL = pickle.dumps(_RunsACommand())
_SPACES = b" " * 33_000_000

FILES: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "eight zero bytes": b"\0" * 8,
    "a length of 2 ** 64 - 1": b"\xff" * 64,
    "a length beyond the end": struct.pack("<Q", 1_000) + b"{}",
    "a length of 2 ** 63": struct.pack("<Q", 1 << 63) + b"{}",
    "a pickle that runs a command": EVIL,
    "a pickle of protocol 0": f"cos\nsystem\n(S'touch {WITNESS}'\ntR.".encode(),
    "torch.save's zip": _zip("archive/data.pkl", EVIL),
    "numpy's npz": _zip("x.npy", b"\x93NUMPY\x01\x00"),
    "numpy's npy of objects": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "a gzip file": gzip.compress(EVIL),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    "a web page": b"<!DOCTYPE html><html><body>not found</body></html>",
    "an error as JSON": b'{"error": "Repository not found", "status": 404}',
    "a header of 33 MB": container(b"{" + _SPACES + b"}"),
    "a header that is a list": container([1, 2, 3]),
    "a header that is a number": container(7),
    "a header in UTF-16": container("{}".encode("utf-16")),
    "a header that is not UTF-8": container(b'{"\xff": {}}'),
    "a header nested 100,000 levels deep": container(b"[" * 100_000),
    "a header that repeats a key": container(b'{"a": {}, "a": {}}'),
    "a header with NaN": container(b'{"a": {"dtype": "U8", "shape": [NaN], "data_offsets": [0, 0]}}'),
    "half a surrogate pair as a name": container(
        b'{"\\ud800": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}'
    ),
    "metadata that is a number": container({"__metadata__": 3}),
    "metadata of numbers": container({"__metadata__": {"zoo": 3}}),
    "tensors that overlap": container({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)),
    "two tensors in one place": container({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)),
    "a hole between tensors": container({"a": entry(0, 2), "b": entry(4, 6)}, bytes(6)),
    "bytes after the last tensor": container({"a": entry(0, 4)}, bytes(5)),
    "fewer bytes than announced": container({"a": entry(0, 4)}, bytes(3)),
    "offsets in reverse": container({"a": entry(0, 4, data_offsets=[4, 0])}, bytes(4)),
    "negative offsets": container({"a": entry(0, 4, data_offsets=[-4, 0])}),
    "offsets that are text": container({"a": entry(0, 4, data_offsets=["0", "4"])}, bytes(4)),
    "a negative shape": container({"a": entry(0, 4, shape=[-4])}, bytes(4)),
    "a shape that overflows": container({"a": entry(0, 4, shape=[1 << 40, 1 << 40])}, bytes(4)),
    "a shape of a million dimensions": container({"a": entry(0, 4, shape=[2] * 1_000_000)}, bytes(4)),
    "an unknown dtype": container({"a": entry(0, 4, dtype="PICKLE")}, bytes(4)),
    "no card": container({"__metadata__": {"format": "pt"}, "a": entry(0, 4)}, bytes(4)),
    "a card that is not JSON": container({"__metadata__": {"zoo": "{"}}),
    "a card that is a list": container({"__metadata__": {"zoo": "[]"}}),
}
"""Refused by `zoo inspect`, `zoo eval` and `zoo sample` alike."""

Change = Callable[[dict[str, Any], list[StoredTensor]], None]


def _arguments(**changes: Any) -> Change:
    return lambda card, tensors: card["arguments"].update(changes)


def _feeding(**changes: Any) -> Change:
    return lambda card, tensors: card["preprocess"].update(changes)


def _field(**changes: Any) -> Change:
    return lambda card, tensors: card.update(changes)


def _first_value(value: bytes) -> Change:
    def change(card: dict[str, Any], tensors: list[StoredTensor]) -> None:
        data = bytearray(tensors[0].data)
        data[:4] = value
        tensors[0] = replace(tensors[0], data=memoryview(data))

    return change


def _renamed(card: dict[str, Any], tensors: list[StoredTensor]) -> None:
    tensors[0] = replace(tensors[0], name="../../etc/passwd")


def _reshaped(card: dict[str, Any], tensors: list[StoredTensor]) -> None:
    tensors[0] = replace(tensors[0], shape=tuple(reversed(tensors[0].shape)))


CARDS: dict[str, Change] = {
    "an unknown field": _field(run=f"touch {WITNESS}"),
    "a schema from the future": _field(schema=99),
    "no schema": _field(schema=None),
    "a plugin that is not installed": _field(architecture="acme/net"),
    "an architecture that is a path": _field(architecture="os:system"),
    "another architecture": _field(architecture="charrnn/gru"),
    "another task": _field(task="classification"),
    "an argument that does not exist": _arguments(_target="os.system"),
    "a width of 10 ** 9": _arguments(hidden_size=10**9),
    "a width of 10 ** 30": _arguments(hidden_size=10**30),
    "10 ** 9 layers": _arguments(num_layers=10**9),
    "a negative width": _arguments(hidden_size=-1),
    "a width that is text": _arguments(hidden_size="8"),
    "a width that is a list": _arguments(hidden_size=[8]),
    "a vocabulary of one": _feeding(vocabulary=["a"]),
    "a vocabulary of numbers": _feeding(vocabulary=[1, 2]),
    "more specials than tokens": _feeding(specials=10**6),
    "a tie to nowhere": _field(tied={"out.weight": "nowhere"}),
    "a tie to itself": _field(tied={"nowhere": "nowhere"}),
    "a weight that is NaN": _first_value(struct.pack("<f", float("nan"))),
    "a weight that is infinite": _first_value(struct.pack("<f", float("inf"))),
    "a tensor named like a path": _renamed,
    "a tensor of another shape": _reshaped,
}
"""Changes to an intact file whose hashes match again. Refused by `zoo eval` and `zoo sample` alike."""


def write_forged(path: Path, card: dict[str, Any], tensors: list[StoredTensor]) -> None:
    """Write a file whose hashes match, whatever its card says."""
    text = canonical_json(card | {"sha256": tensor_sha256(tensors)})
    write_container(path, tensors, {"format": "pt", "zoo": text})


def _tar(*members: tuple[str, bytes, dict[str, Any]], packed: bool = True) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz" if packed else "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content, fields in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def _bomb() -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 35
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(40 << 20), compresslevel=1)


def _negative() -> bytes:
    whole = bytearray(_tar(("a.bin", b"x", {}), packed=False))
    whole[124:136] = b"\xff" * 11 + b"\x00"  # a size below zero, in base 256
    whole[148:156] = b"%06o\0 " % (sum(whole[:148]) + 8 * 32 + sum(whole[156:512]))
    return bytes(whole)


ARCHIVES: dict[str, bytes] = {
    "a member above the folder": _tar(("../../../evil", b"evil", {})),
    "a member with an absolute path": _tar((str(WITNESS), b"evil", {})),
    "a symbolic link with the right name": _tar(
        ("a.bin", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})
    ),
    "a hard link": _tar(("a.bin", b"", {"type": tarfile.LNKTYPE, "linkname": "../../../evil"})),
    "a chain of links": _tar(
        ("x", b"", {"type": tarfile.SYMTYPE, "linkname": ".."}),
        ("x/y", b"", {"type": tarfile.SYMTYPE, "linkname": "../.."}),
        ("x/y/evil", b"evil", {}),
    ),
    "a device": _tar(("a.bin", b"", {"type": tarfile.CHRTYPE})),
    "a pipe": _tar(("a.bin", b"", {"type": tarfile.FIFOTYPE})),
    "a folder with the right name": _tar(("a.bin", b"", {"type": tarfile.DIRTYPE})),
    "the wrong content": _tar(("a.bin", b"evil", {})),
    "the wrong content before the right one": _tar(("a.bin", b"evil", {}), ("x/a.bin", b"thus spoke", {})),
    "a name longer than PATH_MAX": _tar(("a" * 5_000, b"evil", {})),
    "an endless header": _bomb(),
    "a size below zero": _negative(),
    "a truncated archive": _tar(("a.bin", bytes(1_000), {}))[:60],
    "a web page instead of an archive": b"<!DOCTYPE html>" + bytes(1_000),
    "an empty file": b"",
    "40 MB of zeros where 10 MB are allowed": _tar(
        ("zeros", bytes(40_000_000), {}), ("a.bin", b"thus spoke", {})
    ),
}
"""Refused by `tar_members` that wants `a.bin` with the sha256 of `thus spoke`."""
