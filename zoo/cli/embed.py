"""`zoo embed`: compute features of images or texts."""

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
@rows_options("Write features to this .npy, .csv or .jsonl file")
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
    """Use WEIGHTS (an id, a file or a run directory) to compute a feature vector for each INPUT.

    As in `zoo predict`, INPUT can be an image, a folder of images, a pattern or a text file. If INPUT is -,
    input is read from stdin. A .npy file has one row per input, and a .txt file next to it lists the names of
    the inputs. A damaged file produces a row with an error message, or a row of NaN values in a .npy file;
    without --strict, the command fails only if all inputs are unreadable. If the command is interrupted while
    writing a .csv or .jsonl file, run it again to continue.

    \b
    zoo embed cifar10-resnet20 holiday --out holiday.npy
    zoo embed runs/x holiday --no-pool --out maps.npy
    zoo embed nietzsche-rnn notes.txt --json
    """
    if not (out or as_json or settings["pool"]):
        raise OptionError("--no-pool requires --out or --json", hint="add --out FILE.npy")
    session.begin(f"computing features with {weights}")

    from zoo.inference.embedding import plain

    model = session.load(weights, device=device)
    rows = model.features(inputs, progress=session.progress, **settings)
    return int(write_or_print(rows, out, as_json=as_json, plain=plain, show=_print) and strict)


def _print(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Print rows as they are computed, and return whether any input could not be read.

    Each row is printed as a line of tab-separated cells. On a terminal, features that do not fit on the line
    are omitted.
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
