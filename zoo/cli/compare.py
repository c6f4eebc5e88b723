"""`zoo compare`: compare models on the same items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.name_types import NameType, PathType
from zoo.cli.session import Session, device_option, print_json, standard_options
from zoo.console.figures import cell, figures
from zoo.console.tables import print_paragraph, print_table
from zoo.console.terminal import echo
from zoo.files import style
from zoo.files.atomic import write_output
from zoo.tools.compare.comparison import Comparison, compare

# The most classes whose numbers of items are printed
_CLASSES = 10
# A float cannot hold a much smaller p
_SMALLEST_P = 1e-300


@click.command()
@click.argument("weights", nargs=-1, required=True, type=NameType("weights", runs=True), metavar="WEIGHTS...")
@options_of(compare, skip=["weights", "device"])
@click.option("--out", type=PathType(), help="PNG file to write, with images that only one model gets right.")
@device_option
@standard_options
def command(
    session: Session, weights: tuple[str, ...], out: Path | None, as_json: bool, **settings: Any
) -> None:
    """Compare two or more models on the same items, and test whether their results differ.

    WEIGHTS are ids, files, run directories or folders of runs with different seeds (`zoo train --seeds`).
    For such a folder, the mean of its runs is compared. Accuracy is tested with McNemar's exact test, other
    metrics with a paired bootstrap, and means with Welch's t-test; p-values are corrected for the number of
    pairs.

    \b
    zoo compare cifar10-resnet20 cifar10-resnet56
    zoo compare nietzsche-gru nietzsche-lstm
    zoo compare runs/resnet20-seeds runs/resnet56-seeds
    """
    found = compare(*weights, progress=session.progress, registry=session.registry, **settings)
    print_json(found.to_dict()) if as_json else _print(found)
    drawn = out if any(pair.get("only_a") or pair.get("only_b") for pair in found.pairs) else None
    if drawn:
        write_output(drawn, style.png(found.plot()))
    if out and not as_json:
        none = "no figure was drawn, because there is no image that only one model gets right"
        echo(f"wrote {out}" if drawn else none)


def _print(found: Comparison) -> None:
    units, primary = found.task.units, found.task.primary_metric
    place = ", all" if found.split == "all" else f" {found.split},"
    print_paragraph(f"{found.dataset}{place} {found.count:,} {found.unit}")
    for model in found.models:
        runs = f" ({model['runs']} runs)" if "runs" in model else ""
        print_paragraph(f"{model['weights']}{runs}: {_measured(model, units)}")
    for pair in found.pairs:
        if pair["metric"] == primary:
            echo()
            _print_pair(found, pair)
    others = [pair for pair in found.pairs if pair["metric"] != primary]
    if others:
        echo()
        rows = [
            [pair["a"], pair["b"], pair["metric"], _difference(pair, units), shown_p(pair["p"])]
            for pair in others
        ]
        print_table(rows, ["A", "B", "METRIC", "A MINUS B", "P"])


def _measured(model: Mapping[str, Any], units: Mapping[str, str]) -> str:
    if "intervals" in model:
        return figures(model["metrics"], units, model["intervals"])
    sd = {name: cell(value, units.get(name, "")).removesuffix("%") for name, value in model["sd"].items()}
    means = model["metrics"].items()
    return ", ".join(f"{figures({name: value}, units)} (sd {sd[name]})" for name, value in means)


def _print_pair(found: Comparison, pair: Mapping[str, Any]) -> None:
    a, b, units = pair["a"], pair["b"], found.task.units
    verdict = "different" if pair["different"] else "no difference shown"
    difference = f"{pair['metric']} {_difference(pair, units)}"
    p = shown_p(pair["p"])
    print_paragraph(f"{a} minus {b}: {difference}, p {p if p.startswith('<') else f'= {p}'}: {verdict}")
    if "detectable" in pair:
        smallest = _points(pair["detectable"], units.get(pair["metric"], ""))
        often = "would be detected in 4 of 5 such comparisons"
        print_paragraph(f"a true difference of {smallest} or more {often}")
    if "only_a" in pair:
        print_paragraph(f"only {a} is right: {len(pair['only_a']):,}; only {b}: {len(pair['only_b']):,}")
        rows = [row for row in found.by_class(pair) if row["only_a"] or row["only_b"]]
        rows = sorted(rows, key=lambda row: -abs(row["only_a"] - row["only_b"]))[:_CLASSES]
        if rows:
            cells = [[row["class"], str(row["only_a"]), str(row["only_b"])] for row in rows]
            print_table(cells, ["CLASS", "ONLY A", "ONLY B"], numbers=(1, 2))


def _difference(pair: Mapping[str, Any], units: Mapping[str, str]) -> str:
    unit = units.get(pair["metric"], "")
    low, high = (_signed(bound, unit) for bound in pair["interval"])
    return f"{_points(pair['difference'], unit, sign=True)} ({low} to {high})"


def _signed(value: float, unit: str) -> str:
    return f"{100 * value:+.2f}" if unit == "%" else f"{value:+.4f}"


def _points(value: float, unit: str, *, sign: bool = False) -> str:
    """Format a difference: of percentages in points, of other metrics in their unit."""
    shown = _signed(value, unit)
    return f"{shown if sign else shown.lstrip('+')} {'points' if unit == '%' else unit}".rstrip()


def shown_p(value: float) -> str:
    """Format p; one that is 0 by rounding is printed as a bound."""
    if value < _SMALLEST_P:
        return f"< {_SMALLEST_P:.0e}"
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.0e}"
