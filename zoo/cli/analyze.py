"""`zoo analyze`: look inside a trained model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.api.model import Model
from zoo.cli.flags import ValueType, options_of
from zoo.cli.name_types import NameType, PathType
from zoo.cli.session import Session, device_option, last_option, print_json, standard_options
from zoo.config.train_config import Count
from zoo.console.figures import figure
from zoo.console.tables import SHARES, print_paragraph, print_table
from zoo.console.terminal import BLANKS, echo
from zoo.errors import OptionError
from zoo.files import run_files
from zoo.files.folders import require_folder

if TYPE_CHECKING:
    from zoo.analysis.findings import Findings


def _indices(ctx: click.Context, param: click.Parameter, text: str | None) -> list[int] | None:  # noqa: ARG001
    """Parse up to a million numbers, such as `0,5,9` or `0-99`."""
    if text is None:
        return None
    try:
        parts = [part.partition("-") for part in text.split(",")]
        ranges = [range(int(first), int(last or first) + 1) for first, _, last in parts]
    except ValueError:
        ranges = []
    if not 0 < sum(each.stop - each.start for each in ranges) <= 1_000_000:
        raise OptionError(f"--indices must look like 0,5,9 or 0-99 (got {text!r})")
    return [number for several in ranges for number in several]


@click.command()
@click.argument("analyzer", type=NameType("analyzer"))
@click.argument("weights", type=NameType("weights", runs=True, beside="analyzer"))
@last_option
@click.argument("inputs", metavar="[INPUT]...", nargs=-1, type=PathType())
@click.option("--indices", callback=_indices, metavar="LIST", help="Item indices, such as 0,5,9 or 0-99.")
@options_of(Model.analyze, skip=["inputs", "indices"])
@click.option("--out", type=PathType(), help="Output folder.  [default: runs/ANALYZER-WEIGHTS]")
@click.option(
    "--draw", type=ValueType(Count), default=64, show_default=True, help="Maximum number of images to draw."
)
@device_option
@standard_options
def command(
    session: Session,
    analyzer: str,
    weights: str,
    inputs: tuple[Path, ...],
    out: Path | None,
    draw: int,
    device: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Run ANALYZER on WEIGHTS (an id, a file or a run directory).

    INPUT is an image of any size, a folder of images, or a pattern such as 'holiday/*.jpg'. If INPUT is -,
    paths are read from stdin. The model receives the central square of each image. For a language model,
    INPUT is one or more text files, which are joined into one text; if INPUT is -, text is read from stdin.
    Without INPUT, a split of the model's data is analyzed.

    Images, arrays and manifest.json (which --json prints) are written to the output folder. Files from an
    earlier analysis are replaced, unless they were modified. An interrupted analysis does not write any
    files.

    \b
    zoo analyze cam runs/x cat.jpg --class cat --class dog
    zoo analyze grad-cam cifar10-resnet20 --indices 0,5,9
    """
    entry = session.registry.analyzer(analyzer)
    session.begin(f"analyzing {weights} with {entry.spec.name}")
    folder = out or Path("runs") / f"{entry.spec.name}-{_short_name(Path(weights))}"
    require_folder(folder)
    model = session.load(weights, device=device)
    findings = model.analyze(entry.name, inputs or None, progress=session.progress, **settings)
    written = findings.write(folder, draw=draw)
    if as_json:
        print_json(written)
    else:
        registry = session.registry
        from zoo.analysis.faithfulness import READING  # torch is imported by now

        reading = READING if settings["score"] else {}
        _print(findings, written, folder, draw, registry.task(model.card.task).units, reading)


def _print(
    findings: "Findings",
    written: dict[str, Any],
    folder: Path,
    draw: int,
    units: Mapping[str, str],
    reading: Mapping[str, str],
) -> None:
    from zoo.analysis.findings import MANIFEST

    analysis = findings.analysis
    if analysis.text:
        echo(f"{analysis.text}\n", keep=BLANKS, colors=True)
    else:
        for rows in analysis.tables.values():
            _print_rows(rows)
    drawn = [item for item in written["items"] if "map" in item]
    _print_rows([_about(item) for item in drawn])
    if rest := len(written["items"]) - len(drawn):
        more = f"and {rest:,} more in {MANIFEST} and maps.npy"
        print_paragraph(f"{more}; to show and draw all of them, increase --draw (now {draw})")
        echo()
    scores = written["scores"].items()
    print_table([(name, figure(value, units.get(name, "")), reading.get(name, "")) for name, value in scores])
    drawings = ["contact-sheet.png", "an overlay and an array for each heat map"] if drawn else []
    print_paragraph(f"wrote {folder}: {', '.join([*analysis.figures, *drawings, MANIFEST])}")


def _about(item: dict[str, Any]) -> dict[str, Any]:
    """Return the row to print for a heat map, with its class only if it is not the predicted class."""
    predicted = _with_probability(item["predicted"], item["predicted_probability"])
    other = _with_probability(item["class"], item["probability"])
    about = {"input": item["input"], "true": item["true"], "predicted": predicted}
    return about | {"class": None if other == predicted else other, "peak": item["peak"]}


def _with_probability(name: str | None, probability: float) -> str | None:
    return None if name is None else f"{name} {figure(probability, '%')}"


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print a table without the columns that are empty in every row."""
    columns = [column for column in (rows[0] if rows else ()) if any(row[column] is not None for row in rows)]
    if columns:
        cells = [[_cell(row[column], SHARES.get(column, "")) for column in columns] for row in rows]
        numbers = [n for n, column in enumerate(columns) if isinstance(rows[0][column], int | float)]
        print_table(cells, [column.replace("_", " ").upper() for column in columns], numbers=numbers)
        echo()


def _cell(value: object, unit: str) -> str:
    if isinstance(value, float):
        return figure(value, unit) if unit else f"{value:.3g}"
    return "" if value is None else str(value)


def _short_name(weights: Path) -> str:
    """Return a folder name for an id, a file or a run; for a run of a sweep, such as `sweep-trial-1`."""
    run = weights.parent if weights.name == run_files.LAST and weights.parent.name else weights
    folder = run.parent.name if run.is_dir() and run.parent.name != "runs" else ""
    return f"{folder}-{run.name}".removeprefix("-").removesuffix(".safetensors")
