"""Tables and figures of the documentation, written from the rows of `results.jsonl` and published weights.

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
from statistics import mean, stdev
from typing import NamedTuple

from benchmarks.rows import ROOT, Origin, Result, Row, latest, read
from zoo import Registry

__all__ = ["PAGES", "TABLES", "Column", "Scaling", "Table", "render", "rows_of_pages", "write"]

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
        names: the cases are names for commands, and are written as code.
    """

    benchmark: str
    heading: str
    columns: tuple[Column, ...]
    unit: str = ""
    names: bool = False

    def lines(self, rows: Rows) -> Iterator[str]:
        """Yield the lines of the table."""
        own = [(case, each.row) for (name, case, _), each in rows.items() if name == self.benchmark]
        heads = [*self.heading.split(" | "), *(column.heading for column in self.columns)]
        yield f"| {' | '.join(heads)} |"
        yield "|---" * len(heads) + "|"
        for case in dict.fromkeys(case for case, row in own if self.unit in ("", row.unit)):
            cells = [self._cell(rows, case, column) for column in self.columns]
            if any(cells):
                yield f"| {' | '.join([f'`{case}`' if self.names else case, *cells])} |"

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


PERCENT, LOSS, RATE = "{value:.1f}%", "{value:.4f}", "{value:.2g}"


def _coverage(unit: str, counts: tuple[int, ...]) -> Table:
    figures = [f"{count:,} {unit}" for count in counts]
    return Table("coverage", "interval", tuple(Column(figure, figure, PERCENT) for figure in figures))


def _by_time(unit: str, value: str) -> Table:
    times = [Column(f"{seconds:g} s", f"after {seconds:g} s", value) for seconds in (7.5, 15, 30, 60)]
    return Table(
        "within_a_minute", "recipe", (*times, Column("an epoch", "seconds per epoch", "{value:.1f} s")), unit
    )


def _by_seed(row: Row) -> str:
    """Return the mean and the standard deviation of several seeds, or the result of one."""
    digits, unit = (2, "%") if row.unit == "% accuracy" else (4, "")
    if row.low is None or row.high is None:
        return f"{row.value:.{digits}f}{unit}"
    return f"{row.value:.{digits}f} ± {(row.high - row.low) / 2:.{digits}f}{unit} over {row.count} seeds"


def _percent_or_nats(row: Row) -> str:
    return f"{row.value:.1f}%" if row.unit == "points" else f"{row.value:.3f}"


def _points_or_nats(row: Row) -> str:
    return f"{row.value:.1f}" if row.unit == "points" else f"{row.value:.3f}"


def _published(dataset: str, *results: Column) -> Table:
    number = "{value:,.0f}"
    columns = (Column("parameters", "parameters", number), Column("epochs", "epochs", number), *results)
    return Table(f"published {dataset}", "weights", columns, names=True)


NOTEBOOK = "in the lesson's notebook"
ELSEWHERE = {
    "cifar10-mlp": f"46.92% {NOTEBOOK}",
    "cifar10-convnet": f"59.92% {NOTEBOOK}",
    "cifar10-convnet-bn": f"68.14% {NOTEBOOK}",
    "cifar10-convnet-bn-deep": f"64.61% {NOTEBOOK}",
    "cifar10-resnet-lite": f"73.63% {NOTEBOOK}, 82.23% after 41 epochs",
    "cifar10-resnet-lite-wide": f"82.95% {NOTEBOOK}, after 41 epochs",
    "cifar10-resnet20": "91.25% in the paper, after 160 epochs",
    "cifar10-resnet56": "93.03% in the paper, after 160 epochs",
    "cifar10-airbench": "94.0% in Jordan's implementation, after 9.9 epochs and with test-time augmentation",
}


def _elsewhere(row: Row) -> str:
    return ELSEWHERE.get(row.case, "")


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
    "lr_find_regret": Table(
        "lr_find_regret",
        "recipe",
        (
            Column("best rate", "best rate", RATE),
            Column("metric", "metric at the best rate", _percent_or_nats),
            Column("`minimum`", "minimum", RATE),
            Column("regret", "regret of minimum", _points_or_nats),
            Column("`valley`", "valley", RATE),
            Column("regret", "regret of valley", _points_or_nats),
            Column("`steep`", "steep", RATE),
            Column("regret", "regret of steep", _points_or_nats),
        ),
        names=True,
    ),
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
    "published, cifar10": _published(
        "images/cifar10",
        Column("test accuracy", "result", _by_seed),
        Column("elsewhere", "result", _elsewhere),
    ),
    "published, nietzsche": _published(
        "text/nietzsche", Column("test loss, nats per character", "result", _by_seed)
    ),
    "quality": Table("quality", "recipe", (Column("test accuracy", "test accuracy", PERCENT),), names=True),
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


def rows_of_pages() -> Rows:
    """Return the last row of each figure, and rows of the published weights, the worst first."""
    return latest([*read(), *_of_published_weights()])


def _of_published_weights() -> Iterator[Result]:
    """Yield the parameters, the epochs and the result of published weights, on the last split of each."""
    found: list[tuple[float, str, list[Row]]] = []
    registry = Registry.discover()
    for name, spec in registry.catalog.weights.items():
        recipe = registry.recipe(spec.recipe)
        metric = registry.task_of(recipe).primary_metric
        scale, unit = (100, "% accuracy") if metric == "accuracy" else (1, metric)
        last = [*spec.metrics.values()][-1][metric]
        seeds = [scale * value for value in spec.by_seed.values()] or [scale * last]
        average, spread = mean(seeds), stdev(seeds) if len(seeds) > 1 else None
        bounds = (None, None) if spread is None else (average - spread, average + spread)
        rows = [
            Row(name, "parameters", spec.params),
            Row(name, "epochs", recipe.train["epochs"]),
            Row(name, "result", average, unit, len(seeds), *bounds),
        ]
        found.append((-average if metric == "loss" else average, f"published {recipe.dataset}", rows))
    for _, benchmark, rows in sorted(found, key=lambda each: each[0]):
        yield from (Result(row, Origin(benchmark, "", "", "", "")) for row in rows)


def write() -> Iterator[tuple[Path, bool]]:
    """Write the pages that have marks, and yield each with whether it changed."""
    rows = rows_of_pages()
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        if "<!-- benchmark:" in text:
            new = render(text, rows)
            path.write_text(new, encoding="utf-8")
            yield path.relative_to(ROOT), new != text
