"""Inputs of the user's own (pictures or texts by file name), or items of a split, as a model reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Subset

from zoo.data.views import of_items
from zoo.errors import DataError, OptionError
from zoo.files.cards import Card
from zoo.interfaces import (
    SPLITS,
    Batch,
    Box,
    CarriesState,
    Dataset,
    HasBoxes,
    HasClassBoxes,
    HasFiles,
    ReadsFiles,
    Split,
    Task,
)

if TYPE_CHECKING:
    from PIL.Image import Image

# Tokens of a text that is still read in one lane. With several, each starts without its context.
_SHORT = 20_000
# Lanes of a longer text, and tokens of each in a batch, as in `LanguageModelling.eval_batches`
_LANES, _STEPS = 16, 128

__all__ = ["Inputs", "of_files", "of_split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Inputs in order. Iterating yields batches as `Task.eval_batches` does, anew each time.

    Attributes:
        names: the name of each image, such as a file or `test-00005`; empty for a text.
        files: the file of each image, if they are files.
        items: images and labels, -1 if unknown, as in `Dataset.split`; or tokens.
        boxes: the boxes of each image's objects by the number of their class, if the data has them.
        context: most tokens that the model reads from an empty state on; 0 is any. A text is then cut into
            windows of at most as many, each read from an empty state.
        report: called at the start and after each batch with the number of images or tokens done, and their
            total.
    """

    card: Card
    task: Task
    names: list[str]
    items: Any
    device: str
    boxes: Sequence[Mapping[int, Sequence[Box]]] | None = None
    files: Sequence[Path] | None = None
    context: int = 0
    report: Callable[[int, int], None] = lambda done, total: None

    def __iter__(self) -> Iterator[Batch]:
        lanes = 1 if len(self.items) < _SHORT else _LANES
        done = 0
        self.report(done, len(self.items))
        for batch in self._batches(lanes):
            yield batch
            done += batch.count
            self.report(done, len(self.items))

    def _batches(self, lanes: int) -> Iterator[Batch]:
        """Yield the batches, those of a sequence in so many lanes."""
        if not isinstance(self.task, CarriesState):
            yield from self.task.eval_batches(of_items(self.items, self.card), "test", device=self.device)
            return
        for items in self._windows(lanes) if self.context else [self.items]:
            data = of_items(items, self.card)
            yield from self.task.lane_batches(data, "test", lanes=lanes, steps=_STEPS, device=self.device)

    def _windows(self, lanes: int) -> Iterator[Tensor]:
        """Yield stretches of a text that make one batch each, the last token of one the first of the next."""
        length = lanes * min(self.context, _STEPS)
        for start in range(0, len(self.items) - 1, length):
            yield self.items[start : start + length + 1]

    def labels(self, number: int) -> list[int] | None:
        """Return the labels of an image, which may have several or none; None if they are unknown."""
        return _numbers(self.items[number][1])

    def image(self, number: int) -> Tensor:
        """Return an image as the model saw it, uint8 (C, H, W)."""
        return self.items[number][0]

    def picture(self, number: int, *, at_most: int) -> Image:
        """Return an image to draw on, square and in color: the user's own pixels if there is a file.

        A file's central square has the height and width that it has in the file, or `at_most` pixels if they
        are larger.

        Raises DataError if the file has become unreadable.
        """
        from PIL.Image import fromarray

        from zoo.data.pictures import read_square

        if self.files is not None:
            return read_square(self.files[number], at_most=at_most)
        return fromarray(self.image(number).expand(3, -1, -1).permute(1, 2, 0).cpu().contiguous().numpy())


def of_files(
    card: Card,
    task: Task,
    paths: Sequence[str],
    *,
    context: int = 0,
    device: str,
    report: Callable[[int, int], None],
) -> Inputs:
    """Return what is in some files and folders.

    Raises:
        DataError: one is missing or cannot be read.
        OptionError: models for this task cannot read files.
    """
    if not isinstance(task, ReadsFiles):
        raise OptionError(f"a model for {task.name} cannot read files", hint="analyze a split of its data")
    own = task.read_files([Path(path) for path in paths], card)
    names = [str(file) for file in own.files]
    on: Any = {"context": context, "device": device, "report": report}
    return Inputs(card=card, task=task, names=names, items=own.items, files=own.files or None, **on)


def of_split(
    card: Card,
    task: Task,
    dataset: Dataset,
    split: Split,
    indices: Sequence[int] | None,
    *,
    context: int = 0,
    device: str,
    report: Callable[[int, int], None],
) -> Inputs:
    """Return a split, or some of its images by index, from 0.

    Raises:
        DataError: it is empty.
        OptionError: an index is out of range, or there are indices for a text.
    """
    if split not in SPLITS:
        raise OptionError(f"split must be one of {', '.join(SPLITS)} (got {split!r})")
    items = dataset.split(split)
    if len(items) == 0 or (indices is not None and len(indices) == 0):
        raise DataError(f"the {split} split is empty" if len(items) == 0 else "no image was selected")
    if isinstance(task, CarriesState):
        if indices is not None:
            raise OptionError("--indices selects items, but the model reads a sequence")
        on: Any = {"context": context, "device": device, "report": report}
        return Inputs(card=card, task=task, names=[], items=items, **on)
    chosen = range(len(items)) if indices is None else indices
    for index in chosen:
        if not 0 <= index < len(items):
            raise OptionError(f"index {index} is out of range: the {split} split has {len(items):,} images")
    paths = items.files if isinstance(items, HasFiles) else None
    files = [paths[index] for index in chosen] if paths is not None else None
    names = [f"{split}-{index:05}" for index in chosen]
    if files is not None:
        names = [f"{file.parent.name}/{file.name}" for file in files]
    some = Subset[Any](items, list(chosen))  # pyright: ignore[reportArgumentType] - any map-style dataset
    return Inputs(
        card=card,
        task=task,
        names=names,
        items=some,
        boxes=_boxes(items, chosen),
        files=files,
        device=device,
        report=report,
    )


def _numbers(target: Any) -> list[int] | None:
    """Return the classes that a target names: a number, -1 if it is unknown; or (K,), 1 for each class."""
    target = torch.as_tensor(target)
    if target.ndim:
        return target.nonzero()[:, 0].tolist()
    return [int(target)] if target >= 0 else None


def _boxes(items: Any, chosen: Sequence[int]) -> list[Mapping[int, Sequence[Box]]] | None:
    """Return the boxes of some images by class, if a split has them."""
    if isinstance(items, HasClassBoxes):
        return [items.class_boxes[index] for index in chosen]
    if not isinstance(items, HasBoxes):
        return None
    targets = [item[1] for item in Subset[Any](items, list(chosen))]  # pyright: ignore[reportArgumentType]
    return [
        dict.fromkeys(_numbers(target) or (), items.boxes[index])
        for index, target in zip(chosen, targets, strict=True)
    ]
