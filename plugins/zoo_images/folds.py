"""Folds of cross-validation, and shares of the training images for learning curves, stratified by class."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta

from zoo import DataError, OptionError, seed_for
from zoo.interfaces import Split

Fold = Annotated[int, Meta(ge=0, le=99)] | None
Folds = Annotated[int, Meta(ge=2, le=100)]
TrainShare = Annotated[float, Meta(gt=0, le=1)]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


def divided(
    splits: Mapping[Split, list[T]],
    label: Callable[[T], Any],
    seed: int,
    *,
    fold: Fold,
    folds: int,
    train_share: float,
) -> dict[Split, list[T]]:
    """Return splits in which val is a fold of train and val, and train has a share of the rest.

    Folds and shares are drawn from each class, in an order given by a hash of seed and name. A share contains
    all smaller shares. The test split is not changed.

    Args:
        label: function that returns the class of an image; classes must be sortable.
        fold: the number of the fold; with None, train and val are not mixed.

    Raises OptionError if there is no such fold, and DataError if a fold would be empty.
    """

    def place(item: T) -> tuple[Any, int]:
        return label(item), seed_for(seed, "fold", item.name)

    train, val = splits["train"], splits.get("val", [])
    if fold is not None:
        if fold >= folds:
            raise OptionError(f"fold must be at most {folds - 1}, because folds={folds} (got {fold})")
        whole = sorted([*train, *val], key=place)
        if len(whole) < folds:
            raise DataError(f"{len(whole)} images cannot be divided into {folds} folds")
        val = whole[fold::folds]
        train = [item for number, item in enumerate(whole) if number % folds != fold]
    if train_share < 1:
        groups = [[*group] for _, group in itertools.groupby(sorted(train, key=place), label)]
        train = [item for group in groups for item in group[: max(1, round(train_share * len(group)))]]
    return {**splits, "train": train, "val": val}
