"""`zoo analyze`: look inside a trained model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from zoo.cli.names import NameType
from zoo.cli.output import json_option, notice, print_json, print_table
from zoo.cli.session import Session, pass_session
from zoo.config import options
from zoo.errors import OptionError

_ITEM = ("input", "true", "predicted", "predicted_probability", "class", "probability", "peak")


@click.command()
@click.argument("analyzer", type=NameType("analyzer"))
@click.argument("weights", type=NameType("weights", files=True))
@click.argument("files", metavar="[INPUT]...", nargs=-1, type=click.Path())
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Look at a split of its data.")
@click.option("--indices", metavar="LIST", help="Images of the split, from 0: 0,5,9 or 0-99.  [default: all]")
@click.option(
    "--dataset", metavar="NAME", type=NameType("dataset"), help="Other data.  [default: what it learned from]"
)
@click.option("--data", multiple=True, metavar="K=V", help="An option of the dataset.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="CLASS",
    help="Ask about a class, by name or number; `true` is the right one.  [default: predicted]",
)
@click.option("--layer", metavar="NAME", help="Look at this layer: a landmark or a module's path.")
@click.option("--option", "given", multiple=True, metavar="K=V", help="An option of the analyzer.")
@click.option("--score", is_flag=True, help="Also measure whether the maps can be believed.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: runs/ANALYZER-WEIGHTS]")
@click.option(
    "--draw",
    type=click.IntRange(min=0),
    default=64,
    show_default=True,
    help="Draw at most so many images.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16", "auto"]),
    default="fp32",
    show_default=True,
    help="Of the model's passes; auto is bf16 where that is fast.",
)
@click.option("--device", metavar="NAME", help="cpu or cuda.  [default: cuda if there is one]")
@json_option
@pass_session
def command(
    session: Session,
    analyzer: str,
    weights: str,
    files: tuple[str, ...],
    split: str | None,
    indices: str | None,
    dataset: str | None,
    data: tuple[str, ...],
    classes: tuple[str, ...],
    layer: str | None,
    given: tuple[str, ...],
    score: bool,
    out: Path | None,
    draw: int,
    precision: str,
    device: str | None,
    as_json: bool,
) -> None:
    """Look with ANALYZER into WEIGHTS (a file or a published id) at INPUT, or at a split of its data.

    INPUT is pictures or folders of them, of any size: the model sees their middle square. For a language
    model, INPUT is texts. The folder gets pictures, arrays and manifest.json, which --json prints; what an
    earlier analysis wrote there goes. Interrupted, it writes nothing.

    \b
    zoo analyze cam runs/x/model.safetensors cat.jpg --class cat --class dog
    zoo analyze grad-cam cifar10-resnet20 --split test --indices 0,5,9
    zoo analyze confusion cifar10-resnet20
    """
    if files and (split or indices or dataset or data):
        raise click.UsageError("give either INPUT or a split of the data, not both")
    numbers = None if indices is None else _numbers(indices)
    analyzer_options = options.parse(given, what="--option")
    data_options = options.parse(data, what="--data")

    from zoo.analysis import analyze
    from zoo.analysis.faithfulness import BETTER
    from zoo.analysis.findings import MANIFEST, require_folder
    from zoo.models.precision import pick_device

    entry = session.registry.analyzer(analyzer)
    name = Path(weights).parent.name if weights.endswith("/model.safetensors") else Path(weights).stem
    folder = out or Path("runs") / f"{entry.spec.name}-{name}"
    require_folder(folder)
    found = analyze(
        entry.name,
        weights,
        session.registry,
        files=files,
        split=split,  # pyright: ignore[reportArgumentType]
        indices=numbers,
        dataset=dataset,
        data=data_options,
        classes=classes,
        layer=layer,
        options=analyzer_options,
        score=score,
        precision=precision,
        device=pick_device(device),
        report=_Pace(),
        notice=notice,
    )
    written = found.write(folder, draw=draw)
    if as_json:
        print_json(written)
        return
    if found.analysis.text:
        click.echo(f"{found.analysis.text}\n")
    else:
        for rows in found.analysis.tables.values():
            _print_rows(rows, tuple(rows[0]) if rows else ())
    items = written["items"]
    drawn = [item for item in items if "map" in item]
    _print_rows(drawn, _ITEM)
    if len(items) > len(drawn):
        left = len(items) - len(drawn)
        click.echo(f"and {left:,} more in {MANIFEST} and maps.npy; --draw {draw} shows and draws no more\n")
    for score_name, value in written["scores"].items():
        better = f"  ({BETTER[score_name]})" if score_name in BETTER else ""
        click.echo(f"{score_name}  {value:.4g}{better}")
    made = [*found.analysis.figures, *(["a picture and an array for each map"] if drawn else []), MANIFEST]
    click.echo(f"wrote {folder}: {', '.join(made)}")


def _print_rows(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    if rows:
        cells = [[_cell(row[column]) for column in columns] for row in rows]
        print_table([column.replace("_", " ").upper() for column in columns], cells)
        click.echo()


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


class _Pace:
    """Tells every 15 seconds, on stderr, how far the passes over the inputs are."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._told > 15:
            self._told = time.monotonic()
            notice(f"{done:,} of {total:,}")


def _numbers(text: str) -> list[int]:
    """Read `0,5,9` and `0-99`. Raises OptionError for anything else, and for more than a million."""
    try:
        parts = [part.partition("-") for part in text.split(",")]
        ranges = [range(int(first), int(last or first) + 1) for first, _, last in parts]
    except ValueError:
        ranges = []
    if not 0 < sum(map(len, ranges)) <= 1_000_000:
        raise OptionError(f"--indices {text!r} is not like 0,5,9 or 0-99")
    return [number for each in ranges for number in each]
