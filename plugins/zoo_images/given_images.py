"""Images and labels given in Python, as in `zoo.train(Net, (images, labels))`."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from zoo import DataError, seed_for
from zoo.interfaces import SPLITS, Split
from zoo.plugin import warn
from zoo_images.folder import Share
from zoo_images.image_set import ImageSet, ImageSplit, Seed, statistics_of

# The most items of a map-style dataset that its fingerprint and its statistics are computed from
_SAMPLE = 1_000
_FORM = "images must be a uint8 array (N, H, W), (N, H, W, C) or (N, C, H, W) with H = W and C = 1 or 3"


def given_images(splits: Mapping[Split, Any]) -> Callable[..., ImageSet] | None:
    """Return a function that opens images and labels given in Python; None for other data.

    Each split is a pair of images, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), and N labels, which are
    integers or strings; or a map-style dataset of (image, label).
    """
    given = {name: data.tensors if isinstance(data, TensorDataset) else data for name, data in splits.items()}
    arrays = all(map(_is_pair, given.values()))
    if not arrays and not all(map(_is_dataset, given.values())):
        return None

    def images(
        *,
        classes: tuple[str, ...] = (),
        val_share: Share = 0.1,
        test_share: Share = 0.1,
        split_seed: Seed = 0,
    ) -> ImageSet:
        """Open images and labels that were given in Python.

        Args:
            classes: the name of each class, in the order of the labels; by default, the labels themselves or
                the attribute `classes` of a map-style dataset.
            val_share: fraction of the images to draw for val if only training images are given.
            test_share: fraction of the images to draw for test if only training images are given.
            split_seed: random seed of the split.

        Raises DataError if the images or the labels do not have the form that `given_images` describes.
        """
        names, parts = _of_arrays(given, classes) if arrays else _of_datasets(given, classes)
        if len(parts["train"].labels.unique()) == 1:
            one = names[int(parts["train"].labels[0])]
            warn(f"all training images have the label {one}, so a model has nothing to tell apart")
        if [*parts] == ["train"]:
            parts = _divided(parts["train"], {"val": val_share, "test": test_share}, split_seed)
        found: dict[Split, Any] = {split: parts.get(split) or parts["train"].subset([]) for split in SPLITS}
        samples = {split: _sample_of(part) for split, part in found.items()}
        content = [(part.labels.tolist(), _sha256_of(samples[split])) for split, part in found.items()]
        fingerprint = hashlib.sha256(repr((names, content)).encode()).hexdigest()
        if not arrays:
            fingerprint += f" of all labels and a sample of {sum(map(len, samples.values())):,} images"
        return ImageSet(
            found,
            classes=names,
            fingerprint=fingerprint,
            statistics=statistics_of(samples["train"]),
        )

    return images


class ItemSplit:
    """Some images of a map-style dataset, which are read one at a time.

    Args:
        items: a map-style dataset of (image, label).
        indices: the numbers of the items.
        labels: the label of each of them, int64 (N,).
        split: the split of all items, for messages.
    """

    def __init__(self, items: Any, indices: Sequence[int], labels: Tensor, split: str) -> None:
        self._items = items
        self._indices = indices
        self.labels = labels
        self._split = split

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image, (C, H, W)."""
        channels, height, width = self[0][0].shape
        return channels, height, width

    def subset(self, indices: Sequence[int]) -> ItemSplit:
        """Return the images with these indices as a split."""
        return ItemSplit(
            self._items, [self._indices[index] for index in indices], self.labels[[*indices]], self._split
        )

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        number = self._indices[index]
        image = np.asarray(_item(self._items, number, self._split)[0])
        what = f"item {number} of {self._split}"
        return _as_images(image[None], what)[0], int(self.labels[index])


def _item(items: Any, number: int, split: str) -> Any:
    """Return an item of a dataset. A note names it in the traceback of an error."""
    try:
        return items[number]
    except Exception as error:
        error.add_note(f"item {number} of {split} could not be read")
        raise


def _is_pair(data: object) -> bool:
    return isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], np.ndarray | Tensor)


def _is_dataset(data: Any) -> bool:
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__") or isinstance(data, str | Mapping):
        return False
    try:
        first = data[0] if len(data) else None
    except LookupError:  # such as a table, whose columns have names
        return False
    return isinstance(first, tuple | list) and len(first) == 2 and np.ndim(first[0]) >= 2


def _of_arrays(given: Mapping[str, Any], classes: Sequence[str]) -> tuple[list[str], dict[str, ImageSplit]]:
    names, labels = _numbered({split: data[1] for split, data in given.items()}, classes)
    parts: dict[str, ImageSplit] = {}
    for split, (images, _) in given.items():
        images = _as_images(images, f"the {split} images")
        if len(images) != len(labels[split]):
            message = f"{split} has {len(images):,} images, but {len(labels[split]):,} labels"
            raise DataError(message)
        parts[split] = ImageSplit(images, labels[split])
    return names, parts


def _of_datasets(given: Mapping[str, Any], classes: Sequence[str]) -> tuple[list[str], dict[str, ItemSplit]]:
    classes = classes or [*map(str, getattr(given["train"], "classes", ()))]
    names, labels = _numbered({split: _labels_in(data, split) for split, data in given.items()}, classes)
    return names, {
        split: ItemSplit(data, range(len(data)), labels[split], split) for split, data in given.items()
    }


def _labels_in(items: Any, split: str) -> Any:
    """Return the labels of a map-style dataset, from its attribute `targets` or from its items."""
    known = getattr(items, "targets", None)
    if known is not None and len(known) == len(items):
        return known
    return [_item(items, number, split)[1] for number in range(len(items))]


def _as_images(given: Any, what: str) -> Tensor:
    """Return images as a tensor, uint8 (N, C, H, W). Raises DataError if they have another form."""
    images = (
        given if isinstance(given, Tensor) else torch.from_numpy(np.require(given, requirements=["C", "W"]))
    )
    if images.dtype != torch.uint8:
        hint = (
            "convert values from 0 to 1 with `(255 * images).round()`, then to uint8; zoo normalizes images"
        )
        raise DataError(f"{what} must be uint8, from 0 to 255 (got {images.dtype})", hint=hint)
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in (1, 3):
        images = images.permute(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
        raise DataError(f"{what} have the shape {[*given.shape]}", hint=_FORM)
    return images.contiguous()


def _numbered(given: Mapping[str, Any], classes: Sequence[str]) -> tuple[list[str], dict[str, Tensor]]:
    """Return the names of the classes, and the labels of each split as numbers, int64 (N,).

    Raises DataError if the labels are not numbers of classes or their names.
    """
    labels = {split: np.asarray(each) for split, each in given.items()}
    for split, each in labels.items():
        if each.ndim != 1 or each.dtype.kind not in "iuUO":
            got = f"{each.dtype}, {[*each.shape]}"
            raise DataError(f"the {split} labels must be one integer or string for each image (got {got})")
    train = labels["train"]
    if not train.size:
        raise DataError("the training split is empty")
    if train.dtype.kind in "UO":
        names = [*classes] or sorted(set(train.tolist()))
        numbers = {name: number for number, name in enumerate(names)}
        for split, each in labels.items():
            if strange := sorted(set(each.tolist()) - numbers.keys(), key=str):
                raise DataError(f"{split} has the label {strange[0]!r}, which is none of the classes")
        return names, {s: torch.tensor([numbers[name] for name in each]) for s, each in labels.items()}
    names = [*classes] or [str(number) for number in range(max(int(train.max()), 0) + 1)]
    for split, each in labels.items():
        if strange := [number for number in each.tolist() if not 0 <= number < len(names)]:
            known = f"from 0 to {len(names) - 1}" if classes or split != "train" else "at least 0"
            raise DataError(f"the {split} labels must be {known} (got {strange[0]})")
    missing = [name for number, name in enumerate(names) if number not in train]
    if missing:
        warn(
            f"no training image has the label {missing[0]}"
            + f", or {len(missing) - 1} more" * (len(missing) > 1)
        )
    return names, {split: torch.from_numpy(each.astype(np.int64)) for split, each in labels.items()}


def _divided(train: Any, shares: Mapping[str, float], seed: int) -> dict[str, Any]:
    """Draw the shares from the images of each class."""
    drawn: dict[str, list[int]] = {"train": [], **{split: [] for split in shares}}
    for label in train.labels.unique().tolist():
        places = (train.labels == label).nonzero().flatten()
        draws = torch.Generator().manual_seed(seed_for(seed, "given images", label))
        left = places[torch.randperm(len(places), generator=draws)].tolist()
        for split, share in shares.items():
            taken = int(share * len(places) + 0.5)
            drawn[split] += left[:taken]
            left = left[taken:]
        drawn["train"] += left
    return {split: train.subset(sorted(places)) for split, places in drawn.items()}


def _sample_of(part: Any) -> Tensor:
    """Return the images of a split, uint8 (N, C, H, W): all of an array, or an evenly spaced sample."""
    if isinstance(part, ImageSplit):
        return part.images
    if not len(part):
        return torch.empty(0)
    with _seeded():
        return torch.stack([part[index][0] for index in range(0, len(part), max(1, len(part) // _SAMPLE))])


@contextmanager
def _seeded() -> Generator[None]:
    """Seed the global generators, from which items may draw, in the `with` block; then restore them."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        yield
    random.setstate(kept[0])
    np.random.set_state(kept[1])


def _sha256_of(images: Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(images.numpy()).data).hexdigest()
