"""Text from a language model, one token at a time, the hidden state carried from each to the next.

A model that reads backwards also writes backwards: its prompt is how the text ends, and the text grows to the
left of it. It can only be returned once it is whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo.config import options
from zoo.data.vocabulary import Vocabulary
from zoo.errors import Diverged, OptionError
from zoo.models.hooks import evaluating
from zoo.models.recurrent import SingleSteps
from zoo.models.windows import windowed
from zoo.seeds import seed_for

__all__ = ["Sampling", "choose", "sample", "sample_many"]

# Tokens of prompt read at a time, all samples together, so that a long one needs no more memory
_READ = 4096
# Steps whose uniform numbers are drawn at a time
_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn. Raises OptionError for a value that is out of range.

    Attributes:
        length: number of tokens to generate.
        temperature: divides the logits. Lower is more conservative; 0 is greedy.
        top_k: sample from the k most likely tokens only; 0 is off.
        top_p: sample from the most likely tokens that together have this probability; 1 is off.
        stop: end before this string first appears in what is generated; empty is off.
    """

    length: Annotated[int, Meta(ge=0)] = 400
    temperature: Annotated[float, Meta(ge=0)] = 0.8
    top_k: Annotated[int, Meta(ge=0)] = 0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    stop: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        options.validate(self)


def sample(
    model: nn.Module,
    preprocess: Mapping[str, Any],
    *,
    prompt: str = "",
    sampling: Sampling = Sampling(),
    context: int = 0,
    device: str = "cpu",
) -> Iterator[str]:
    """Yield the text that follows `prompt` piece by piece, each as soon as it is final.

    The model reads the prompt once and then only the token it drew last, unless `context` makes it read the
    last ones again (see `zoo.models.windows`). Special tokens such as `<unk>` are
    never drawn. An empty prompt starts from a newline or, without one in the vocabulary, from the most
    frequent token. A model that reads backwards yields the text before `prompt`, in one piece.

    Args:
        context: most tokens that the model reads from an empty state on; 0 is any.

    Raises:
        OptionError: the model can never generate the stop string.
    """
    vocabulary, stop = _prepare(preprocess, sampling)
    model = windowed(model, context)
    steps = _draw(model, vocabulary, prompt, sampling, count=1, device=device)
    if vocabulary.backwards:
        return _reversed(_stream(steps, _Text(stop[::-1])))
    return _stream(steps, _Text(stop))


def sample_many(
    model: nn.Module,
    preprocess: Mapping[str, Any],
    *,
    count: int,
    prompt: str = "",
    sampling: Sampling = Sampling(),
    context: int = 0,
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Return `count` texts drawn side by side in one batch; otherwise as `sample`.

    Text i depends on (seed, i) and not on the count, and text 0 is the one that `sample` yields. This holds
    as exactly as the model's arithmetic: matrix products of another batch size may round differently, and so
    change a draw that falls right on the border between two tokens.

    Args:
        context: as in `sample`.
        report: called in each step with the number of tokens drawn before, of all texts, and their total.
    """
    if count < 1:
        raise OptionError(f"samples must be at least 1 (got {count})")
    vocabulary, stop = _prepare(preprocess, sampling)
    direction = -1 if vocabulary.backwards else 1
    texts = [_Text(stop[::direction]) for _ in range(count)]
    model = windowed(model, context)
    with closing(_draw(model, vocabulary, prompt, sampling, count=count, device=device)) as steps:
        for step, pieces in enumerate(steps):
            report(step * count, sampling.length * count)
            for text, piece in zip(texts, pieces, strict=True):
                text.add(piece)
            if all(text.ended for text in texts):
                break
    return [(text.final + text.held)[::direction] for text in texts]


def choose(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
    """Turn logits (B, V) and uniform numbers (B,) in [0, 1) into tokens (B,).

    A token is where its row's cumulative probability, in double precision, first exceeds the row's number.
    Top-k keeps exactly k tokens, also among ties; top-p (Holtzman et al. 2020) then narrows the rest.
    """
    if sampling.temperature == 0:
        return logits.argmax(1)
    logits = logits.double()
    logits = (logits - logits.amax(1, keepdim=True)) / sampling.temperature  # the highest is always 0
    if 0 < sampling.top_k < logits.shape[1]:
        values, kept = logits.topk(sampling.top_k)
        logits = torch.full_like(logits, -math.inf).scatter(1, kept, values)
    probabilities = logits.softmax(1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(dim=1, descending=True, stable=True)
        beyond = ordered.cumsum(1) - ordered >= sampling.top_p  # the most likely one always stays
        probabilities = probabilities.masked_fill(beyond.scatter(1, order, beyond), 0)
    cumulative = probabilities.cumsum(1)
    drawn = uniforms[:, None] * cumulative[:, -1:]  # below the last, so that no token of probability 0 is hit
    return torch.searchsorted(cumulative, drawn, right=True)[:, 0]


@torch.inference_mode()  # around each step, not around what the caller does between two of them
def _draw(
    model: nn.Module, vocabulary: Vocabulary, prompt: str, sampling: Sampling, *, count: int, device: str
) -> Generator[list[str]]:
    """Yield what each step adds to each of `count` samples; mirrored if the model reads backwards."""
    texts = [text[::-1] for text in vocabulary.texts] if vocabulary.backwards else vocabulary.texts
    numbers, _ = vocabulary.encode(prompt)
    if not numbers:
        numbers = [texts.index("\n") if "\n" in texts else vocabulary.drawable[0]]
    tokens = torch.tensor(numbers[::-1] if vocabulary.backwards else numbers, device=device)
    tokens = tokens[:, None].repeat(1, count)  # (T, B)
    forbidden = torch.ones(len(vocabulary), dtype=torch.bool)
    forbidden[vocabulary.drawable] = False
    seeds = [seed_for(sampling.seed, "sample", index) for index in range(count)]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    uniforms = torch.empty(0)
    lstm_steps = SingleSteps()
    with evaluating(model):
        state = None
        *before, tokens = tokens.split(max(1, _READ // count))
        for part in before:
            _, state = model(part, state)
        for step in range(sampling.length):
            with lstm_steps if step == 0 or lstm_steps.found else nullcontext():
                logits, state = model(tokens, state)
            if step % _BLOCK == 0:
                columns = [torch.rand(_BLOCK, generator=one, dtype=torch.float64) for one in generators]
                uniforms = torch.stack(columns, 1)  # (block, B)
            last = logits[-1].cpu().double().masked_fill(forbidden, -math.inf)  # (B, V)
            if not last.amax().isfinite():
                hint = "its weights are finite, but too large to compute with"
                raise Diverged("the model's logits are not finite", hint=hint)
            tokens = choose(last, uniforms[step % _BLOCK], sampling)
            yield [texts[number] for number in tokens.tolist()]
            tokens = tokens.to(device)[None]


def _stream(steps: Generator[list[str]], text: _Text) -> Iterator[str]:
    with closing(steps):
        for (piece,) in steps:
            final = text.add(piece)
            if final:
                yield final
            if text.ended:
                return
    if text.held:
        yield text.held


def _reversed(pieces: Iterator[str]) -> Iterator[str]:
    yield "".join(pieces)[::-1]


class _Text:
    """One sample as it is drawn: what is final, and what may still turn out to be the stop string."""

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self.final = self.held = ""
        self.ended = False

    def add(self, piece: str) -> str:
        """Take the next piece and return what is final now: nothing, once the stop string has come."""
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
    """Return the vocabulary and the stop string in its case. Raises OptionError if that cannot occur."""
    vocabulary = Vocabulary(preprocess)
    if not vocabulary.drawable:
        raise OptionError("the vocabulary has no tokens to draw from")
    stop = sampling.stop.lower() if vocabulary.lower else sampling.stop
    characters = {character for number in vocabulary.drawable for character in vocabulary.texts[number]}
    impossible = [character for character in dict.fromkeys(stop) if character not in characters]
    if impossible:
        newline = vocabulary.newline_eos and "<eos>" in stop
        signs = " ".join(map(repr, impossible))
        hint = "<eos> is generated as a newline: in a shell, --stop $'\\n'"
        message = f"the model can never generate {signs} of the stop string {stop!r}"
        raise OptionError(message, hint=hint if newline else None)
    return vocabulary, stop
