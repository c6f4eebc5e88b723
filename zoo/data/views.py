"""A dataset seen through somebody else's eyes: some of its parts replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zoo.interfaces import Dataset, Split

__all__ = ["View"]


class View(Dataset):
    """A dataset made of parts, usually those of another dataset.

    Args:
        split: returns a split by name.
    """

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        preprocess: Mapping[str, Any],
        split: Callable[[Split], Any],
        fingerprint: str = "",
    ) -> None:
        self._dims = dims
        self._preprocess = preprocess
        self._split = split
        self._fingerprint = fingerprint

    @property
    def dims(self) -> Mapping[str, int]:
        return self._dims

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return self._preprocess

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def split(self, name: Split) -> Any:
        return self._split(name)
