"""`zoo import`: convert a PyTorch state dict to a weights file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from zoo.cli.flags import options_of, words_of
from zoo.cli.name_types import NameType, PathType
from zoo.cli.session import Session, print_json, standard_options
from zoo.config import options
from zoo.console.tables import print_paragraph, print_table
from zoo.console.terminal import echo
from zoo.errors import OptionError
from zoo.files.cards import UNKNOWN_DATA
from zoo.files.regular import read_regular
from zoo.tools.imports.import_weights import import_weights
from zoo.tools.imports.matched_names import Mismatch, TensorDifference, count_text, shape_text

# Rows of a table and names that are printed, and bytes of a JSON file that is read
_ROWS, _FEW_NAMES, _LARGEST = 20, 5, 1_000_000
_PREPROCESS = """\
Preprocessing options, which override those of the dataset, if any: size, mean, std and classes
(names or a number) for images; tokens, lower, vocabulary and specials for text. KEY=@FILE reads the value
from a JSON file."""


@click.command()
@click.argument("file", type=PathType())
@click.option(
    "--architecture",
    type=NameType("architecture"),
    required=True,
    help="The architecture that the weights are for, such as resnet20.",
)
@options_of(import_weights, skip=["preprocess"])
@click.option("--preprocess", multiple=True, metavar="K=V", help=_PREPROCESS)
@standard_options
def command(session: Session, file: Path, preprocess: Sequence[str], as_json: bool, **settings: Any) -> None:
    """Convert FILE, a PyTorch state dict (.pth, .pt, .bin or .safetensors), to a weights file.

    The weights file can be used like any other, with eval, predict, analyze, export or train --from. Tensors
    are matched by name or else by order and shape; `zoo eval` shows whether they were matched correctly. A
    pickle is opened in a separate process, and its code is not run.

    \b
    zoo import resnet20.pth --architecture resnet20 \\
        --dataset cifar10
    zoo import pets.pt --architecture resnet20 \\
        --preprocess size=64 --preprocess classes=cat,dog \\
        --preprocess mean=0.5,0.5,0.5 \\
        --preprocess std=0.5,0.5,0.5
    """
    given = {key: _from_file(value) for key, value in options.parse(preprocess, what="--preprocess").items()}
    session.begin(f"importing {file}")
    try:
        found = import_weights(
            file, preprocess=given, progress=session.progress, registry=session.registry, **settings
        )
    except Mismatch as error:
        if not as_json:
            _print_mismatch(error.rows)
        raise
    if as_json:
        print_json(found)
    else:
        from zoo.data.opening import local_options

        own = {} if found["dataset"] == UNKNOWN_DATA else settings["data"] or {}
        _print(found, local_options(session.registry.dataset(found["dataset"]), own) if own else {})


def _from_file(value: str) -> Any:
    """Return a value as it was typed or, for `@FILE`, from a JSON file."""
    if not value.startswith("@"):
        return value
    try:
        return json.loads(read_regular(value[1:], most=_LARGEST))
    except OSError as error:
        raise OptionError(f"--preprocess: {value[1:]} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise OptionError(f"--preprocess: {value[1:]} is not a JSON file") from None


def _print(found: Mapping[str, Any], located: Mapping[str, Any]) -> None:
    """Print the mapping, and the command that measures the metrics on data located by some options."""
    mapping = found["mapping"]
    if found["by"] == "name":
        print_paragraph(f"{count_text(mapping)} were matched by name")
    else:
        print_table(_by_layer(mapping), ["MODEL", "FILE", "TENSORS"])
        echo()
        print_paragraph(f"{count_text(mapping)} were matched by order and shape, since their names differ")
    for what, names in (
        ("missing from the file, set to 0", found["initial"]),
        ("not used", found["unused"]),
        ("converted", found["converted"]),
    ):
        if names:
            print_paragraph(f"{what}: {_few(names)}")
    kept = " ".join(f"{key}={_short(value)}" for key, value in found["preprocess"].items())
    print_paragraph(f"inputs are prepared with {kept} (to change this, use --preprocess)")
    echo()
    print_paragraph(f"wrote {found['file']}; to measure its metrics, use")
    words = ["--dataset", "NAME"] if found["dataset"] == UNKNOWN_DATA else []
    echo(shlex.join(["zoo", "eval", found["file"], *words, *words_of("--data", located)]))


def _print_mismatch(rows: Sequence[TensorDifference]) -> None:
    cells = [
        (
            row.problem,
            row.model,
            row.model and shape_text(row.shape),
            row.file,
            row.file and shape_text(row.found),
        )
        for row in rows
    ]
    print_table(cells[:_ROWS], ["PROBLEM", "MODEL", "SHAPE", "FILE", "SHAPE"])
    if len(cells) > _ROWS:
        echo(f"... and {len(cells) - _ROWS:,} more")
    echo()


def _by_layer(mapping: Mapping[str, str]) -> list[list[str]]:
    """Return a row for each pair of layers, with the names of their tensors."""
    layers: dict[tuple[str, str], list[str]] = {}
    for ours, theirs in mapping.items():
        (layer, _, name), (other, _, its) = ours.rpartition("."), theirs.rpartition(".")
        layers.setdefault((layer, other), []).append(name if name == its else f"{name} from {its}")
    return [[*pair, ", ".join(names)] for pair, names in layers.items()]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW_NAMES:,} more" if len(names) > _FEW_NAMES else ""
    return f"{', '.join(names[:_FEW_NAMES])}{more}"


def _short(value: object) -> str:
    """Return a value as users type it; a long list is cut."""
    if isinstance(value, list) and value and isinstance(value[0], float):
        return ",".join(f"{number:.4g}" for number in value)
    if isinstance(value, list) and len(value) > _FEW_NAMES:
        return f"{options.text(value[:_FEW_NAMES])},... ({len(value):,})"
    return options.text(value)
