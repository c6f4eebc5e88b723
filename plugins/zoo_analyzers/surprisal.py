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
from zoo.plugin import style, text_metrics, untouched

# Nats at which the color is at its strongest
_FULL = 6.0
# Tokens at the start of the text that the page shows
_SHOWN = 20_000
_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>What surprises the model</title>
<style>
body {{ font: 16px/1.6 system-ui, sans-serif; color: {ink}; background: {paper}; max-width: 46em;
  margin: 2.5em auto; padding: 0 1.2em }}
h1 {{ font-size: 1.5em; margin-bottom: .2em }}
h2 {{ font-size: 1em; margin: 2.2em 0 .5em }}
p {{ color: {muted}; margin: .4em 0 }}
pre {{ font: 15px/1.75 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0;
  border-left: 3px solid {faint}; padding-left: 1em }}
i {{ font-style: normal; padding: .1em .7em; color: {ink} }}
</style>
<h1>What surprises the model</h1>
<p>{title}: {mean:.2f} nats per token on average.</p>
<p>{scale} nats. The redder a token, the less the model expected it; full red means at least {full:.0f} nats,
a probability of at most 1 in {odds:.0f}. The first token that the model reads is not predicted, so it is not
shown.</p>
{parts}
"""


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
            tokens, losses = _losses(inner, batches)
        first = 1  # position of the first token that is predicted
        if preprocess.get("backwards"):
            tokens, losses, first = tokens.flip(0), losses.flip(0), 0
        eos = preprocess.get("newline_eos", False)
        texts = ["\n" if eos and token == "<eos>" else str(token) for token in preprocess["vocabulary"]]
        scored = _Scored(tokens, losses, texts)
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


def _losses(model: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Return the predicted tokens (N,) in the order of the text, and their losses in nats (N,).

    The parallel streams of a batch are consecutive parts of the text; a fresh state starts a new text.
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
    tokens, losses = zip(
        *((torch.cat(parts).T.flatten() for parts in run) for run in runs), strict=True
    )  # (T, B) to lane after lane
    return torch.cat(tokens), torch.cat(losses)


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


def _visible(word: str) -> str:
    """Return a token on one line: a newline becomes ↵, and a control character becomes a dot."""
    return "".join("↵" if sign == "\n" else sign if sign.isprintable() else "·" for sign in word)


def _page(title: str, scored: _Scored, passages: Sequence[tuple[str, tuple[int, int]]]) -> bytes:
    """Return an HTML page with passages under their titles, followed by the start of the text."""
    count = len(scored.tokens)
    text = "The text" if count <= _SHOWN else f"The first {_SHOWN:,} of {count:,} tokens"
    parts = [
        f"<h2>{html.escape(_visible(heading))}</h2>\n"
        f"<pre>{''.join(_span(word, nats) for word, nats in scored.between(*span))}</pre>"
        for heading, span in [*passages, (text, (0, min(count, _SHOWN)))]
    ]
    mean = float(scored.nats.mean())
    return _PAGE.format(
        title=html.escape(_visible(title)),
        mean=mean,
        full=_FULL,
        odds=math.exp(_FULL),
        scale="".join(
            f'<i style="{_heat(nats)}">{nats:.0f}</i>' for nats in (0, _FULL / 4, _FULL / 2, _FULL)
        ),
        parts="\n".join(parts),
        ink=style.INK,
        muted=style.MUTED,
        faint=style.FAINT,
        paper=style.PAPER,
    ).encode()


def _span(word: str, nats: float) -> str:
    end = "\n" if "\n" in word else ""
    return f'<span style="{_heat(nats)}" title="{nats:.1f} nats">{html.escape(_visible(word))}</span>{end}'


def _heat(nats: float) -> str:
    return f"background: rgba(255, 60, 30, {min(nats / _FULL, 1):.2f})"


def _colored(scored: _Scored, span: tuple[int, int]) -> str:
    """Return a passage for a terminal, with backgrounds from black to red."""
    return "".join(
        f"\x1b[48;2;{int(200 * min(nats / _FULL, 1))};0;0;97m{_visible(word)}\x1b[0m"
        for word, nats in scored.between(*span)
    )
