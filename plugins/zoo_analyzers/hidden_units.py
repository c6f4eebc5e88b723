"""What single hidden units of a language model react to."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import features_of, style, untouched, warn
from zoo_analyzers.plots import units_plot
from zoo_analyzers.text_page import Colored, in_order, page, scale, token_texts, visible

# Tokens at the start of the text that the page and the figure show
_SHOWN, _DRAWN = 1_500, 90
# Tokens that occur less often are not named as those with the highest or lowest mean
_FREQUENT = 10
# With fewer tokens, most occur so rarely that `explained` is close to 1 by chance
_ENOUGH = 1_000
# Opacity of the strongest color, at which the text can still be read
_OPACITY = 0.6


class HiddenUnits(Analyzer):
    """The value of each unit of the last hidden layer after each token of a text.

    A unit that reacts to the token just read has a different mean for each token; a unit that remembers
    something changes slowly.

    Args:
        count: number of units to show. Half of them are those that depend most on the token just read, the
            others are those that change most slowly.
        units: the numbers of the units to show instead.
        tokens: number of tokens to analyze; from a long text, they come from the start of each stream.

    Source: Karpathy, Johnson & Li 2015, "Visualizing and Understanding Recurrent Networks", arXiv 1506.02078,
        section 4.2.
    """

    def __init__(
        self,
        *,
        count: Annotated[int, Meta(ge=1, le=50)] = 8,
        units: Sequence[Annotated[int, Meta(ge=0)]] = (),
        tokens: Annotated[int, Meta(ge=2)] = 50_000,
    ) -> None:
        self.count = count
        self.units = units
        self.tokens = tokens

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `units`, `hidden-units.html`, `hidden-units.png` and scores.

        For each unit, `explained` is the share of its variance between the tokens just read (eta squared),
        `persistence` is the correlation of its value with the value after the next token, and `highest` and
        `lowest` are the tokens after which its mean is extreme, among those that occur often. The scores are
        the means of `explained` and `persistence` over all units.

        Raises OptionError if a unit does not exist.
        """
        tokens, values = self._read(model, batches, subject)
        wrong = [unit for unit in self.units if unit >= values.shape[1]]
        if wrong:
            raise OptionError(f"there is no unit {wrong[0]}; the last unit is {values.shape[1] - 1}")
        if len(tokens) < _ENOUGH:
            warn(f"{len(tokens)} tokens are too few for reliable statistics; use at least {_ENOUGH:,}")
        texts = token_texts(subject.preprocess)
        rows = _rows(tokens, values, texts)
        shown = [rows[unit] for unit in self.units] or _telling(rows, self.count)
        words = [texts[number] for number in tokens[:_SHOWN].tolist()]
        drawn = values[:_SHOWN, [row["unit"] for row in shown]]
        return Analysis(
            scores={
                f"mean_{name}": sum(row[name] for row in rows) / len(rows)
                for name in ("explained", "persistence")
            },
            tables={"units": rows},
            details={"tokens": len(tokens), "shown": [row["unit"] for row in shown]},
            figures={
                "hidden-units.png": lambda: style.png(
                    units_plot(words[:_DRAWN], drawn[:_DRAWN].T.tolist(), shown, title=subject.title)
                ),
                "hidden-units.html": lambda: _page(subject.title, words, drawn, shown),
            },
            text="\n".join(map(_line, shown)),
        )

    def _read(self, model: nn.Module, batches: Iterable[Batch], subject: Subject) -> tuple[Tensor, Tensor]:
        """Return the tokens that were read (N,) in the order of the text, and the units after them (N, H)."""
        runs: list[tuple[list[Tensor], list[Tensor]]] = []
        done, state = 0, None
        with (
            untouched(model) as inner,
            torch.no_grad(),
            features_of(inner, subject.landmarks, time_first=True) as features,
        ):
            for batch in batches:
                if batch.fresh or not runs:
                    runs.append(([], []))
                _, state, *_ = inner(batch.inputs, None if batch.fresh else state)
                runs[-1][0].append(batch.inputs.cpu())
                runs[-1][1].append(features.output.float().cpu())  # (T, B, H)
                done += batch.inputs.numel()
                if done >= self.tokens:
                    break
        read, values = zip(*runs, strict=True)
        backwards = bool(subject.preprocess.get("backwards"))
        return in_order(read, backwards=backwards), in_order(values, backwards=backwards)


def _rows(tokens: Tensor, values: Tensor, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the statistics of each unit, from tokens (N,) and values (N, H)."""
    values = values.double()
    centered = values - values.mean(0)
    variance = centered.square().mean(0)
    spread = variance.where(variance > 0, 1)  # a constant unit explains nothing, and remembers nothing
    counts = torch.bincount(tokens, minlength=len(texts))
    sums = torch.zeros(len(texts), values.shape[1], dtype=values.dtype).index_add_(0, tokens, centered)
    means = sums / counts.clamp(min=1)[:, None]  # of each token, around the mean of all
    explained = (counts[:, None] * means.square()).sum(0) / len(tokens) / spread
    persistence = (centered[1:] * centered[:-1]).sum(0) / len(tokens) / spread
    often = (counts >= min(_FREQUENT, int(counts.max()))).nonzero()[:, 0]
    ranks = often[means[often].argsort(dim=0, stable=True)]  # (frequent tokens, H), from the lowest mean
    half = len(often) // 2  # so that no token has both a high and a low mean
    return [
        {
            "unit": unit,
            "mean": float(values[:, unit].mean()),
            "std": float(variance[unit].sqrt()),
            "explained": float(explained[unit]),
            "persistence": float(persistence[unit]),
            "highest": [texts[number] for number in ranks[half:, unit][-3:].flip(0).tolist()],
            "lowest": [texts[number] for number in ranks[:half, unit][:3].tolist()],
        }
        for unit in range(values.shape[1])
    ]


def _telling(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return the rows of units to show: half with the most explained, half with the highest persistence."""
    by_token = sorted(rows, key=lambda row: -row["explained"])[: (count + 1) // 2]
    slow = sorted((row for row in rows if row not in by_token), key=lambda row: -row["persistence"])
    return by_token + slow[: count // 2]


def _line(row: dict[str, Any]) -> str:
    """Describe a unit."""
    high, low = (" ".join(map(repr, row[name])) or "none" for name in ("highest", "lowest"))
    return (
        f"unit {row['unit']}: {row['explained']:.0%} explained by the token just read, persistence "
        f"{row['persistence']:.2f}; high after {high}; low after {low}"
    )


def _page(title: str, words: Sequence[str], values: Tensor, rows: Sequence[dict[str, Any]]) -> bytes:
    """Return an HTML page that shows the text once for each unit, in the colors of its values (N, units)."""
    sections: list[tuple[str, Colored]] = []
    for row, column in zip(rows, values.T, strict=True):
        colors = map(_color, (column / column.abs().max().clamp(min=1e-9)).tolist())
        notes = (f"{value:.2f}" for value in column.tolist())
        sections.append((_line(row), zip(words, colors, notes, strict=True)))
    legend = scale({"lowest": _color(-1), "0": _color(0), "highest": _color(1)})
    return page(
        "What hidden units react to",
        [
            f"{html.escape(visible(title))}.",
            f"{legend} The color behind a token is the value of the unit after the model has read it, "
            "relative to the unit's largest absolute value in this text.",
        ],
        sections,
    )


def _color(value: float) -> str:
    """Return a color for a value from -1 to 1: blue for negative values, orange for positive ones."""
    hue = "0, 114, 178" if value < 0 else "213, 94, 0"
    return f"rgba({hue}, {_OPACITY * abs(value):.2f})"
