"""A dataset with some of its parts replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch

from zoo.errors import DataError
from zoo.files.cards import Card
from zoo.interfaces import Dataset, Split


def normalized_as(dataset: Dataset, mean: Sequence[float], std: Sequence[float], *, what: str) -> Dataset:
    """Return a view of images, normalized with a different mean and standard deviation per channel.

    Raises DataError if the images have a different number of channels; `what` describes the model that
    requires these statistics.
    """
    channels = len(dataset.preprocess["mean"])
    if channels != len(mean):
        raise DataError(f"{what} requires images with {len(mean)} channels, but the data has {channels}")
    return View(
        dims=dataset.dims,
        preprocess={**dataset.preprocess, "mean": [*mean], "std": [*std]},
        split=dataset.split,
        fingerprint=dataset.fingerprint,
    )


def of_items(items: Any, card: Card, *, fingerprint: str = "") -> View:
    """Return items as the test split of a dataset like the one that a card's model was trained on."""
    return View(
        dims=cast("Mapping[str, int]", card.arguments),
        preprocess=card.preprocess,
        split=lambda name: items if name == "test" else [],
        fingerprint=fingerprint,
    )


def as_tensors(item: Any) -> Any:
    """Convert the arrays of an item to tensors; an item may be a tuple."""
    if isinstance(item, tuple):
        return tuple(map(as_tensors, cast("tuple[Any, ...]", item)))
    return torch.from_numpy(item) if isinstance(item, np.ndarray) else item


class View(Dataset):
    """A dataset assembled from parts, usually parts of another dataset.

    Args:
        split: function that returns a split by name.
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
