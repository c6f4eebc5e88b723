"""Text to tokens and back, from what a card says: enough to prompt a model without its dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Vocabulary"]


class Vocabulary:
    """Character tokens by number.

    Args:
        preprocess: `{"tokens": "char", "lower": bool, "vocabulary": [...], "specials": n}`, as a language
            modelling dataset gives it. The first `specials` tokens are not characters; number 0 is `<unk>`.
    """

    def __init__(self, preprocess: Mapping[str, Any]) -> None:
        self.tokens: list[str] = list(preprocess["vocabulary"])
        self.specials: int = preprocess["specials"]
        self.lower: bool = preprocess["lower"]
        self._numbers = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        """Return a number for each character, and the characters that are not in the vocabulary."""
        text = text.lower() if self.lower else text
        unknown = sorted({character for character in text if character not in self._numbers})
        return [self.number(character) for character in text], unknown

    def number(self, token: str) -> int:
        """Return a token's number, or that of `<unk>`."""
        return self._numbers.get(token, 0)

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of some numbers; a special is written by its name."""
        return "".join(self.tokens[number] for number in numbers)
