"""`zoo predict`: predict classes for images, or score texts."""

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from zoo.api.model import Model
from zoo.cli.flags import options_of
from zoo.cli.name_types import weights_argument
from zoo.cli.rows import inputs_argument, rows_options, write_or_print
from zoo.cli.session import Session, device_option, standard_options
from zoo.console.figures import cell
from zoo.console.tables import SHARES, Table, columns
from zoo.console.terminal import echo
from zoo.errors import printable
from zoo.inference.target_columns import apart, joined_targets

# Rows are printed once so many are there
_ROWS = 64


@click.command()
@weights_argument
@inputs_argument
@options_of(Model.predict)
@rows_options("Write predictions to this .csv, .jsonl or .npy file, or to a folder")
@device_option
@standard_options
def command(
    session: Session,
    weights: str,
    inputs: tuple[Path, ...],
    out: Path | None,
    strict: bool,
    device: str | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Predict classes for images, or score texts, with WEIGHTS (an id, a file or a run directory).

    INPUT is an image, a folder of images, or a pattern such as 'holiday/**/*.jpg'. If INPUT is -, paths are
    read from stdin, one per line. For a language model, INPUT is a text file; if INPUT is -, text is read
    from stdin. If a path does not exist, a pattern has no matches, or a file has the wrong type, the command
    stops before writing anything. A damaged file produces a row with an error message; without --strict, the
    command fails only if all inputs are unreadable. If the command is interrupted while writing a .csv or
    .jsonl file, run it again to continue.

    \b
    zoo predict cifar10-resnet20 cat.jpg holiday --top 3
    zoo predict runs/x images --out predictions.csv
    find . -name '*.png' | zoo predict runs/x - --json
    """
    session.begin(f"predicting with {weights}")
    model = session.load(weights, device=device)
    rows = model.predict(inputs, progress=session.progress, **settings)
    units = {**session.registry.task(model.card.task).units, **SHARES}
    in_lines = session.registry.task(model.card.task).in_lines
    show = partial(_print, units=units, in_lines=in_lines)
    unread = write_or_print(rows, out, as_json=as_json, plain=dict, show=show)
    return int(strict and unread)


def _print(rows: Iterable[Mapping[str, Any]], *, units: Mapping[str, str], in_lines: bool) -> bool:
    """Print rows as they are computed, and return whether any input could not be read.

    On a terminal, each line shows a prediction; otherwise, each line describes an input (or, if `in_lines`, a
    prediction) in tab-separated columns, which a first line names unless the predictions are classes.
    """
    unread, begun = False, False
    table = None
    rows = iter(rows)
    while some := [*islice(rows, _ROWS)]:
        unread = unread or any(row["error"] for row in some)
        if columns() is None:
            some = [part for row in some for part in apart(row)] if in_lines else some
            if not begun and (names := _names(some)):
                echo("\t".join(["input", *names]), keep="\t")
            begun = True
            for row in some:
                echo(_plain(row), keep="\t")
        else:
            table = table or _table(some, units)
            table.print([line for row in some for line in _lines(row, units)])
    return unread


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the cells of a row's predictions; none for classes, which have two cells each."""
    answers = next((row["predictions"] for row in rows if row["predictions"]), ())
    return [printable(key) for answer in joined_targets(answers) for key in answer if "class" not in answer]


def _plain(row: Mapping[str, Any]) -> str:
    """Return a row as one line of cells, at full precision."""
    cells = [value for answer in joined_targets(row["predictions"]) for value in answer.values()]
    if row["error"]:
        cells = ["", row["error"]]
    return "\t".join(printable(str(cell)) for cell in [row["input"], *cells])


def _table(rows: Iterable[Mapping[str, Any]], units: Mapping[str, str]) -> Table:
    """Return a table with a column for each value of a prediction."""
    first = next((answer for row in rows for answer in row["predictions"]), {})
    if not first:
        return Table()
    numbers = [n for n, value in enumerate(first.values(), 1) if not isinstance(value, str)]
    return Table(["INPUT", *(_heading(key, units) for key in first)], numbers=numbers)


def _heading(key: str, units: Mapping[str, str]) -> str:
    """Return the heading of a column, with the unit unless the name or the values already include it."""
    unit = units.get(key, "")
    name = key.replace("_", " ").upper()
    return name if unit in ("", "%") or key.startswith(unit.split()[0]) else f"{name} ({unit})"


def _lines(row: Mapping[str, Any], units: Mapping[str, str]) -> list[list[str]]:
    """Return a line for each prediction (the first line starts with the input), or a line with the error."""
    if row["error"] or not row["predictions"]:
        return [[row["input"], row["error"] or "none"]]
    lines = [[_text(value, units.get(key)) for key, value in answer.items()] for answer in row["predictions"]]
    return [["" if number else row["input"], *cells] for number, cells in enumerate(lines)]


def _text(value: object, unit: str | None) -> str:
    if isinstance(value, float):
        return cell(value, unit or "")
    return f"{value:,}" if isinstance(value, int) else str(value)
