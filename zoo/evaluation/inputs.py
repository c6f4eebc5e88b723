"""What an analyzer is shown: pictures or texts by name, or items of a split, fed as the model's card says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from zoo.data.pictures import SUFFIXES, read_picture
from zoo.data.vocabulary import Vocabulary
from zoo.errors import DataError, OptionError
from zoo.files.cards import Card
from zoo.interfaces import Batch, Dataset, Split
from zoo.tasks import make_task
from zoo.tasks.language_modelling import LanguageModelling

_SHORT = 20_000
"""Tokens of a text that is read in one lane. In several, each begins without knowing what came before."""

__all__ = ["Inputs", "of_files", "of_split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Items in order. Walking through it yields batches as `Task.eval_batches` makes them, anew each time."""

    card: Card
    names: list[str]
    """Of each image, such as a file's or `test-00005`; of a text, nothing."""
    items: Any
    """Images and labels, -1 where not known, as `Dataset.split` has them; or tokens."""
    device: str
    report: Callable[[int, int], None] = lambda done, total: None
    """Told after each batch how many images, or tokens, of all are done."""

    def __iter__(self) -> Iterator[Batch]:
        shown, done = _Shown(self.card, self.items), 0
        batches = make_task(self.card.task).eval_batches(shown, "test", device=self.device)
        if self.card.task == "language-modelling" and len(self.items) < _SHORT:
            batches = LanguageModelling().eval_batches(shown, "test", device=self.device, lanes=1)
        for batch in batches:
            yield batch
            done += batch.count
            self.report(done, len(self.items))

    def label(self, number: int) -> int:
        """Return an image's label, -1 where it is not known."""
        return int(self.items[number][1])

    def image(self, number: int) -> Tensor:
        """Return an image as the model was shown it, uint8 (C, H, W)."""
        return self.items[number][0]

    @property
    def boxes(self) -> list[list[tuple[int, int, int, int]]] | None:
        """The boxes of each image's objects, where the data knows them."""
        return getattr(self.items, "boxes", None)


def of_files(
    card: Card,
    paths: Sequence[str],
    *,
    device: str,
    report: Callable[[int, int], None],
    notice: Callable[[str], None],
) -> Inputs:
    """Return the pictures in some files and folders; or the text of some files, one after the other.

    Raises DataError naming the first that is missing or cannot be read.
    """
    if card.task == "language-modelling":
        tokens = _tokens(card, [_text(Path(path)) for path in paths], notice)
        return Inputs(card=card, names=[], items=tokens, device=device, report=report)
    found = [each for path in paths for each in _pictures(Path(path))]
    size, channels = card.arguments["image_size"], card.arguments["in_channels"]
    notice(f"the model sees the middle square of a picture, at {size}×{size} pixels")
    images = [(read_picture(each, size=size, channels=channels)[0], -1) for each in found]
    return Inputs(card=card, names=[str(each) for each in found], items=images, device=device, report=report)


def of_split(
    card: Card,
    dataset: Dataset,
    split: Split,
    indices: Sequence[int] | None,
    *,
    device: str,
    report: Callable[[int, int], None],
) -> Inputs:
    """Return a split, or the images of it that have some numbers, which count from 0.

    Raises DataError if it is empty, OptionError for a number it does not have or for those of a text.
    """
    if split not in ("train", "val", "test"):
        raise OptionError(f"there is no split {split!r}; there are train, val and test")
    items = dataset.split(split)
    if len(items) == 0 or (indices is not None and len(indices) == 0):
        raise DataError(f"the {split} split is empty" if len(items) == 0 else "no image is chosen")
    if card.task == "language-modelling":
        if indices is not None:
            raise OptionError("--indices choose images, and the model reads text")
        return Inputs(card=card, names=[], items=items, device=device, report=report)
    chosen = range(len(items)) if indices is None else indices
    for index in chosen:
        if not 0 <= index < len(items):
            raise OptionError(f"there is no image {index} in the {split} split of {len(items):,} images")
    known = getattr(items, "names", None)  # of files, where the data is files
    names = [known[index] if known else f"{split}-{index:05}" for index in chosen]
    return Inputs(card=card, names=names, items=_Some(items, list(chosen)), device=device, report=report)


class _Some:
    """Items of a split by their numbers."""

    def __init__(self, items: Any, indices: list[int]) -> None:
        self._items = items
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return self._items[self._indices[number]]

    def __getitems__(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        indices = [self._indices[number] for number in numbers]
        if hasattr(self._items, "__getitems__"):
            return self._items.__getitems__(indices)
        pairs = [self._items[index] for index in indices]
        return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])

    @property
    def boxes(self) -> list[Any] | None:
        boxes = getattr(self._items, "boxes", None)
        return None if boxes is None else [boxes[index] for index in self._indices]


class _Shown(Dataset):
    """Items as a dataset of the model's own kind, all of them its test split."""

    def __init__(self, card: Card, items: Any) -> None:
        self._card = card
        self._items = items

    @property
    def dims(self) -> Mapping[str, int]:
        return cast("Mapping[str, int]", self._card.arguments)

    @property
    def preprocess(self) -> Mapping[str, Any]:
        return self._card.preprocess

    @property
    def fingerprint(self) -> str:
        return ""

    def split(self, name: Split) -> Any:
        return self._items if name == "test" else []


def _pictures(path: Path) -> list[Path]:
    """Return a picture's path, or those of all pictures in a folder and below it, sorted.

    Folders that an analysis has written to are left out.
    """
    if not path.exists():
        raise DataError(f"there is no picture or folder {path}")
    if not path.is_dir():
        return [path]
    found = sorted(
        each
        for each in path.rglob("*")
        if each.suffix.lower() in SUFFIXES and each.is_file() and not (each.parent / "manifest.json").exists()
    )
    if not found:
        raise DataError(f"there are no pictures in {path}", hint=f"pictures end in {', '.join(SUFFIXES)}")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"the text {path} cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise DataError(f"{path} is not UTF-8 text") from None


def _tokens(card: Card, texts: Sequence[str], notice: Callable[[str], None]) -> Tensor:
    vocabulary = Vocabulary(card.preprocess)
    numbers, unknown = vocabulary.encode("".join(texts))
    if len(numbers) < 2:
        raise DataError("the text has fewer than two tokens, and predicting needs two")
    if unknown:
        notice(f"the model never learned {' '.join(map(repr, unknown[:10]))}; read as <unk>")
    return torch.tensor(numbers[::-1] if vocabulary.backwards else numbers)
