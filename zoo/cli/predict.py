"""`zoo predict`: what a trained model says of pictures or texts."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.api.listing import figure
from zoo.api.model import Model
from zoo.cli.files import interrupted
from zoo.cli.kit import weights_argument
from zoo.cli.names import PathType
from zoo.cli.output import device_option, json_option, quiet_option
from zoo.cli.session import Session, pass_session, print_json
from zoo.cli.signature import options_of
from zoo.console.tables import SHARES, Table, columns, print_paragraph
from zoo.console.terminal import echo
from zoo.errors import printable

if TYPE_CHECKING:
    from zoo.api.results import Predictions

# Rows are printed once so many are there, or after so many seconds
_ROWS, _SECONDS = 64, 0.5


@click.command()
@weights_argument
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=PathType())
@options_of(Model.predict)
@click.option(
    "--out",
    type=PathType(),
    help="File to write, .csv, .jsonl or .npy, or a folder, rather than to print.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if an input cannot be read.")
@device_option
@json_option
@quiet_option
@pass_session
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
    """Say what WEIGHTS (an id, a file or a run directory) make of each INPUT.

    INPUT is pictures, folders of them, or patterns such as 'holiday/**/*.jpg'; - reads paths from stdin, one
    a line. For a language model, INPUT is text files, and - a text. A path that does not exist, a pattern
    that matches nothing and a file of another kind are errors before anything is written. A damaged file is a
    row with the reason, and an error if nothing else can be read. A .csv or .jsonl that was interrupted is
    continued by the same command.

    \b
    zoo predict cifar10-resnet20 cat.jpg holiday --top 3
    zoo predict runs/x pictures --out answers.csv
    find . -name '*.png' | zoo predict runs/x - --json
    """
    session.begin(f"predicting with {weights}")
    model = session.load(weights, device=device)
    rows = model.predict(inputs, progress=session.progress, **settings)
    if out is not None:
        result = _write(rows, out, ["predict", model.name, *map(str, inputs)], settings)
        if as_json:
            print_json(result)
        else:
            _print_result(result)
        return int(strict and result["errors"] > 0)
    if as_json:
        document = [*rows]
        print_json(document)
        return int(strict and any(row["error"] for row in document))
    return int(_print(rows, session.registry.task(model.card.task).units) and strict)


def _write(
    rows: "Predictions", out: Path, words: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the answers to a file. Raises Interrupted, with the command to go on, for Ctrl-C."""
    try:
        return rows.write(out)
    except KeyboardInterrupt as error:
        options = {name: settings[name] for name in ("top", "unsure") if settings[name] is not None}
        raise interrupted(error, out, words, options) from None


def _print_result(result: Mapping[str, Any]) -> None:
    """Print what was written where."""
    parts = [f"{result['rows']:,} rows"]
    parts += [f"{result['before']:,} of them written before"] if result["before"] else []
    parts += [f"{result['errors']:,} cannot be read"] if result["errors"] else []
    parts += [f"{result['unsure']:,} unsure"] if result["unsure"] else []
    print_paragraph(f"wrote {result['out']}: {', '.join(parts)}")


def _print(rows: Iterable[Mapping[str, Any]], units: Mapping[str, str]) -> bool:
    """Print rows as they come, and return whether one could not be read.

    On a terminal a line has an answer; elsewhere it has an input, and columns are separated by tabs.
    """
    errors = False
    listing = _Listing(units)
    for several in _portions(rows):
        errors = errors or any(row["error"] for row in several)
        if columns() is None:
            for row in several:
                echo(_plain(row), keep="\t")
        else:
            listing.print(several)
    return errors


def _portions(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield a few rows at a time, soon after they are there."""
    portion: list[Mapping[str, Any]] = []
    since = time.monotonic()
    for row in rows:
        portion.append(row)
        if len(portion) == _ROWS or time.monotonic() - since > _SECONDS:
            yield portion
            portion, since = [], time.monotonic()
    yield portion


def _plain(row: Mapping[str, Any]) -> str:
    """Return a row as one line of cells, in full precision."""
    cells = [value for answer in row["answers"] for value in answer.values()]
    if row["error"]:
        cells = ["", row["error"]]
    return "\t".join(printable(str(cell)) for cell in [row["input"], *cells])


class _Listing:
    """A table of answers, a line for each; its rows come in portions.

    Args:
        units: of the numbers in answers.
    """

    def __init__(self, units: Mapping[str, str]) -> None:
        self._units = {**units, **SHARES}
        self._table: Table | None = None

    def print(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print some rows, and before the first answer what its columns are."""
        cells = [line for row in rows for line in self._cells(row)]
        first = next((answer for row in rows for answer in row["answers"]), None)
        if self._table is None and first is not None:
            header = ["INPUT", *map(self._heading, first)]
            numbers = [n for n, value in enumerate(first.values(), 1) if not isinstance(value, str)]
            self._table = Table(header, numbers=numbers)
        (self._table or Table()).print(cells)

    def _cells(self, row: Mapping[str, Any]) -> list[list[str]]:
        """Return a line for each answer, the first with the name of the input; or why there is none."""
        if row["error"] or not row["answers"]:
            return [[row["input"], row["error"] or "none"]]
        answers = [[self._text(key, value) for key, value in answer.items()] for answer in row["answers"]]
        return [["" if number else row["input"], *cells] for number, cells in enumerate(answers)]

    def _heading(self, key: str) -> str:
        """Return the name of a column, with its unit if neither the name nor each figure has it."""
        unit, name = self._units.get(key, ""), key.replace("_", " ").upper()
        return name if unit in ("", "%") or key.startswith(unit.split()[0]) else f"{name} ({unit})"

    def _text(self, key: str, value: object) -> str:
        if isinstance(value, float):
            return figure(value, "%") if self._units.get(key) == "%" else f"{value:.4f}"
        return f"{value:,}" if isinstance(value, int) else str(value)
