"""Convert text to tokens and back, as a card specifies; no dataset is required. Torch-free."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from zoo.config.arguments import checked
from zoo.registry.registry import Registry

# Similar to GPT-2 (Radford et al. 2019); the limit keeps a text without spaces from being one token.
_WORD = re.compile(r" ?\w{1,100}| ?[^\w\s]{1,100}|\s")


class Vocabulary:
    """The tokens of a model and their numbers.

    Args:
        preprocess: `{"tokens": "char" | "word" | NAME, "lower": bool, "newline_eos": bool, "backwards": bool,
            "vocabulary": [...], "specials": n}`, from a dataset or a card, where NAME is a tokenizer. The
            first four keys are optional; the defaults are `"char"` and False. The first `specials` tokens do
            not represent text; token 0 is `<unk>`. With `newline_eos`, a newline is encoded as the special
            token `<eos>`, and `<eos>` is decoded to a newline.

    Attributes:
        tokens: the tokens, as listed in `preprocess`.
        texts: the text for each number: the token, or a newline for `<eos>`.
        drawable: the numbers of the tokens that represent text, which sampling may generate.
        backwards: whether the model reads text from the end. `encode` and `decode` do not reverse text.
    """

    def __init__(self, preprocess: Mapping[str, Any]) -> None:
        self._preprocess = preprocess
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
        """Return the dataset options that make a dataset read text in the same way."""
        return {
            "tokens": self.kind,
            "lower": self.lower,
            "newline_eos": self.newline_eos,
            "backwards": self.backwards,
            "vocabulary": self.tokens,
        }

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        """Return the number of each token, and a sorted list of tokens that are not in the vocabulary.

        If the vocabulary contains the first word only with a space before it, the token with the space is
        used.

        Raises UnknownName for an unknown tokenizer.
        """
        tokens = tokenize(text.lower() if self.lower else text, self.kind, self._preprocess)
        if tokens and tokens[0] not in self._numbers and f" {tokens[0]}" in self._numbers:
            tokens[0] = f" {tokens[0]}"
        unknown = sorted({token for token in tokens if token not in self._numbers})
        return [self.number(token) for token in tokens], unknown

    def number(self, token: str) -> int:
        """Return the number of a token, or that of `<unk>` if the token is unknown."""
        return self._numbers.get(token, 0)

    def decode(self, numbers: Iterable[int]) -> str:
        """Decode numbers to text; `<eos>` becomes a newline, and any other special token becomes its name."""
        return "".join(self.texts[number] for number in numbers)


@runtime_checkable
class WritesText(Protocol):
    """A processor for models that generate text token by token; their task implements `CarriesState`."""

    def vocabulary(self, preprocess: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary of a model, from the `preprocess` of its card."""
        ...


def text_metrics(loss: float, preprocess: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of a language model: `loss`, `perplexity`, and `bits_per_char` or `bits_per_token`.

    Args:
        loss: mean loss in nats per token.
        preprocess: as in `Dataset.preprocess`; its `tokens` determine the name of the bits.
    """
    bits = "bits_per_char" if preprocess.get("tokens", "char") == "char" else "bits_per_token"
    return {"loss": loss, bits: loss / math.log(2), "perplexity": math.exp(min(loss, 700.0))}


@checked
def tokenize(text: str, kind: str, preprocess: Mapping[str, Any] | None = None) -> list[str]:
    """Split text into tokens; joining them restores the text.

    A token is a character (`"char"`), or a word or a sequence of punctuation marks, together with the space
    before it (`"word"`). With `"word"`, every other whitespace character is a separate token. Any other kind
    is the name of a plugin's tokenizer, which receives `preprocess`. Raises UnknownName for an unknown
    tokenizer.

    >>> tokenize("Thus spoke,  he.", "word")
    ['Thus', ' spoke', ',', ' ', ' he', '.']
    """
    if kind == "char":
        return list(text)
    if kind == "word":
        return _WORD.findall(text)
    return _tokenizer(kind)(text, preprocess or {})


@functools.cache
def _tokenizer(name: str) -> Callable[[str, Mapping[str, Any]], list[str]]:
    return Registry.discover().entry("tokenizer", name).load()
