"""An array of bytes, memory-mapped from a file in the cache that is verified once.

Facts that are slow to compute, such as the mean of each channel, are stored beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import torch
from torch import Tensor

from zoo import DataError
from zoo.plugin import cache_home, is_verifying, made_once, mapped, private, remembered, sha256_of

__all__ = ["ARRAY", "Kept", "add_checksum", "kept", "kept_array", "kept_fact", "known_fact", "write_fact"]

ARRAY = "pixels.bin"
T = TypeVar("T")


class Kept(NamedTuple):
    """An array of bytes and its cache folder; the folder is None if the array is only in memory."""

    content: Tensor
    home: Path | None

    def fact(self, name: str, compute: Callable[[], T], kind: type[T]) -> T:
        """Return a fact about the array; see `kept_fact`."""
        return compute() if self.home is None else kept_fact(self.home / name, compute, kind)


def kept(place: str, source: object, make: Callable[[], Tensor], *, what: str) -> Kept:
    """Return an array of bytes from the cache, making and storing it first if necessary.

    If it cannot be stored, because the disk is full or the cache is not writable, it is kept only in
    memory.

    Args:
        place: the folder inside the cache, such as `decoded/mnist`.
        source: everything that determines the array; its repr is hashed into the name of the folder.
        make: returns the array, uint8 (N,).
        what: the content of the array, for messages.
    """
    made: list[Tensor] = []

    def write(folder: Path) -> None:
        made[:] = [make()]
        with open(folder / ARRAY, "wb", opener=private) as file:
            file.write(made[0].numpy().data)
        add_checksum(folder)

    try:
        home = cache_home() / place / hashlib.sha256(repr(source).encode()).hexdigest()[:32]
        return Kept(made_once(home, write, kept_array, what=what), home)
    except DataError:  # if it is of `make`, it comes again
        return Kept(made[0] if made else make(), None)


def add_checksum(folder: Path) -> None:
    """Write `pixels.bin` to the disk, and its sha256 beside it."""
    handle = os.open(folder / ARRAY, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    with open(folder / "sha256", "w", encoding="ascii", opener=private) as file:
        file.write(sha256_of(folder / ARRAY))


def kept_array(folder: Path) -> Tensor | None:
    """Return `pixels.bin`, uint8 (N,), or None if it is missing or damaged.

    The array may be larger than memory, and processes share the parts that they have read.
    """
    try:
        wanted = (folder / "sha256").read_text(encoding="ascii")
        content = mapped(folder / ARRAY)
    except (OSError, ValueError):  # missing, or empty
        return None
    with remembered([folder / ARRAY]) as known:
        if known.of(folder / ARRAY, final=True) != wanted:
            return None
    return torch.frombuffer(content, dtype=torch.uint8)


def kept_fact(path: Path, compute: Callable[[], T], kind: type[T]) -> T:
    """Return the content of a file beside an array.

    The content is computed if the file is missing or damaged, or must be verified.
    """
    if not is_verifying() and (known := known_fact(path, kind)) is not None:
        return known
    found = compute()
    with contextlib.suppress(OSError):
        write_fact(path, found)
    return found


def write_fact(path: Path, fact: object) -> None:
    """Write a fact to a file, preceded by its sha256. Raises OSError."""
    content = msgspec.json.encode(fact)
    with open(path, "wb", opener=private) as file:
        file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def known_fact(path: Path, kind: type[T]) -> T | None:
    """Return the content that follows the sha256 in a file; None if the file is missing or damaged."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        sha256, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() == sha256:
            return msgspec.json.decode(content, type=kind)
    return None
