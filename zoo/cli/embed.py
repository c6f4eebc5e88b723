"""`zoo embed`: the features of images or texts."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from zoo.api.model import Model
from zoo.cli.flags import options_of
from zoo.cli.name_types import weights_argument
from zoo.cli.rows import inputs_argument, rows_options, write_or_print
from zoo.cli.session import Session, device_option, standard_options
from zoo.console.tables import columns, print_paragraph, print_table
from zoo.console.terminal import echo
from zoo.errors import OptionError, printable


@click.command()
@weights_argument
@inputs_argument
@options_of(Model.features)
@rows_options("File to write, .npy, .csv or .jsonl")
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
    """Compute what WEIGHTS (an id, a file or a run directory) see in each INPUT: a vector of features.

    INPUT is as in zoo predict: images, folders of them, patterns, or text files; - reads from stdin. A .npy
    holds an input a row, and a .txt beside it their names. A damaged file is a row that is not a number, and
    an error if nothing else can be read. A .csv or .jsonl that was interrupted is continued by the same
    command.

    \b
    zoo embed cifar10-resnet20 holiday --out holiday.npy
    zoo embed runs/x holiday --no-pool --out maps.npy
    zoo embed nietzsche-rnn notes.txt --json
    """
    if not (out or as_json or settings["pool"]):
        raise OptionError("--no-pool is for --out or --json", hint="add --out FILE.npy")
    session.begin(f"computing features with {weights}")

    from zoo.inference.embedding import plain

    model = session.load(weights, device=device)
    rows = model.features(inputs, progress=session.progress, **settings)
    return int(write_or_print(rows, out, as_json=as_json, plain=plain, show=_print) and strict)


def _print(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Print rows as they come, and return whether one could not be read.

    A row is a line of cells separated by tabs; on a terminal, the first features that fit.
    """
    unread = False
    for row in rows:
        name, error = printable(row["input"]), row["error"]
        unread = unread or error is not None
        if columns() is None:
            cells = ["", printable(error)] if error else map(str, row["features"])
            echo("\t".join([name, *cells]), keep="\t")
        elif error:
            print_paragraph(f"{name}  {error}")
        else:
            numbers = [f"{value:.4g}" for value in row["features"]]
            print_table([[name, f"({len(numbers):,})", " ".join(numbers)]], cut=True)
    return unread
