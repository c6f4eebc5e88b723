"""The processor: reads the user's own texts as tokens, and scores them with a model's outputs. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from zoo import DataError, OptionError, tokenize
from zoo.plugin import (
    Card,
    InputReader,
    Prediction,
    Processor,
    UnknownName,
    Vocabulary,
    open_regular,
    options,
    text_metrics,
)

# What a file with a zero byte is, and the bytes at its beginning that are looked at
_BINARY, _BEGINNING = "not text: it contains NUL bytes", 1 << 16


class _Feeding(TypedDict):
    """The required and optional keys of a card's `preprocess`."""

    tokens: str
    lower: bool
    vocabulary: list[str]
    specials: int
    newline_eos: NotRequired[bool]
    backwards: NotRequired[bool]


class TextProcessor(Processor):
    """Texts are tokens of a vocabulary; each token is predicted from the preceding tokens."""

    def check_feeding(self, preprocess: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Raise OptionError unless the card has a vocabulary of `vocab_size` tokens, and a tokenizer."""
        feeding = options.convert_table(preprocess, _Feeding, what="preprocess")
        size, specials, dim = len(feeding["vocabulary"]), feeding["specials"], arguments.get("vocab_size")
        if size != dim:
            raise OptionError(f"vocabulary has {size} tokens, but vocab_size={dim!r:.40}")
        if not 0 <= specials <= size:
            raise OptionError(
                f"specials={specials} must be between 0 and {size}, the number of tokens in the vocabulary"
            )
        try:
            tokenize("", feeding["tokens"], preprocess)
        except UnknownName as error:
            raise OptionError(f"tokens: {error}", hint=error.hint) from None

    def unit(self, preprocess: Mapping[str, Any]) -> str:
        """Return `characters` or `tokens`."""
        return "characters" if preprocess.get("tokens", "char") == "char" else "tokens"

    def vocabulary(self, preprocess: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary of a model."""
        return Vocabulary(preprocess)

    def input_reader(self, card: Card) -> InputReader:
        """Return the reader of texts: strings, or paths of files."""
        vocabulary = Vocabulary(card.preprocess)

        def read(source: Any) -> NDArray[np.int64]:
            if not isinstance(source, str | Path):
                raise OptionError(f"expected a string or a Path (got a {type(source).__name__})")
            return tokens_of(source if isinstance(source, str) else text_of(source), vocabulary)[0]

        return InputReader(read=read, what="texts", strings=True, refuse=_refuse)

    def score(
        self, outputs: Iterable[NDArray[Any]], tokens: NDArray[Any], preprocess: Mapping[str, Any]
    ) -> Prediction:
        """Return the cross-entropy of a text, with the numbers of all tokens and of unknown tokens."""
        total, read = 0.0, 1
        for logits in outputs:  # (T, V)
            exact, targets = logits.astype(np.float64), tokens[read : read + len(logits)]
            exact -= exact.max(1, keepdims=True)
            total += float(np.log(np.exp(exact).sum(1)).sum() - exact[np.arange(len(exact)), targets].sum())
            read += len(logits)
        metrics = text_metrics(total / (len(tokens) - 1), preprocess)
        unknown = int((tokens == 0).sum()) if preprocess["specials"] else 0
        counts = {"tokens": len(tokens), "unknown": unknown}
        return Prediction(rows=[{**metrics, **counts}], values=np.array([*metrics.values()]))


def tokens_of(text: str, vocabulary: Vocabulary) -> tuple[NDArray[np.int64], list[str]]:
    """Return a text as the model reads it, (N,), and its unknown tokens.

    Raises DataError if there is nothing to predict.
    """
    numbers, unknown = vocabulary.encode(text)
    if len(numbers) < 2:
        raise DataError(f"the text must have at least 2 tokens (got {len(numbers)})")
    return np.array(numbers[::-1] if vocabulary.backwards else numbers, np.int64), unknown


def text_of(path: Path) -> str:
    """Return the text of a file, UTF-8. Raises DataError if it cannot be read."""
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
    if "\0" in text:
        raise DataError(f"{path} is {_BINARY}")
    return text


def _refuse(path: Path) -> str:
    """Return the reason why a file is not text, if it begins with binary content."""
    try:
        with open_regular(path) as file:
            return _BINARY if b"\0" in file.read(_BEGINNING) else ""
    except OSError:  # reading it again says why
        return ""
