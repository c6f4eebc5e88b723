"""Text from a language model, one character at a time, the hidden state carried from each to the next."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import OptionError
from zoo.seeds import seed_for
from zoo.vocabulary import Vocabulary

__all__ = ["choose", "sample"]


def sample(
    model: nn.Module,
    preprocess: Mapping[str, Any],
    *,
    prompt: str = "",
    length: int = 400,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    device: str = "cpu",
) -> Iterator[str]:
    """Yield `length` characters that follow `prompt`, each as soon as it is drawn.

    The model reads the prompt once and then only the character it drew last. Special tokens such as `<unk>`
    are never drawn. An empty prompt starts from a newline, or from the commonest character.

    Args:
        temperature: divides the logits; 0 always takes the likeliest character.
        top_k: draw among the k likeliest only; 0 is off.
        top_p: draw among the likeliest that together hold this share of the probability; 1 is off.
        seed: of the draws.

    Raises:
        OptionError: for a value out of range.
    """
    _check(length=length, temperature=temperature, top_k=top_k, top_p=top_p)
    vocabulary = Vocabulary(preprocess)
    if len(vocabulary) == vocabulary.specials:
        raise OptionError("the vocabulary has no characters to draw from")
    numbers, _ = vocabulary.encode(
        prompt or ("\n" if "\n" in vocabulary.tokens else vocabulary.tokens[vocabulary.specials])
    )
    return _draw(model, vocabulary, numbers, length, temperature, top_k, top_p, seed, device)


@torch.inference_mode()  # around each step, not around what the caller does between two characters
def _draw(
    model: nn.Module,
    vocabulary: Vocabulary,
    numbers: list[int],
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    device: str,
) -> Iterator[str]:
    generator = torch.Generator().manual_seed(seed_for(seed, "sample"))
    training = model.training
    model.eval()
    try:
        tokens = torch.tensor(numbers, device=device)[:, None]  # (T, 1)
        state = None
        for _ in range(length):
            with _plain_kernels():
                logits, state = model(tokens, state)
            last = logits[-1, 0].float().cpu()
            last[: vocabulary.specials] = -math.inf
            number = choose(last, generator, temperature=temperature, top_k=top_k, top_p=top_p)
            tokens = torch.tensor([[number]], device=device)
            yield vocabulary.tokens[number]
    finally:
        model.train(training)


def choose(
    logits: Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> int:
    """Draw one token from logits (V,), narrowed by top-k and then by top-p (Holtzman et al. 2020)."""
    if temperature == 0:
        return int(logits.argmax())
    logits = (logits.double() - logits.max()) / temperature  # the highest is 0, however low the temperature
    if 0 < top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -math.inf)
    probabilities = logits.softmax(0)
    if top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        beyond = ordered.cumsum(0) - ordered >= top_p  # the likeliest one always stays
        probabilities[order[beyond]] = 0
    return int(torch.multinomial(probabilities, 1, generator=generator))


@contextmanager
def _plain_kernels() -> Generator[None]:
    """Keep oneDNN out of the way: it packs an LSTM's weights anew for each step, at five times its cost."""
    enabled = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = enabled


def _check(*, length: int, temperature: float, top_k: int, top_p: float) -> None:
    if length < 0:
        raise OptionError(f"length is {length}; it counts the characters to draw, 0 or more")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise OptionError(f"temperature is {temperature}; it is 0 (the likeliest character) or more")
    if top_k < 0:
        raise OptionError(f"top-k is {top_k}; it is 1 or more, or 0 for off")
    if not 0 < top_p <= 1:
        raise OptionError(f"top-p is {top_p}; it is a share above 0, and 1 is off")
