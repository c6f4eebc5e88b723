"""What surprised a language model: the loss of each token, and the passages where it is highest."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.interfaces import Analysis, Batch

_MOST = 8.0
"""Bits of surprise that are coloured fully."""
_START = 20_000
"""Tokens from the beginning of the text that the page shows."""
_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>What surprised the model</title>
<style>
body {{ font: 15px/1.7 ui-monospace, monospace; max-width: 90ch; margin: 2em auto; padding: 0 1em }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
h1, h2, p {{ font-family: system-ui, sans-serif }}
</style>
<h1>What surprised the model</h1>
<p>{mean:.2f} bits a token on average. The redder a token, the less it was expected; full red is
{most:.0f} bits, a chance of 1 in {odds:.0f}, or more. The very first token is not predicted, and so
not shown.</p>
{parts}
"""


@dataclass(frozen=True, slots=True)
class _Read:
    """A text that was read: each token and its bits, (N,), and how tokens are written."""

    tokens: Tensor
    bits: Tensor
    texts: Sequence[str]

    def between(self, start: int, end: int) -> list[tuple[str, float]]:
        """Return a stretch of it, word by word."""
        words = [self.texts[number] for number in self.tokens[start:end].tolist()]
        return [*zip(words, self.bits[start:end].tolist(), strict=True)]


@torch.no_grad()
def surprise(
    model: nn.Module, batches: Iterable[Batch], preprocess: Mapping[str, Any], *, passages: int, length: int
) -> Analysis:
    """Return tables `tokens` and `passages`, the page `surprise.html`, and coloured passages as text.

    Args:
        model: in evaluation mode.
        passages: how many to show; they do not overlap.
        length: of a passage in tokens.
    """
    tokens, losses = _read(model, batches)
    first = 1  # the number, in the text, of the first token that was predicted
    if preprocess.get("backwards"):
        tokens, losses, first = tokens.flip(0), losses.flip(0), 0
    eos = preprocess.get("newline_eos", False)
    texts = ["\n" if eos and token == "<eos>" else str(token) for token in preprocess["vocabulary"]]
    bits = losses / math.log(2)
    read = _Read(tokens, bits, texts)
    spans = _highest(bits, count=passages, length=length)
    rows = [
        {
            "from": start + first,
            "bits": float(bits[start:end].mean()),
            "text": "".join(word for word, _ in read.between(start, end)),
        }
        for start, end in spans
    ]
    mean = float(losses.mean())
    unit = "char" if preprocess.get("tokens", "char") == "char" else "token"
    titles = [f"{row['bits']:.2f} bits a token, from token {row['from']:,}" for row in rows]
    shown = [*zip(titles, spans, strict=True)]
    beginning = "The text", (0, len(tokens))
    if len(tokens) > _START:
        beginning = f"The first {_START:,} of {len(tokens):,} tokens", (0, _START)
    return Analysis(
        scores={"loss": mean, f"bits_per_{unit}": mean / math.log(2), "perplexity": math.exp(mean)},
        tables={"tokens": _by_token(tokens, bits, texts), "passages": rows},
        details={"tokens": len(tokens)},
        figures={"surprise.html": lambda: _page(read, [*shown, beginning])},
        text="\n\n".join(f"{title}\n{_coloured(read, span)}" for title, span in shown),
    )


def _read(model: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Return each token that was predicted and its loss in nats, (N,), in the order of the text.

    Batches are lanes side by side: lane by lane is the text's own order. A narrower batch is what was left.
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
        *((torch.cat(run).T.flatten() for run in pair) for pair in runs), strict=True
    )  # (T, B) to lanes in turn
    return torch.cat(tokens), torch.cat(losses)


def _highest(bits: Tensor, *, count: int, length: int) -> list[tuple[int, int]]:
    """Return the stretches of some length with the highest mean, none overlapping another."""
    length = min(length, len(bits))
    means = bits.unfold(0, length, 1).mean(1)
    spans: list[tuple[int, int]] = []
    while len(spans) < count and means.max() > -1:
        start = int(means.argmax())
        spans.append((start, start + length))
        means[max(0, start - length + 1) : start + length] = -1
    return spans


def _by_token(tokens: Tensor, bits: Tensor, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return how often each token came and its bits, the one that cost most in all first."""
    counts = torch.bincount(tokens, minlength=len(texts))
    sums = torch.zeros(len(texts), dtype=torch.float64).index_add_(0, tokens, bits.double())
    order = sums.argsort(descending=True, stable=True).tolist()
    total = float(sums.sum())
    return [
        {
            "token": texts[number],
            "count": int(counts[number]),
            "bits": float(sums[number] / counts[number]),
            "share": float(sums[number]) / total,
        }
        for number in order
        if counts[number]
    ]


def _shown(word: str) -> str:
    """Return a token as it stands in a line: a line's end, or what a terminal would obey, is a sign."""
    return "".join("↵" if sign == "\n" else sign if sign.isprintable() else "·" for sign in word)


def _page(read: _Read, shown: Sequence[tuple[str, tuple[int, int]]]) -> bytes:
    parts = [
        f"<h2>{html.escape(title)}</h2>\n<pre>{''.join(_span(*each) for each in read.between(*span))}</pre>"
        for title, span in shown
    ]
    mean = float(read.bits.mean())
    return _PAGE.format(mean=mean, most=_MOST, odds=2**_MOST, parts="\n".join(parts)).encode()


def _span(word: str, bits: float) -> str:
    style = f"background: rgba(255, 60, 30, {min(bits / _MOST, 1):.2f})"
    end = "\n" if "\n" in word else ""
    return f'<span style="{style}" title="{bits:.1f} bits">{html.escape(_shown(word))}</span>{end}'


def _coloured(read: _Read, span: tuple[int, int]) -> str:
    """Return a stretch of text for a terminal, each token on a ground from black to red."""
    return "".join(
        f"\x1b[48;2;{int(200 * min(bits / _MOST, 1))};0;0;97m{_shown(word)}\x1b[0m"
        for word, bits in read.between(*span)
    )
