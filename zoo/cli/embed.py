"""`zoo embed`: the features of pictures or texts."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.api.model import Model
from zoo.cli.files import interrupted
from zoo.cli.kit import weights_argument
from zoo.cli.names import PathType
from zoo.cli.output import device_option, json_option, quiet_option
from zoo.cli.session import Session, pass_session, print_json
from zoo.cli.signature import options_of
from zoo.console.tables import columns, print_paragraph
from zoo.console.terminal import echo
from zoo.errors import OptionError, printable

if TYPE_CHECKING:
    from zoo.api.results import Features


@click.command()
@weights_argument
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=PathType())
@options_of(Model.features)
@click.option(
    "--out",
    type=PathType(),
    help="File to write, .npy, .csv or .jsonl, rather than to print.",
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
    """Compute what WEIGHTS (an id, a file or a run directory) see in each INPUT: a vector of features.

    INPUT is as in zoo predict: pictures, folders of them, patterns, or text files; - reads from stdin. A .npy
    holds an input a row, and a .txt beside it their names. A damaged file is a row that is not a number, and
    an error if nothing else can be read. A .csv or .jsonl that was interrupted is continued by the same
    command.

    \b
    zoo embed cifar10-resnet20 holiday --out holiday.npy
    zoo embed runs/x holiday --no-pool --out maps.npy
    zoo embed nietzsche-rnn notes.txt --json
    """
    session.begin(f"computing features with {weights}")

    from zoo.inference.embedding import plain

    model = session.load(weights, device=device)
    rows = model.features(inputs, progress=session.progress, **settings)
    if out is not None:
        result = _write(rows, out, ["embed", model.name, *map(str, inputs)], settings)
        if as_json:
            print_json(result)
        else:
            _print_result(result)
        return int(strict and result["errors"] > 0)
    if not (as_json or settings["pool"]):
        raise OptionError("--no-pool is for --out or --json", hint="add --out FILE.npy")
    if as_json:
        document = [plain(row) for row in rows]
        print_json(document)
        return int(strict and any(row["error"] for row in document))
    return int(_print(map(plain, rows)) and strict)


def _write(rows: "Features", out: Path, words: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write the features to a file. Raises Interrupted, with the command to go on, for Ctrl-C."""
    try:
        return rows.write(out)
    except KeyboardInterrupt as error:
        options = {"layer": settings["layer"]} if settings["layer"] != "features" else {}
        options |= {} if settings["pool"] else {"pool": False}
        raise interrupted(error, out, words, options) from None


def _print_result(result: Mapping[str, Any]) -> None:
    """Print what was written where."""
    shape = result["shape"]
    of = f" of {'×'.join('?' if size is None else f'{size:,}' for size in shape)} numbers" if shape else ""
    parts = [f"{result['rows']:,} rows{of}"]
    parts += [f"{result['before']:,} of them written before"] if result["before"] else []
    parts += [f"{result['errors']:,} cannot be read"] if result["errors"] else []
    print_paragraph(f"wrote {result['out']}: {', '.join(parts)}")


def _print(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Print rows as they come, and return whether one could not be read.

    A row is a line of cells separated by tabs; on a terminal, the first features that fit.
    """
    errors, width = False, columns()
    for row in rows:
        name, features = printable(row["input"]), row["features"] or []
        errors = errors or row["error"] is not None
        if width is None:
            cells = ["", printable(row["error"])] if row["error"] else map(str, features)
            echo("\t".join([name, *cells]), keep="\t")
        elif row["error"]:
            print_paragraph(f"{name}  {row['error']}")
        else:
            echo(_fitting(name, [f"{value:.4g}" for value in features], width))
    return errors


def _fitting(name: str, numbers: Sequence[str], width: int) -> str:
    """Return a name, as many numbers as fit a line but at least one, and how many more there are."""
    line, count = "  ".join([name, *numbers]), len(numbers)
    while len(line) > width and count > 1:
        count -= 1
        line = "  ".join([name, *numbers[:count], f"… {len(numbers) - count:,} more"])
    return line
