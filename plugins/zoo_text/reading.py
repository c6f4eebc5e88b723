"""How a text is read: the options that all corpora share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from zoo import OptionError

Tokens = Literal["char", "word"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is made of the characters of a text.

    Args:
        tokens: `"char"`, or `"word"` for words and runs of punctuation with the space before them.
        lower: turn everything into lower case.
        newline_eos: a newline is the special token `<eos>`.
        backwards: the tokens of each split, last first.
        min_freq: tokens rarer than this in the training split become `<unk>`.
        vocabulary: tokens to use instead of counting any.
        splits: percent of the tokens for train, val and test, of a text that is to be cut.
        encoding: of the files.

    Raises:
        OptionError: for splits that are not a whole, and a vocabulary that could not be one of ours.
    """

    tokens: Tokens
    lower: bool
    newline_eos: bool
    backwards: bool
    min_freq: int
    vocabulary: Sequence[str]
    splits: Sequence[int]
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        splits = list(self.splits)
        if len(splits) != 3 or min(splits) < 0 or splits[0] == 0 or sum(splits) != 100:
            raise OptionError(
                f"splits={splits} are not percents of train, val and test: "
                "three whole numbers, none below 0, that sum to 100, the first above 0"
            )
        if self.vocabulary:
            self._check_vocabulary()

    def _check_vocabulary(self) -> None:
        tokens = list(self.vocabulary)
        if tokens[0] != "<unk>":
            raise OptionError(f"a vocabulary begins with '<unk>', and this one begins with {tokens[0]!r}")
        if len(set(tokens)) < len(tokens):
            twice = next(token for token in tokens if tokens.count(token) > 1)
            raise OptionError(f"the vocabulary has {twice!r} twice")
        if self.newline_eos and "<eos>" not in tokens:
            raise OptionError("newline_eos=true needs a vocabulary with '<eos>' in it")
        if self.newline_eos and "\n" in tokens:
            raise OptionError("newline_eos=true makes a newline '<eos>', and the vocabulary has both")
