"""Text from a language model, one token at a time, the hidden state carried from each to the next.

A model that reads backwards also writes backwards: its prompt is what the text ends with, and the text grows
to the left of it. It can only be handed out once it is whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data.vocabulary import Vocabulary
from zoo.errors import OptionError
from zoo.seeds import seed_for

__all__ = ["choose", "sample", "sample_many"]

_READ = 4096
"""Tokens of prompt read at a time, all samples together, so that a long one needs no more memory."""
_BLOCK = 256
"""Steps whose uniform numbers are drawn at a time."""


def sample(
    model: nn.Module,
    preprocess: Mapping[str, Any],
    *,
    prompt: str = "",
    length: int = 400,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    stop: str = "",
    seed: int = 0,
    device: str = "cpu",
) -> Iterator[str]:
    """Yield the text that follows `prompt` piece by piece, each as soon as it is certain.

    The model reads the prompt once and then only the token it drew last. Special tokens such as `<unk>` are
    never drawn. An empty prompt starts from a newline or, if the model knows none, from the commonest token.
    Of a model that reads backwards the text before `prompt` is yielded, in one piece.

    Args:
        length: tokens to draw at most; for a model of characters, characters.
        temperature: divides the logits; 0 always takes the likeliest token.
        top_k: draw among the k likeliest only; 0 is off.
        top_p: draw among the likeliest that together hold this share of the probability; 1 is off.
        stop: where this string first appears in what is drawn the text ends, without it; empty is off.
        seed: of the draws.

    Raises:
        OptionError: for a value out of range, or a stop string that the model can never write.
    """
    _check(length=length, temperature=temperature, top_k=top_k, top_p=top_p)
    vocabulary = _drawing(preprocess)
    stop = _writable(stop, vocabulary)
    pick = partial(choose, temperature=temperature, top_k=top_k, top_p=top_p)
    steps = _draw(model, vocabulary, prompt, pick, count=1, length=length, seed=seed, device=device)
    if vocabulary.backwards:
        return _turned(_stream(steps, _Text(stop[::-1])))
    return _stream(steps, _Text(stop))


def sample_many(
    model: nn.Module,
    preprocess: Mapping[str, Any],
    *,
    count: int,
    prompt: str = "",
    length: int = 400,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    stop: str = "",
    seed: int = 0,
    device: str = "cpu",
) -> list[str]:
    """Return `count` texts drawn side by side in one batch; arguments and errors are those of `sample`.

    Text i follows from (seed, i), however many are drawn, and text 0 is the one that `sample` yields. That
    is as exact as the model's arithmetic: matrix products of another batch size may round otherwise, and so
    turn a draw that falls on the very border between two tokens.
    """
    if count < 1:
        raise OptionError(f"samples is {count}; it is 1 or more")
    _check(length=length, temperature=temperature, top_k=top_k, top_p=top_p)
    vocabulary = _drawing(preprocess)
    stop = _writable(stop, vocabulary)
    turn = -1 if vocabulary.backwards else 1
    texts = [_Text(stop[::turn]) for _ in range(count)]
    written = [""] * count
    pick = partial(choose, temperature=temperature, top_k=top_k, top_p=top_p)
    steps = _draw(model, vocabulary, prompt, pick, count=count, length=length, seed=seed, device=device)
    with closing(steps):
        for pieces in steps:
            for index, piece in enumerate(pieces):
                written[index] += texts[index].add(piece)
            if all(text.ended for text in texts):
                break
    return [(start + text.rest())[::turn] for start, text in zip(written, texts, strict=True)]


def choose(
    logits: Tensor,
    uniforms: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Tensor:
    """Turn logits (B, V) and uniform numbers (B,) in [0, 1) into tokens (B,).

    A token is where its row's cumulative probability, in double precision, first exceeds the row's number.
    Top-k keeps exactly k tokens, also among equals; top-p (Holtzman et al. 2020) then narrows what is left.
    """
    if temperature == 0:
        return logits.argmax(1)
    logits = logits.double()
    logits = (logits - logits.amax(1, keepdim=True)) / temperature  # the highest is 0 at any temperature
    if 0 < top_k < logits.shape[1]:
        values, kept = logits.topk(top_k)
        logits = torch.full_like(logits, -math.inf).scatter(1, kept, values)
    probabilities = logits.softmax(1)
    if top_p < 1:
        ordered, order = probabilities.sort(dim=1, descending=True, stable=True)
        beyond = ordered.cumsum(1) - ordered >= top_p  # the likeliest one always stays
        probabilities = probabilities.masked_fill(beyond.scatter(1, order, beyond), 0)
    cumulative = probabilities.cumsum(1)
    drawn = uniforms[:, None] * cumulative[:, -1:]  # below the last, so that nothing of probability 0 is hit
    return torch.searchsorted(cumulative, drawn, right=True)[:, 0]


@torch.inference_mode()  # around each step, not around what the caller does between two of them
def _draw(
    model: nn.Module,
    vocabulary: Vocabulary,
    prompt: str,
    pick: Callable[[Tensor, Tensor], Tensor],
    *,
    count: int,
    length: int,
    seed: int,
    device: str,
) -> Generator[list[str]]:
    """Yield what each step adds to each of `count` samples; mirrored, if the model reads backwards."""
    texts = [text[::-1] for text in vocabulary.texts] if vocabulary.backwards else vocabulary.texts
    tokens = _start(vocabulary, prompt).to(device)[:, None].repeat(1, count)  # (T, B)
    closed = torch.ones(len(vocabulary), dtype=torch.bool)
    closed[vocabulary.drawable] = False
    generators = [torch.Generator().manual_seed(seed_for(seed, "sample", index)) for index in range(count)]
    uniforms = torch.empty(0)
    training = model.training
    model.eval()
    try:
        state = None
        *before, tokens = tokens.split(max(1, _READ // count))
        for part in before:
            _, state = model(part, state)
        for step in range(length):
            with _plain_kernels(tokens):
                logits, state = model(tokens, state)
            if step % _BLOCK == 0:
                uniforms = torch.stack([_uniforms(generator) for generator in generators], 1)  # (block, B)
            last = logits[-1].cpu().double().masked_fill(closed, -math.inf)  # (B, V)
            tokens = pick(last, uniforms[step % _BLOCK])
            yield [texts[number] for number in tokens.tolist()]
            tokens = tokens.to(device)[None]
    finally:
        model.train(training)


def _stream(steps: Generator[list[str]], text: _Text) -> Iterator[str]:
    with closing(steps):
        for (piece,) in steps:
            certain = text.add(piece)
            if certain:
                yield certain
            if text.ended:
                return
    rest = text.rest()
    if rest:
        yield rest


def _turned(pieces: Iterator[str]) -> Iterator[str]:
    yield "".join(pieces)[::-1]


class _Text:
    """One sample as it is drawn: lets go of what can no longer be part of the stop string."""

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._held = ""
        self.ended = False

    def add(self, piece: str) -> str:
        """Take the next piece and return what is certain now: nothing, once the stop string was there."""
        if self.ended or not self._stop:
            return "" if self.ended else piece
        text = self._held + piece
        before, found, _ = text.partition(self._stop)
        self.ended = bool(found)
        sizes = range(min(len(self._stop) - 1, len(before)), 0, -1)
        held = 0 if found else next((size for size in sizes if text.endswith(self._stop[:size])), 0)
        self._held = before[len(before) - held :]
        return before[: len(before) - held]

    def rest(self) -> str:
        """Return what is still held back, when no more is drawn."""
        return self._held


def _drawing(preprocess: Mapping[str, Any]) -> Vocabulary:
    vocabulary = Vocabulary(preprocess)
    if not vocabulary.drawable:
        raise OptionError("the vocabulary has no characters to draw from")
    return vocabulary


def _writable(stop: str, vocabulary: Vocabulary) -> str:
    """Return a stop string in the text's case. Raises OptionError if it holds what no token does."""
    stop = stop.lower() if vocabulary.lower else stop
    written = {character for number in vocabulary.drawable for character in vocabulary.texts[number]}
    never = [character for character in dict.fromkeys(stop) if character not in written]
    if never:
        newline = vocabulary.newline_eos and "<eos>" in stop
        raise OptionError(
            f"stop is {stop!r}, and the model can never write {' '.join(map(repr, never))}",
            hint="<eos> is written as a newline: in a shell, --stop $'\\n'" if newline else None,
        )
    return stop


def _start(vocabulary: Vocabulary, prompt: str) -> Tensor:
    """Return the numbers to begin with, in the order the model reads."""
    texts = vocabulary.texts
    numbers, _ = vocabulary.encode(prompt)
    if not numbers:
        numbers = [texts.index("\n") if "\n" in texts else vocabulary.drawable[0]]
    return torch.tensor(numbers[::-1] if vocabulary.backwards else numbers)


def _uniforms(generator: torch.Generator) -> Tensor:
    return torch.rand(_BLOCK, generator=generator, dtype=torch.float64)


@contextmanager
def _plain_kernels(tokens: Tensor) -> Generator[None]:
    """Keep oneDNN out of a single step: it packs an LSTM's weights anew each time, at ten times the cost."""
    enabled = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = enabled and len(tokens) > 1
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = enabled


def _check(*, length: int, temperature: float, top_k: int, top_p: float) -> None:
    if length < 0:
        raise OptionError(f"length is {length}; it counts the tokens to draw, 0 or more")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise OptionError(
            f"temperature is {temperature}; it is 0 (the likeliest token) or a finite number above"
        )
    if top_k < 0:
        raise OptionError(f"top-k is {top_k}; it is 1 or more, or 0 for off")
    if not 0 < top_p <= 1:
        raise OptionError(f"top-p is {top_p}; it is a share above 0, and 1 is off")
