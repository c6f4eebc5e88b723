"""Write or print a row for each input, as `zoo predict` and `zoo embed` do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo.cli.name_types import PathType
from zoo.cli.session import print_json
from zoo.console.tables import print_paragraph
from zoo.errors import Interrupted

if TYPE_CHECKING:
    from zoo.api.results import Features, Predictions

F = TypeVar("F", bound=Callable[..., Any])
Row = Mapping[str, Any]


def inputs_argument(command: F) -> F:
    """Add one or more INPUT arguments."""
    return click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=PathType())(command)


def rows_options(out: str) -> Callable[[F], F]:
    """Return a decorator that adds --strict and --out; `out` is the start of the help text of --out."""

    def decorate(command: F) -> F:
        strict = click.option("--strict", is_flag=True, help="Exit with code 1 if any input cannot be read.")
        path = click.option("--out", type=PathType(), help=f"{out}, instead of printing them.")
        return path(strict(command))

    return decorate


def write_or_print(
    rows: Predictions | Features,
    out: Path | None,
    *,
    as_json: bool,
    plain: Callable[[Row], Row],
    show: Callable[[Iterable[Row]], bool],
) -> bool:
    """Write rows to a file or print them; return whether any input could not be read.

    Args:
        plain: function that returns a row as JSON data.
        show: function that prints rows of JSON data and returns whether any row has an error.
    """
    if out is not None:
        result = _written(rows, out)
        if as_json:
            print_json(result)
        else:
            _print_result(result)
        return result["errors"] > 0
    if as_json:
        document = [*map(plain, rows)]
        print_json(document)
        return any(row["error"] for row in document)
    return show(map(plain, rows))


def _written(rows: Predictions | Features, out: Path) -> dict[str, Any]:
    try:
        return rows.write(out)
    except KeyboardInterrupt as error:
        signal = 2 if type(error) is KeyboardInterrupt else 15
        if out.suffix == ".npy":
            raise Interrupted(f"stopped: {out} was not written", signal=signal) from None
        hint = "repeat the command with the same inputs to write the remaining rows"
        raise Interrupted(f"stopped: {out} contains the finished rows", signal=signal, hint=hint) from None


def _print_result(result: Mapping[str, Any]) -> None:
    """Print the file name and the number of rows written."""
    parts = [f"{result['rows']:,} rows"]
    if shape := result.get("shape"):
        parts[0] += f" of {'×'.join('?' if size is None else f'{size:,}' for size in shape)} numbers"
    notes = {"before": "of them written earlier", "errors": "cannot be read", "unsure": "unsure"}
    parts += [f"{result[key]:,} {note}" for key, note in notes.items() if result.get(key)]
    print_paragraph(f"wrote {result['out']}: {', '.join(parts)}")
