"""An array of bytes from the cache, and facts about it that are slow to compute, such as its mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import torch
from torch import Tensor

from zoo import DataError
from zoo.plugin import cached_files

ARRAY = "pixels.bin"
_FACT = "fact.json"
T = TypeVar("T")


class Kept(NamedTuple):
    """An array of bytes.

    Attributes:
        content: uint8 (N,), which may be memory-mapped.
        place: the folder in the cache, such as `decoded/mnist`.
        source: everything that determines the array.
    """

    content: Tensor
    place: str
    source: object

    def fact(self, name: str, compute: Callable[[], T], kind: type[T]) -> T:
        """Return a fact about the array; see `kept_fact`."""
        return kept_fact(self.place, (name, self.source), compute, kind)


def kept(place: str, source: object, make: Callable[[], Tensor], *, what: str) -> Kept:
    """Return an array of bytes from the cache, making and storing it first if necessary.

    If it cannot be stored, because the disk is full or the cache is not writable, it is kept only in
    memory.

    Args:
        place: the folder in the cache, such as `decoded/mnist`.
        source: everything that determines the array.
        make: returns the array, uint8 (N,).
        what: the content of the array, for messages.
    """
    made: list[Tensor] = []

    def write(folder: Path) -> None:
        made[:] = [make()]
        (folder / ARRAY).write_bytes(made[0].numpy().data)

    try:
        stored = cached_files(place, source, write, what=what)
    except DataError:  # if it is of `make`, it comes again
        return Kept(made[0] if made else make(), place, source)
    return Kept(torch.frombuffer(stored[ARRAY], dtype=torch.uint8), place, source)


def kept_fact(place: str, source: object, compute: Callable[[], T], kind: type[T]) -> T:
    """Return a fact from the cache, computing and storing it, if possible, first.

    Args:
        place: the folder in the cache.
        source: everything that determines the fact.
    """
    made: list[T] = []

    def write(folder: Path) -> None:
        made[:] = [compute()]
        (folder / _FACT).write_bytes(msgspec.json.encode(made[0]))

    try:
        stored = cached_files(place, source, write, what="a fact about the images")
    except DataError:
        return made[0] if made else compute()
    return msgspec.json.decode(stored[_FACT], type=kind)
