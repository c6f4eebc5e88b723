"""Text to tokens and back, from what a card says: enough to prompt a model without its dataset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from zoo.errors import SpecError

__all__ = ["Vocabulary", "tokenize"]

_WORD = re.compile(r" ?\w{1,100}| ?[^\w\s]{1,100}|\s")
"""After GPT-2 (Radford et al. 2019); the limit keeps a text without spaces from being one token."""


class Vocabulary:
    """Tokens by number, in the order they are read in.

    Args:
        preprocess: `{"tokens": "char" | "word", "lower": bool, "newline_eos": bool, "backwards": bool,
            "vocabulary": [...], "specials": n}`, as a language modelling dataset gives it; the first four may
            be missing, and are then `"char"` and False. The first `specials` tokens are not text; number 0 is
            `<unk>`. With `newline_eos` a newline is the special `<eos>`, in both directions.

    Attributes:
        tokens: as listed in `preprocess`.
        texts: what each number is written as: its token, and a newline for `<eos>`.
        drawable: the numbers that are text.
        backwards: whether the model reads from the end. Nothing here reverses anything.
    """

    def __init__(self, preprocess: Mapping[str, Any]) -> None:
        self.kind: str = preprocess.get("tokens", "char")
        self.lower: bool = preprocess.get("lower", False)
        self.newline_eos: bool = preprocess.get("newline_eos", False)
        self.backwards: bool = preprocess.get("backwards", False)
        self.tokens: list[str] = list(preprocess["vocabulary"])
        self.specials: int = preprocess["specials"]
        self.texts = ["\n" if self.newline_eos and token == "<eos>" else token for token in self.tokens]
        self.drawable = [n for n, text in enumerate(self.texts) if n >= self.specials or text == "\n"]
        self._numbers = {text: number for number, text in enumerate(self.texts)}

    def __len__(self) -> int:
        return len(self.tokens)

    def options(self) -> dict[str, Any]:
        """Return the options that have a dataset read a text so, where it has them."""
        return {
            "tokens": self.kind,
            "lower": self.lower,
            "newline_eos": self.newline_eos,
            "backwards": self.backwards,
            "vocabulary": self.tokens,
        }

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        """Return the number of each token, and the tokens that are not in the vocabulary, sorted.

        A first word that is only known with a space before it is taken as that one.

        Raises SpecError for a kind of tokens that zoo cannot cut a text into.
        """
        tokens = tokenize(text.lower() if self.lower else text, self.kind)
        if self.kind == "word" and tokens and tokens[0] not in self._numbers:
            spaced = " " + tokens[0]
            tokens[0] = spaced if spaced in self._numbers else tokens[0]
        unknown = sorted({token for token in tokens if token not in self._numbers})
        return [self.number(token) for token in tokens], unknown

    def number(self, token: str) -> int:
        """Return the number of a token's text, or that of `<unk>`."""
        return self._numbers.get(token, 0)

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of some numbers; a special is written by its name, `<eos>` as a newline."""
        return "".join(self.texts[number] for number in numbers)


def tokenize(text: str, kind: str) -> list[str]:
    """Cut a text into tokens that, joined, are the text again.

    A token is a character (`"char"`), or a word or a run of punctuation with the space before it (`"word"`;
    other whitespace is a token for each character). Raises SpecError for another kind.

    >>> tokenize("Thus spoke,  he.", "word")
    ['Thus', ' spoke', ',', ' ', ' he', '.']
    """
    if kind == "char":
        return list(text)
    if kind == "word":
        return _WORD.findall(text)
    raise SpecError(f"tokens are {kind!r}, and zoo knows 'char' and 'word'")
