"""Inputs of the user's own, or items of a split, as a model reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Subset

from zoo.data.reading import Unread, in_batches, workers
from zoo.data.sources import Source, find, require
from zoo.data.views import as_tensors, of_items
from zoo.data.vocabulary import WritesText
from zoo.errors import DataError, OptionError, warn
from zoo.files.cards import Card
from zoo.interfaces import (
    SPLITS,
    Batch,
    Box,
    CarriesState,
    Dataset,
    HasBoxes,
    HasFiles,
    Split,
    Task,
)
from zoo.processors import ReadsInputs

if TYPE_CHECKING:
    from PIL.Image import Image

# Tokens of a text that is still read in one lane. With several, each starts without its context.
_SHORT = 20_000
# Lanes of a longer text, and tokens of each in a batch, as in `LanguageModelling.eval_batches`
_LANES, _STEPS = 16, 128
# Inputs of the user's own that are read ahead, and the most that are named because they cannot be read
_AHEAD, _TOLD = 64, 5

__all__ = ["Inputs", "of_own", "of_split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Inputs in order. Iterating yields batches as `Task.eval_batches` does, anew each time.

    Attributes:
        names: the name of each image, such as a file or `test-00005`; empty for a text.
        sources: what each image, or each part of a text, was read from: inputs of the user's own, or the
            files of a split.
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
    sources: Sequence[Source] = ()
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
        """Return an image to draw on, square and in color.

        If it was read from a picture, that is its central square, in its own height and width or `at_most`
        pixels if they are larger. Otherwise it is what the model saw.
        """
        from PIL.Image import fromarray

        from zoo.data.pictures import read_square

        if self.sources:
            with contextlib.suppress(DataError, OptionError):  # such as a sound, or a file that is gone
                return read_square(self.sources[number].value, at_most=at_most)
        return fromarray(self.image(number).expand(3, -1, -1).permute(1, 2, 0).cpu().contiguous().numpy())


def of_own(
    card: Card,
    task: Task,
    given: object,
    *,
    context: int = 0,
    device: str,
    report: Callable[[int, int], None],
) -> Inputs:
    """Return inputs of the user's own, as `zoo.data.sources.find` finds them; texts together are one.

    Warns of those that are missing or cannot be read.

    Raises:
        DataError: none can be read, or one of several texts cannot.
        OptionError: models for this task cannot read inputs, or an input is an object that can be none.
    """
    processor = task.processor
    if not isinstance(processor, ReadsInputs):
        hint = "analyze a split of its data"
        raise OptionError(f"a model for {task.name} cannot read inputs of your own", hint=hint)
    reader = processor.input_reader(card)
    require(given, reader)
    if reader.notice:
        warn(reader.notice)
    sources, items, unread = list[Source](), list[Any](), list[str]()
    found = in_batches(find(given, reader), reader.read, list, size=_AHEAD, threads=workers(None))
    for source, item in found:
        if isinstance(item, Unread):
            unread.append(f"{source.name}: {item.why}")
        else:
            sources.append(source)
            items.append(as_tensors(item))
    if unread and (not items or isinstance(task, CarriesState)):
        raise DataError("; ".join(unread[:_TOLD]))
    if not items:
        raise DataError(f"no {reader.what} were given")
    if unread:
        more = f"; and {len(unread) - _TOLD} more" if len(unread) > _TOLD else ""
        warn(f"left out {len(unread)} that cannot be read: {'; '.join(unread[:_TOLD])}{more}")
    on: Any = {"context": context, "device": device, "report": report}
    if not isinstance(task, CarriesState):
        names = [source.name for source in sources]
        return Inputs(card=card, task=task, names=names, items=items, sources=sources, **on)
    tokens = torch.cat(items)
    if isinstance(processor, WritesText) and processor.vocabulary(card.preprocess).specials:
        _tell_unknown(int((tokens == 0).sum()), len(tokens), processor.unit(card.preprocess))
    return Inputs(card=card, task=task, names=[], items=tokens, sources=sources, **on)


def _tell_unknown(unknown: int, total: int, unit: str) -> None:
    """Warn of tokens that are read as number 0, `<unk>`."""
    if unknown:
        warn(f"{unknown:,} of {total:,} {unit} are not in the model's vocabulary, and are read as <unk>")


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
    files = [paths[index] for index in chosen] if paths is not None else []
    names = [f"{file.parent.name}/{file.name}" for file in files]
    names = names or [f"{split}-{index:05}" for index in chosen]
    some = Subset[Any](items, list(chosen))  # pyright: ignore[reportArgumentType] - any map-style dataset
    return Inputs(
        card=card,
        task=task,
        names=names,
        items=some,
        boxes=[items.boxes[index] for index in chosen] if isinstance(items, HasBoxes) else None,
        sources=[Source(str(file), file) for file in files],
        device=device,
        report=report,
    )


def _numbers(target: Any) -> list[int] | None:
    """Return the classes that a target names: a number, -1 if it is unknown; or (K,), 1 for each class."""
    target = torch.as_tensor(target)
    if target.ndim:
        return target.nonzero()[:, 0].tolist()
    return [int(target)] if target >= 0 else None
