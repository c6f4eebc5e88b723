"""The user's own inputs, or items of a split, as a model reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Subset

from zoo.data.read_ahead import Unread, in_batches, workers
from zoo.data.sources import Source, find, require
from zoo.data.views import as_tensors
from zoo.data.vocabulary import WritesText
from zoo.errors import DataError, OptionError, warn
from zoo.files.cards import Card
from zoo.interfaces import (
    Batch,
    Box,
    CarriesState,
    Dataset,
    HasBoxes,
    HasFiles,
    Split,
    Task,
)
from zoo.processors import InputReader, ReadsInputs

if TYPE_CHECKING:
    from PIL.Image import Image

# Tokens of a text that is still read in one lane. With several, each starts without its context.
_SHORT = 20_000
# Lanes of a longer text, and tokens of each in a batch, as in `LanguageModeling.eval_batches`
_LANES, _STEPS = 16, 128
# Inputs of the user's own that are read ahead, and the most that are named because they cannot be read
_AHEAD, _TOLD = 64, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Inputs in order. Each iteration yields batches as `Task.eval_batches` does.

    Attributes:
        names: the name of each image, such as a file path or `test-00005`; empty for text.
        sources: the source of each image, or of each part of a text: one of the user's own inputs, or a file
            of a split.
        items: images and labels, -1 if unknown, as in `Dataset.split`; or tokens.
        boxes: for each image, the boxes of its objects by class number, if the data has them.
        context: maximum number of tokens that the model reads from an empty state; 0 for no limit. With a
            limit, a text is cut into windows of at most that length, each read from an empty state.
        report: called at the start and after each batch with the number of images or tokens done, and the
            total.
    """

    card: Card
    task: Task
    names: list[str]
    items: Any
    boxes: Sequence[Mapping[int, Sequence[Box]]] | None = None
    sources: Sequence[Source] = ()
    device: str = "cpu"
    context: int = 0
    report: Callable[[int, int], None] = lambda done, total: None

    def __iter__(self) -> Iterator[Batch]:
        done = 0
        self.report(done, len(self.items))
        for batch in self._batches():
            yield batch
            done += batch.count
            self.report(done, len(self.items))

    def _batches(self) -> Iterator[Batch]:
        if not isinstance(self.task, CarriesState):
            yield from self.task.batches_of(self.items, self.card.preprocess, device=self.device)
            return
        lanes = 1 if len(self.items) < _SHORT else _LANES
        # of a window the last token is the first of the next; a text without windows is one
        length = lanes * min(self.context, _STEPS) or len(self.items)
        for start in range(0, len(self.items) - 1, length):
            window = self.items[start : start + length + 1]
            yield from self.task.lane_batches(window, lanes=lanes, steps=_STEPS, device=self.device)

    def labels(self, number: int) -> list[int] | None:
        """Return the labels of an image, which may have several or none; None if its labels are unknown."""
        target = torch.as_tensor(self.items[number][1])  # a number; or (K,), 1 for each class
        if target.ndim:
            return target.nonzero()[:, 0].tolist()
        return [int(target)] if target >= 0 else None

    def image(self, number: int, *, at_most: int) -> Image:
        """Return a square color image to draw on.

        For an input that was read from an image, it is the image's central square at full resolution, up to
        `at_most` pixels per side. Otherwise, it is the model's input.
        """
        from PIL.Image import fromarray

        processor = self.task.processor
        if self.sources and isinstance(processor, ReadsInputs):
            picture = processor.input_reader(self.card).picture
            with contextlib.suppress(DataError, OptionError):  # such as a file that is gone
                if picture is not None:
                    return picture(self.sources[number].value, at_most)
        seen: Tensor = self.items[number][0]  # uint8 (C, H, W)
        return fromarray(seen.expand(3, -1, -1).permute(1, 2, 0).cpu().contiguous().numpy())


def of_own(card: Card, task: Task, given: object) -> Inputs:
    """Read the user's own inputs, as `zoo.data.sources.find` finds them; multiple texts are joined.

    Warns about inputs that are missing or cannot be read.

    Raises:
        DataError: no input can be read, or one of several texts cannot be read.
        OptionError: models for this task cannot read inputs, or an input has an unsupported type.
    """
    processor = task.processor
    if not isinstance(processor, ReadsInputs):
        hint = "analyze a split of the model's data"
        raise OptionError(f"models for {task.name} cannot read your own inputs", hint=hint)
    sources, items = _read(processor.input_reader(card), given, whole=isinstance(task, CarriesState))
    if not isinstance(task, CarriesState):
        names = [source.name for source in sources]
        return Inputs(card=card, task=task, names=names, items=items, sources=sources)
    tokens = torch.cat(items)
    has_unknown = isinstance(processor, WritesText) and processor.vocabulary(card.preprocess).specials
    if has_unknown and (unknown := int((tokens == 0).sum())):
        total = f"{unknown:,} of {len(tokens):,} {processor.unit(card.preprocess)}"
        warn(f"{total} are not in the model's vocabulary and are read as <unk>")
    return Inputs(card=card, task=task, names=[], items=tokens, sources=sources)


def _read(reader: InputReader, given: object, *, whole: bool) -> tuple[list[Source], list[Any]]:
    """Return the readable inputs and their items; with `whole`, raise an error unless all can be read."""
    require(given, reader)
    sources, items, unread = list[Source](), list[Any](), list[str]()
    found = in_batches(find(given, reader), reader.read, list, size=_AHEAD, threads=workers(None))
    for source, item in found:
        if isinstance(item, Unread):
            unread.append(f"{source.name}: {item.why}")
        else:
            sources.append(source)
            items.append(as_tensors(item))
    if unread and (whole or not items):
        raise DataError("; ".join(unread[:_TOLD]))
    if not items:
        raise DataError(f"no {reader.what} given")
    if unread:
        more = f"; and {len(unread) - _TOLD} more" if len(unread) > _TOLD else ""
        warn(f"skipped unreadable inputs ({len(unread)}): {'; '.join(unread[:_TOLD])}{more}")
    return sources, items


def of_split(card: Card, task: Task, dataset: Dataset, split: Split, indices: Sequence[int] | None) -> Inputs:
    """Return a split, or only the images at some indices, counted from 0.

    Raises:
        DataError: the split is empty.
        OptionError: an index is out of range, or indices are given for a text.
    """
    items = dataset.split(split)
    if len(items) == 0 or (indices is not None and len(indices) == 0):
        raise DataError(f"the {split} split is empty" if len(items) == 0 else "no image was selected")
    if isinstance(task, CarriesState):
        if indices is not None:
            raise OptionError("--indices cannot be used with a sequence model")
        return Inputs(card=card, task=task, names=[], items=items)
    chosen = range(len(items)) if indices is None else indices
    for index in chosen:
        if not 0 <= index < len(items):
            raise OptionError(f"index {index} is out of range: the {split} split has {len(items):,} images")
    paths = items.files if isinstance(items, HasFiles) else None
    files = [paths[index] for index in chosen] if paths is not None else []
    names = [f"{file.parent.name}/{file.name}" for file in files]
    return Inputs(
        card=card,
        task=task,
        names=names or [f"{split}-{index:05}" for index in chosen],
        items=Subset[Any](items, list(chosen)),  # pyright: ignore[reportArgumentType] - any map-style dataset
        boxes=[items.boxes[index] for index in chosen] if isinstance(items, HasBoxes) else None,
        sources=[Source(str(file), file) for file in files],
    )
