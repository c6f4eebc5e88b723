"""Sample text from a language model, one token at a time, carrying the hidden state.

A model that reads backward also writes backward: the prompt is the end of the text. The text grows to the
left, and can only be returned once it is complete. Tokens are sampled with NumPy's uniform random numbers, so
a model and its exported file generate the same text. Torch-free.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from zoo.config import options
from zoo.data.vocabulary import Vocabulary
from zoo.errors import Diverged, OptionError
from zoo.models.runners import Numbers, Runner, Tokens
from zoo.seeds import seed_for

# Tokens of prompt read at a time, all samples together, so that a long one needs no more memory
_READ = 1024
# Steps whose uniform numbers are drawn at a time
_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling options. Raises OptionError for a value that is out of range.

    Attributes:
        samples: number of texts to generate in parallel.
        max_new_tokens: number of tokens to generate.
        temperature: number that divides the logits; lower values are more conservative, and 0 is greedy.
        top_k: sample only from the k most likely tokens; 0 disables it.
        top_p: sample only from the most likely tokens whose probabilities add up to this value; 1 disables
            it.
        stop: stop before generating this string; empty disables it.
    """

    samples: Annotated[int, Meta(ge=1)] = 1
    max_new_tokens: Annotated[int, Meta(ge=0)] = 400
    temperature: Annotated[float, Meta(ge=0)] = 0.8
    top_k: Annotated[int, Meta(ge=0)] = 0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    stop: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        options.validate(self)


def stream(
    runner: Runner, preprocess: Mapping[str, Any], *, prompt: str = "", sampling: Sampling = Sampling()
) -> Generator[tuple[str, float]]:
    """Yield each token that follows `prompt`, with its surprisal, as soon as it is final.

    The model reads the prompt once, and then only the latest token. Special tokens such as `<unk>` are never
    sampled. With an empty prompt, the model starts from a newline or, if the vocabulary does not contain one,
    from the most frequent token. If the stop string begins within a token, the token is cut there. For a
    model that reads backward, the text before `prompt` is yielded: its tokens in text order, once all are
    sampled. The surprisal is -log p in nats, where p is the probability of the token before temperature,
    top-k and top-p are applied.

    Raises:
        OptionError: the model can never generate the stop string.
    """
    vocabulary, stop = _prepare(preprocess, sampling)
    steps = _draw(runner, vocabulary, prompt, sampling, count=1)
    if vocabulary.backwards:
        return _reversed(_tokens(steps, _Text(stop[::-1])))
    return _tokens(steps, _Text(stop))


def sample_many(
    runner: Runner,
    preprocess: Mapping[str, Any],
    *,
    prompt: str = "",
    sampling: Sampling = Sampling(),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Return multiple texts, sampled in one batch but otherwise as in `stream`.

    Text i depends on (seed, i), but not on the number of texts, and text 0 is the same as from `stream`.
    Rounding is the only exception: with a different batch size, matrix products may round differently and
    change a draw that falls on the boundary between two tokens.

    Args:
        report: called in each step with the number of tokens sampled so far in all texts, and the total
            number.
    """
    vocabulary, stop = _prepare(preprocess, sampling)
    count = sampling.samples
    direction = -1 if vocabulary.backwards else 1
    texts = [_Text(stop[::direction]) for _ in range(count)]
    with closing(_draw(runner, vocabulary, prompt, sampling, count=count)) as steps:
        for step, drawn in enumerate(steps):
            report(step * count, sampling.max_new_tokens * count)
            for text, piece in zip(texts, drawn.texts, strict=True):
                text.add(piece)
            if all(text.ended for text in texts):
                break
    return [(text.final + text.held)[::direction] for text in texts]


def choose(logits: Numbers, uniforms: Numbers, sampling: Sampling) -> Tokens:
    """Turn logits (B, V) and uniform numbers (B,) in [0, 1) into tokens (B,).

    A row's token is the first token whose cumulative probability, in double precision, exceeds the row's
    number. Top-k keeps exactly k tokens, the first ones among ties; top-p (Holtzman et al. 2020) then
    excludes more of them.
    """
    if sampling.temperature == 0:
        return logits.argmax(1)
    logits = logits.astype(np.float64, copy=False)
    with np.errstate(over="ignore"):  # far below the highest, which is always 0
        logits = (logits - logits.max(1, keepdims=True)) / sampling.temperature
    if 0 < sampling.top_k < logits.shape[1]:
        logits = np.where(_highest(logits, sampling.top_k), logits, -math.inf)
    probabilities = np.exp(logits)
    if sampling.top_p < 1:
        probabilities /= probabilities.sum(1, keepdims=True)
        order = np.argsort(-probabilities, 1, kind="stable")
        ordered = np.take_along_axis(probabilities, order, 1)
        ordered[ordered.cumsum(1) - ordered >= sampling.top_p] = 0  # the most likely one always stays
        np.put_along_axis(probabilities, order, ordered, 1)
    cumulative = probabilities.cumsum(1)
    drawn = uniforms[:, None] * cumulative[:, -1:]  # below the last, so that no token of probability 0 is hit
    return (cumulative <= drawn).sum(1)


def _highest(logits: Numbers, count: int) -> NDArray[np.bool_]:
    """Return a mask of the `count` highest logits of each row (B, V)."""
    least = np.partition(logits, -count, 1)[:, -count, None]
    above, equal = logits > least, logits == least
    return above | (equal & (equal.cumsum(1) <= count - above.sum(1, keepdims=True)))


class _Drawn(NamedTuple):
    """The tokens of one step, one for each sample, and their text, reversed if the model reads backward.

    Attributes:
        tokens: (B,)
        logits: logits that they were sampled from, (B, V).
    """

    texts: list[str]
    tokens: Tokens
    logits: Numbers

    def surprisal(self) -> float:
        """Return -log p of the first sample's token, in nats."""
        logits = self.logits[0]
        highest = logits.max()
        return float(highest + np.log(np.exp(logits - highest).sum()) - logits[self.tokens[0]])


def _draw(
    runner: Runner, vocabulary: Vocabulary, prompt: str, sampling: Sampling, *, count: int
) -> Generator[_Drawn]:
    """Yield the tokens that each step adds to `count` samples."""
    texts = [text[::-1] for text in vocabulary.texts] if vocabulary.backwards else vocabulary.texts
    numbers, _ = vocabulary.encode(prompt)
    if not numbers:
        numbers = [texts.index("\n") if "\n" in texts else vocabulary.drawable[0]]
    column = np.array(numbers[::-1] if vocabulary.backwards else numbers, np.int64)[:, None]
    forbidden = np.ones(len(vocabulary), np.bool_)
    forbidden[vocabulary.drawable] = False
    # NumPy keeps the streams of a bit generator the same in all versions
    streams = [np.random.PCG64(seed_for(sampling.seed, "sample", index)) for index in range(count)]
    uniforms = np.empty((0, count))
    with runner.reading(trusted=True) as read:
        state = None
        size = max(1, _READ // count)
        *before, tokens = [column[at : at + size].repeat(count, 1) for at in range(0, len(column), size)]
        for part in before:  # (T, B)
            _, state = read(part, state)
        for step in range(sampling.max_new_tokens):
            outputs, state = read(tokens, state)
            logits = outputs[runner.main_output][-1].astype(np.float64)  # (B, V)
            if step % _BLOCK == 0:
                uniforms = np.stack([_uniforms(stream) for stream in streams], 1)  # (block, B)
            last = np.where(forbidden, -math.inf, logits)
            if not np.isfinite(last.max()):
                hint = "its weights are finite, but so large that results overflow"
                raise Diverged("the model's logits are not finite", hint=hint)
            tokens = choose(last, uniforms[step % _BLOCK], sampling)[None]
            yield _Drawn([texts[number] for number in tokens[0].tolist()], tokens[0], logits)


def _uniforms(stream: np.random.PCG64) -> Numbers:
    """Return the next random numbers in [0, 1), with 53 bits each, as NumPy generates them."""
    return (stream.random_raw(_BLOCK) >> np.uint64(11)) * 2.0**-53


def _tokens(steps: Generator[_Drawn], text: _Text) -> Generator[tuple[str, float]]:
    """Yield each token with its surprisal as soon as it is final, then the rest of a token that was cut."""
    waiting, ready = deque[tuple[str, float]](), 0
    with closing(steps):
        for drawn in steps:
            waiting.append((drawn.texts[0], drawn.surprisal()))
            ready += len(text.add(drawn.texts[0]))
            while waiting and len(waiting[0][0]) <= ready:
                ready -= len(waiting[0][0])
                yield waiting.popleft()
            if text.ended:
                break
    ready += len(text.held)
    while waiting and ready > 0:
        token, surprisal = waiting.popleft()
        yield token[:ready], surprisal
        ready -= len(token)


def _reversed(tokens: Iterator[tuple[str, float]]) -> Generator[tuple[str, float]]:
    for token, surprisal in reversed([*tokens]):
        yield token[::-1], surprisal


class _Text:
    """One sample in progress: its final text, and an ending that may turn out to be the stop string."""

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self.final = self.held = ""
        self.ended = False

    def add(self, piece: str) -> str:
        """Add the next piece and return the text that is now final; text after the stop string is dropped."""
        if self.ended:
            return ""
        text, stop, _ = (self.held + piece).partition(self._stop) if self._stop else (piece, "", "")
        self.ended = bool(stop)
        sizes = () if stop else range(min(len(self._stop) - 1, len(text)), 0, -1)
        size = next((size for size in sizes if text.endswith(self._stop[:size])), 0)
        self.held = text[len(text) - size :]
        self.final += text[: len(text) - size]
        return text[: len(text) - size]


def _prepare(preprocess: Mapping[str, Any], sampling: Sampling) -> tuple[Vocabulary, str]:
    """Return the vocabulary, and the stop string in the vocabulary's case.

    Raises OptionError if the stop string cannot occur.
    """
    vocabulary = Vocabulary(preprocess)
    if not vocabulary.drawable:
        raise OptionError("the vocabulary has no tokens to sample from")
    stop = sampling.stop.lower() if vocabulary.lower else sampling.stop
    characters = {character for number in vocabulary.drawable for character in vocabulary.texts[number]}
    impossible = [character for character in dict.fromkeys(stop) if character not in characters]
    if impossible:
        newline = vocabulary.newline_eos and "<eos>" in stop
        signs = " ".join(map(repr, impossible))
        hint = "<eos> is generated as a newline; in a shell, use --stop $'\\n'"
        message = f"the stop string {stop!r} contains {signs}, which the model can never generate"
        raise OptionError(message, hint=hint if newline else None)
    return vocabulary, stop
