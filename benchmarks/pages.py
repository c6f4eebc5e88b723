"""Tables and figures of the documentation, written from the rows of `results.jsonl`.

A page marks what is generated. A table, whose layout is in `TABLES` below:

    <!-- benchmark: pointing -->
    ...
    <!-- end -->

A figure in a sentence or a cell, by benchmark, case (may be empty), figure and format:

    <!-- benchmark: listing; zoo list; beside the least; .2f -->2.06<!-- end --> times
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.rows import ROOT, Result, Row, latest, read

__all__ = ["PAGES", "TABLES", "Column", "Scaling", "Table", "render", "write"]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_MARKED = re.compile(r"(<!-- benchmark: (?P<what>[^\n]*?) -->)(?P<text>.*?)(<!-- end -->)", re.S)
Rows = Mapping[tuple[str, str, str], Result]


class Column(NamedTuple):
    """A column: its heading, its figure, and how it is written.

    That is a format of `value`, `low`, `high` and `count`, or a function of the row.
    """

    heading: str
    figure: str
    how: str | Callable[[Row], str]


class Table(NamedTuple):
    """The layout of a table: a line for each case of a benchmark, a column for each figure.

    Attributes:
        heading: the heading of the cases' column; of several, with bars between them as in the cases.
        unit: show only cases that have a row of this unit.
    """

    benchmark: str
    heading: str
    columns: tuple[Column, ...]
    unit: str = ""

    def lines(self, rows: Rows) -> Iterator[str]:
        """Yield the lines of the table."""
        own = [(case, each.row) for (name, case, _), each in rows.items() if name == self.benchmark]
        heads = [*self.heading.split(" | "), *(column.heading for column in self.columns)]
        yield f"| {' | '.join(heads)} |"
        yield "|---" * len(heads) + "|"
        for case in dict.fromkeys(case for case, row in own if self.unit in ("", row.unit)):
            cells = [self._cell(rows, case, column) for column in self.columns]
            if any(cells):
                yield f"| {' | '.join([case, *cells])} |"

    def _cell(self, rows: Rows, case: str, column: Column) -> str:
        found = rows.get((self.benchmark, case, column.figure))
        if found is None:
            return ""
        row = found.row
        if isinstance(column.how, str):
            return column.how.format(value=row.value, low=row.low, high=row.high, count=row.count)
        return column.how(row)


class Scaling(NamedTuple):
    """The layout of a table of one case: a line for each figure, a column for each number of processes."""

    benchmark: str
    case: str
    heading: str
    figures: tuple[tuple[str, str], ...]
    counts: tuple[int, ...]

    def lines(self, rows: Rows) -> Iterator[str]:
        """Yield the lines of the table."""
        yield f"| {' | '.join([self.heading, *map(str, self.counts)])} |"
        yield "|---" * (1 + len(self.counts)) + "|"
        for label, figure in self.figures:
            found = [rows.get((self.benchmark, self.case, f"{figure}, {count}")) for count in self.counts]
            # one process sends no messages
            cells = [_short(each.row) if each and each.row.value else "" for each in found]
            yield f"| {' | '.join([label, *cells])} |".replace("|  |", "| |")


def _short(row: Row) -> str:
    return f"{row.value:.0f}" if row.value >= 10 else f"{row.value:.2g}"


def _verdict(row: Row) -> str:
    return {1: "holds", 0: "not shown", -1: "the opposite holds"}[int(row.value)]


def _claims(unit: str, value: str, difference: str) -> Table:
    interval = f"{{value:{difference}}} ({{low:{difference}}} to {{high:{difference}}})"
    columns = (
        Column("first", "first", value),
        Column("second", "second", value),
        Column("difference", "difference", interval),
        Column("verdict", "verdict", _verdict),
    )
    return Table("lesson_claims", "claim", columns, unit)


PERCENT, LOSS = "{value:.1f}%", "{value:.4f}"


def _coverage(unit: str, counts: tuple[int, ...]) -> Table:
    figures = [f"{count:,} {unit}" for count in counts]
    return Table("coverage", "interval", tuple(Column(figure, figure, PERCENT) for figure in figures))


def _by_time(unit: str, value: str) -> Table:
    times = [Column(f"{seconds:g} s", f"after {seconds:g} s", value) for seconds in (7.5, 15, 30, 60)]
    return Table(
        "within_a_minute", "recipe", (*times, Column("an epoch", "seconds per epoch", "{value:.1f} s")), unit
    )


SCALED = (
    ("computation, ms", "computation"),
    ("messages, ms", "messages"),
    ("speed relative to one process", "speed"),
    ("data sent by each process per step, MB", "sent"),
)
LSTM = "2×512 LSTM, 3.3 M parameters, batches of 64 × 16 characters"
WIDE = "resnet-lite-wide, 2.0 M parameters, batches of 128 images"
FORWARD = "relative to the forward pass"
TABLES: dict[str, Table | Scaling] = {
    "activations": Table(
        "activations",
        "normalization | learning rate",
        (
            Column("best validation accuracy", "best validation accuracy", PERCENT),
            Column("dead units in the worst layer", "dead units in the worst layer", "{value:.0f}%"),
        ),
    ),
    "batching": Table(
        "batching",
        "`batching`",
        (
            Column("characters read, 8 epochs", "characters read, 8 epochs", "{value:.1f} M"),
            Column("seconds", "seconds", "{value:.0f}"),
            Column("loss, as trained", "loss, as trained", LOSS),
            Column("exactly 8 characters", "exactly bptt characters", LOSS),
            Column("state carried over", "state carried over", LOSS),
        ),
    ),
    "cam_speed": Table(
        "cam_speed",
        "method",
        (
            Column("resnet34-cam, 224×224", "resnet34-cam, 224×224", "{value:.1f}"),
            Column(FORWARD, "resnet34-cam, beside the forward pass", "{value:.2f}"),
            Column("resnet20, 32×32", "resnet20, 32×32", "{value:,.0f}"),
            Column(FORWARD, "resnet20, beside the forward pass", "{value:.2f}"),
        ),
    ),
    "coverage, items": _coverage("items", (300, 1_000, 3_000, 10_000)),
    "coverage, tokens": _coverage("tokens", (2_000, 10_000)),
    "finetuning": Table(
        "finetuning",
        "weights | classes differ in",
        tuple(Column(name, name, PERCENT) for name in ("defaults", "best of 12", "linear layer")),
    ),
    "finetuning_subsets": Table(
        "finetuning_subsets",
        "weights | names of the classes | training images",
        tuple(Column(name, name, PERCENT) for name in ("defaults", "best of 6")),
    ),
    "language_models": Table(
        "language_models",
        "network",
        (
            Column("parameters", "parameters", "{value:,.0f}"),
            Column("seconds", "seconds", "{value:.0f}"),
            Column("epochs", "epochs", "{value:.0f}"),
            Column("test loss, nats per character", "test loss", "{value:.4f} ({low:.4f} to {high:.4f})"),
            Column("bits per character", "bits per character", "{value:.3f}"),
            Column("sampling", "sampling", "{value:,.0f} characters/s"),
        ),
    ),
    "lesson_claims, images": _claims("% accuracy", PERCENT, "+.1f"),
    "lesson_claims, text": _claims("nats", "{value:.3f}", "+.3f"),
    "pointing": Table(
        "pointing",
        "analyzer",
        (
            Column("hits", "hits", PERCENT),
            Column("center of the image", "center of the image", PERCENT),
            Column("the same network, random weights", "random weights", PERCENT),
        ),
    ),
    "processes, lstm": Scaling("processes", "lstm", LSTM, SCALED, (1, 2, 8, 64)),
    "processes, resnet-lite-wide": Scaling("processes", "resnet-lite-wide", WIDE, SCALED, (1, 2, 8, 64)),
    "skip_connections": Table(
        "skip_connections",
        "residual layers",
        tuple(Column(name, name, PERCENT) for name in ("with skip connections", "without")),
    ),
    "views": Table(
        "views",
        "weights | views",
        (Column("accuracy", "accuracy", "{value:.2f}%"), Column("time", "time", "{value:.2f}")),
    ),
    "within_a_minute, images": _by_time("% accuracy", PERCENT),
    "within_a_minute, text": _by_time("nats", "{value:.3f}"),
}


def render(text: str, rows: Rows) -> str:
    """Return a page with its tables and figures as the rows give them.

    Raises KeyError for a table or figure that does not exist.
    """

    def written(found: re.Match[str]) -> str:
        what = found["what"]
        if ";" not in what:
            return "\n".join([found[1], "", *TABLES[what].lines(rows), "", found[4]])
        name, case, figure, how = (word.strip() for word in what.split(";"))
        return f"{found[1]}{format(rows[name, case, figure].row.value, how)}{found[4]}"

    return _MARKED.sub(written, text)


def write() -> Iterator[tuple[Path, bool]]:
    """Write the pages that have marks, and yield each with whether it changed."""
    rows = latest(read())
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        if "<!-- benchmark:" in text:
            new = render(text, rows)
            path.write_text(new, encoding="utf-8")
            yield path.relative_to(ROOT), new != text
