"""Match the classes of the user's own data with a model's by name, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo import DataError
from zoo.plugin import matched_labels
from zoo_images.file_split import FileSplit
from zoo_images.image_set import ImageSplit

# The most names in an error, and in its hint
_NAMED, _LISTED = 5, 20


def match_classes(theirs: Sequence[str], ours: Sequence[str]) -> list[int]:
    """Return the model's class index for each class of the data.

    If the model has no class with exactly that name, a class whose name differs only in case, spaces or
    punctuation is used if there is exactly one. Raises DataError if no class matches, or if two classes of
    the data match the same class.
    """
    found = dict(zip(theirs, matched_labels(theirs, ours), strict=True))
    if unknown := [name for name, number in found.items() if number is None]:
        named = " and ".join(map(repr, unknown[:_NAMED]))
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        free = [name for number, name in enumerate(ours) if number not in found.values()]
        listed = ", ".join(free[:_LISTED]) + ", ..." * (len(free) > _LISTED) or "none"
        hint = f"its classes that the data lacks: {listed}; rename a class of the data if it is one of them"
        raise DataError(f"the model has no class{'es' * (len(unknown) > 1)} {named}{more}", hint=hint)
    numbers = [number for number in found.values() if number is not None]
    if len({*numbers}) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        both = " and ".join(repr(name) for name, number in found.items() if number == twice)
        raise DataError(f"the classes {both} in the data match the same class of the model, {ours[twice]!r}")
    return numbers


def renumbered(images: Any, numbers: Sequence[int], count: int) -> Any:
    """Return a split whose labels are renumbered by `match_classes`, out of `count` classes."""
    table = torch.tensor(numbers)
    if not isinstance(images, ImageSplit | FileSplit):
        return _Renumbered(images, table, count)
    labels = _relabeled(images.labels, table, count)
    if isinstance(images, FileSplit):
        return FileSplit(images.files, labels, images.shape)
    return ImageSplit(images.images, labels, files=images.files)


class _Renumbered:
    """A wrapper around any map-style dataset of images and labels that renumbers the labels."""

    def __init__(self, images: Any, table: Tensor, count: int) -> None:
        self._images, self._table, self._count = images, table, count

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        image, label = self._images[index]
        found = _relabeled(torch.as_tensor(label)[None], self._table, self._count)[0]
        return image, found if found.ndim else int(found)


def _relabeled(labels: Tensor, table: Tensor, count: int) -> Tensor:
    """Renumber labels (N,), or multi-label rows (N, K), with a table, (K,)."""
    if labels.ndim == 1:
        return table[labels.long()]
    return labels.new_zeros(len(labels), count).index_copy_(1, table, labels)
