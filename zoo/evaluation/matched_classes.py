"""Match the labels of the user's own data with a model's by name, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.processors import matched_labels

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
        hint += " (for your own images, with --data classes=OLD=NEW)"
        raise DataError(f"the model has no class{'es' * (len(unknown) > 1)} {named}{more}", hint=hint)
    numbers = [number for number in found.values() if number is not None]
    if len({*numbers}) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        both = " and ".join(repr(name) for name, number in found.items() if number == twice)
        raise DataError(f"the classes {both} in the data match the same class of the model, {ours[twice]!r}")
    return numbers


class Renumbered:
    """A split whose labels are replaced by a model's; see `zoo.plugin.ItemTask.renumbered`.

    Attributes:
        labels: the new labels, if the split has a tensor `labels`; otherwise None.
    """

    def __init__(self, split: Any, numbers: Tensor, count: int) -> None:
        self._split, self._numbers, self._count = split, numbers, count
        labels = getattr(split, "labels", None)
        self.labels = self._renumber(labels) if isinstance(labels, Tensor) else None

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> tuple[Any, int | Tensor]:
        item, label = self._split[index]
        found = self._renumber(torch.as_tensor(label)[None])[0]
        return item, found if found.ndim else int(found)

    def _renumber(self, labels: Tensor) -> Tensor:
        """Renumber labels (N,), or rows (N, K)."""
        if labels.ndim == 1:
            return self._numbers[labels.long()]
        return labels.new_zeros(len(labels), self._count).index_copy_(1, self._numbers, labels)
