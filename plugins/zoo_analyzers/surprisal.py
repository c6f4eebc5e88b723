"""The surprisal of a language model: the loss of each token, and the passages where the loss is highest."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import text_metrics, untouched
from zoo_analyzers.text_page import in_order, page, scale, token_texts, visible

# Nats at which the color is at its strongest
_FULL = 6.0
# Tokens at the start of the text that the page shows
_SHOWN = 20_000


class Surprisal(Analyzer):
    """The loss of each token of the vocabulary, and the passages of the text where the loss is highest.

    Args:
        passages: number of passages to show; they do not overlap.
        length: length of a passage in tokens.
    """

    def __init__(
        self, *, passages: Annotated[int, Meta(ge=1)] = 10, length: Annotated[int, Meta(ge=1)] = 80
    ) -> None:
        self.passages = passages
        self.length = length

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the tables `tokens` and `passages`, the page `surprisal.html`, and the passages in color."""
        preprocess = subject.preprocess
        with untouched(model) as inner, torch.no_grad():
            backwards = bool(preprocess.get("backwards"))
            tokens, losses = _losses(inner, batches, backwards=backwards)
        first = 0 if backwards else 1  # position of the first token that is predicted
        scored = _Scored(tokens, losses, token_texts(preprocess))
        spans = _highest(scored.nats, count=self.passages, length=self.length)
        rows = [
            {
                "from": start + first,
                "nats": float(scored.nats[start:end].mean()),
                "text": "".join(word for word, _ in scored.between(start, end)),
            }
            for start, end in spans
        ]
        titles = [f"{row['nats']:.2f} nats per token, starting at token {row['from']:,}" for row in rows]
        shown = [*zip(titles, spans, strict=True)]
        mean = float(losses.mean())
        return Analysis(
            scores=text_metrics(mean, preprocess),
            tables={"tokens": _by_token(scored), "passages": rows},
            details={"tokens": len(tokens)},
            figures={"surprisal.html": lambda: _page(subject.title, scored, shown)},
            text="\n\n".join(f"{title}\n{_colored(scored, span)}" for title, span in shown),
        )


@dataclass(frozen=True, slots=True)
class _Scored:
    """Tokens (N,) with their surprisal in nats (N,), and the text of each token of the vocabulary."""

    tokens: Tensor
    nats: Tensor
    texts: Sequence[str]

    def between(self, start: int, end: int) -> list[tuple[str, float]]:
        """Return the text and the nats of each token of a span."""
        numbers: list[int] = self.tokens[start:end].tolist()
        nats: list[float] = self.nats[start:end].tolist()
        return [(self.texts[number], value) for number, value in zip(numbers, nats, strict=True)]


def _losses(model: nn.Module, batches: Iterable[Batch], *, backwards: bool) -> tuple[Tensor, Tensor]:
    """Return the predicted tokens (N,) in the order of the text, and their losses in nats (N,).

    A fresh state starts a new text.
    """
    runs: list[tuple[list[Tensor], list[Tensor]]] = []
    state = None
    for batch in batches:
        if batch.fresh or not runs:
            runs.append(([], []))
        logits, state, *_ = model(batch.inputs, None if batch.fresh else state)
        losses = F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="none")
        runs[-1][0].append(batch.targets.cpu())
        runs[-1][1].append(losses.view_as(batch.targets).cpu())
    tokens, nats = zip(*runs, strict=True)
    return in_order(tokens, backwards=backwards), in_order(nats, backwards=backwards)


def _highest(nats: Tensor, *, count: int, length: int) -> list[tuple[int, int]]:
    """Return the non-overlapping spans of a given length with the highest means."""
    length = min(length, len(nats))
    means = nats.unfold(0, length, 1).mean(1)
    spans: list[tuple[int, int]] = []
    while len(spans) < count and means.max() > -1:
        start = int(means.argmax())
        spans.append((start, start + length))
        means[max(0, start - length + 1) : start + length] = -1
    return spans


def _by_token(scored: _Scored) -> list[dict[str, Any]]:
    """Return the count and the mean nats of each token, with the highest total first."""
    size = len(scored.texts)
    counts = torch.bincount(scored.tokens, minlength=size)
    sums = torch.zeros(size, dtype=torch.float64).index_add_(0, scored.tokens, scored.nats.double())
    order: list[int] = sums.argsort(descending=True, stable=True).tolist()
    total = float(sums.sum())
    return [
        {
            "token": scored.texts[number],
            "count": int(counts[number]),
            "nats": float(sums[number] / counts[number]),
            "share": float(sums[number]) / total,
        }
        for number in order
        if counts[number]
    ]


def _page(title: str, scored: _Scored, passages: Sequence[tuple[str, tuple[int, int]]]) -> bytes:
    """Return an HTML page with passages under their titles, followed by the start of the text."""
    count, mean = len(scored.tokens), float(scored.nats.mean())
    text = "The text" if count <= _SHOWN else f"The first {_SHOWN:,} of {count:,} tokens"
    colors = scale({f"{nats:.0f}": _heat(nats) for nats in (0, _FULL / 4, _FULL / 2, _FULL)})
    return page(
        "What surprises the model",
        [
            f"{html.escape(visible(title))}: {mean:.2f} nats per token on average.",
            f"{colors} nats. The redder a token, the less the model expected it; full red means at least "
            f"{_FULL:.0f} nats, a probability of at most 1 in {math.exp(_FULL):.0f}. The first token that "
            "the model reads is not predicted, so it is not shown.",
        ],
        (
            (heading, ((word, _heat(nats), f"{nats:.1f} nats") for word, nats in scored.between(*span)))
            for heading, span in [*passages, (text, (0, min(count, _SHOWN)))]
        ),
    )


def _heat(nats: float) -> str:
    return f"rgba(255, 60, 30, {min(nats / _FULL, 1):.2f})"


def _colored(scored: _Scored, span: tuple[int, int]) -> str:
    """Return a passage for a terminal, with backgrounds from black to red."""
    return "".join(
        f"\x1b[48;2;{int(200 * min(nats / _FULL, 1))};0;0;97m{visible(word)}\x1b[0m"
        for word, nats in scored.between(*span)
    )
