"""The files to read, and the options that all corpora share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from zoo import OptionError

Tokens = Literal["char", "word"]
MinFreq = Annotated[int, Meta(ge=1, le=1_000_000_000)]


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of a text. Without files for val and test, the text is split by `Reading.splits`."""

    train: Sequence[Path]
    val: Sequence[Path] = ()
    test: Sequence[Path] = ()
    encoding: str = "utf-8"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The options that turn a text into tokens.

    Args:
        tokens: `"char"`, or `"word"` for words and runs of punctuation with the preceding space.
        lower: convert the text to lowercase.
        newline_eos: encode a newline as the special token `<eos>`, which is decoded as a newline.
        backwards: reverse each split, for a model that reads from right to left.
        min_freq: tokens rarer than this in the training split become `<unk>`.
        vocabulary: use these tokens, from a trained model's card, instead of counting tokens.
        train_size: number of tokens of the training split to use, from its start; 0 uses all. The vocabulary
            is that of the whole split.
        splits: percentages of the tokens for train, val and test, in this order from the start of the text.
        fold: number of the fold, from 0, to validate on. Folds are consecutive parts of the train and val
            splits; the other folds are used for training, and the test split does not change. With none,
            there are no folds.
        folds: number of folds.
        train_share: fraction of the tokens of the training split to use, from its start. The vocabulary is
            that of the whole split.

    Raises:
        OptionError: `splits` does not sum to 100%, there is no such fold, or `vocabulary` is inconsistent.
    """

    tokens: Tokens = "char"
    lower: bool = False
    newline_eos: bool = False
    backwards: bool = False
    min_freq: MinFreq = 1
    vocabulary: Sequence[str] = ()
    train_size: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] = 0
    splits: Sequence[int] = (80, 10, 10)
    fold: Annotated[int, Meta(ge=0, le=99)] | None = None
    folds: Annotated[int, Meta(ge=2, le=100)] = 5
    train_share: Annotated[float, Meta(gt=0, le=1)] = 1.0

    def __post_init__(self) -> None:
        splits = list(self.splits)
        if len(splits) != 3 or min(splits) < 0 or splits[0] == 0 or sum(splits) != 100:
            raise OptionError(
                "splits must be three percentages (train, val and test) that sum to 100, "
                f"with train greater than 0 (got {splits})"
            )
        if self.fold is not None and self.fold >= self.folds:
            raise OptionError(
                f"fold must be at most {self.folds - 1}, because folds={self.folds} (got {self.fold})"
            )
        if self.vocabulary:
            self._check_vocabulary()

    def _check_vocabulary(self) -> None:
        tokens = list(self.vocabulary)
        if tokens[0] != "<unk>":
            raise OptionError(f"vocabulary must begin with '<unk>' (got {tokens[0]!r})")
        if len(set(tokens)) < len(tokens):
            twice = next(token for token in tokens if tokens.count(token) > 1)
            raise OptionError(f"vocabulary contains {twice!r} twice")
        if self.newline_eos and "<eos>" not in tokens:
            raise OptionError("newline_eos=true requires '<eos>' in the vocabulary")
        if self.newline_eos and "\n" in tokens:
            raise OptionError("newline_eos=true requires a vocabulary without a newline")
