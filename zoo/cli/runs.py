"""`zoo runs`: list, compare, plot and prune training runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.name_types import PathType
from zoo.cli.session import Session, print_json, standard_options
from zoo.config import options
from zoo.config.near_names import did_you_mean
from zoo.console.figures import cell
from zoo.console.progress import duration
from zoo.console.tables import print_table
from zoo.console.terminal import echo
from zoo.files import style
from zoo.files.atomic import write_output
from zoo.registry.registry import Registry
from zoo.runs.run_table import RunList, diff_runs, list_runs, prune_runs

# The most options that have a column in the table
_OPTIONS = 4


class _Group(click.Group):
    """A group whose first word is a command or, for `list`, a folder or an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first in {*self.commands, "-h", "--help"}:
            return super().parse_args(ctx, args)
        if not Path(first).exists() and (nearest := did_you_mean(first, self.commands)):
            ctx.fail(f"no such folder or command: {first}{nearest}")
        return super().parse_args(ctx, ["list", *args])


@click.group(cls=_Group)
def command() -> None:
    """List training runs, compare them, plot their curves, and delete files that are no longer needed.

    \b
    zoo runs --where 'val.loss<1.3' --sort val.loss
    zoo runs diff runs/a runs/b
    zoo runs plot runs/a runs/b
    zoo runs report runs
    zoo runs prune runs --keep best
    """


@command.command("list", short_help="List training runs with their metrics.")
@click.argument("folder", type=PathType(), default="runs")
@options_of(list_runs, skip=["folder"])
@standard_options
def list_(session: Session, folder: Path, as_json: bool, **chosen: Any) -> None:
    """List the runs in FOLDER and its subfolders, with their metrics and the options that differ.

    `--where` and `--sort` accept training options, `model.NAME`, `data.NAME`, `optimizer_options.NAME` and
    metrics such as `val.loss`. `--sort` puts the best metric first; a `-` in front of the key reverses the
    order.
    """
    found = list_runs(folder, registry=session.registry, **chosen)
    if as_json:
        print_json(found)
    elif found:
        _print(found, session.registry, sort=(chosen["sort"] or "").removeprefix("-"))
    else:
        echo(f"zoo: {folder} has no {'matching ' * bool(chosen['where'])}runs", err=True)


@command.command("diff")
@click.argument("run", type=PathType())
@click.argument("other", type=PathType())
@standard_options
def diff(session: Session, run: Path, other: Path, as_json: bool) -> None:
    """Compare two runs: the options that differ, then the metrics."""
    found = diff_runs(run, other, registry=session.registry)
    if as_json:
        print_json(found)
        return
    for title, pairs in found.items():
        rows = [[key, *map(_shown, pair)] for key, pair in pairs.items()]
        print_table(rows or [["none differ", "", ""]], [title.upper(), str(run), str(other)], numbers=(1, 2))
        echo()


@command.command("plot", short_help="Plot the curves of several runs.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=PathType())
@click.option("--metric", help="Metric to plot instead of the primary one, such as val.loss.")
@click.option("--out", type=PathType(), default="runs.png", show_default=True, help="PNG file to write.")
@standard_options
def plot(session: Session, runs: tuple[Path, ...], metric: str | None, out: Path, as_json: bool) -> None:
    """Plot the training loss and the primary metric of several runs, or of all runs in a folder.

    Runs that differ only in their seed are drawn as a single line, which shows their mean, with a band from
    the lowest to the highest value.
    """
    from zoo.runs.run_plots import plot_runs

    write_output(out, style.png(plot_runs(*runs, metric=metric, registry=session.registry)))
    print_json({"out": str(out)}) if as_json else echo(f"wrote {out}")


@command.command("report", short_help="Write an HTML report of all runs.")
@click.argument("folder", type=PathType(), default="runs")
@click.option("--out", type=PathType(), default="report.html", show_default=True, help="HTML file to write.")
@standard_options
def report(session: Session, folder: Path, out: Path, as_json: bool) -> None:
    """Write a self-contained HTML file with a table and the curves of all runs in FOLDER."""
    from zoo.runs.run_plots import report_runs

    report_runs(folder, out, registry=session.registry)
    print_json({"out": str(out)}) if as_json else echo(f"wrote {out}")


@command.command("prune", short_help="Delete files that are no longer needed.")
@click.argument("folder", type=PathType(), default="runs")
@click.option("--keep", type=click.Choice(["best", "last"]), required=True, help="Weights to keep.")
@options_of(prune_runs, skip=["folder", "keep"])
@standard_options
def prune(_: Session, folder: Path, as_json: bool, **chosen: Any) -> None:
    """Delete the checkpoints of finished runs in FOLDER, and all but one weights file of each run.

    Logs are kept. A pruned run cannot be resumed. Stopped and running runs are skipped, and so are runs whose
    weights to keep are damaged, a link, or another run's.
    """
    rows = prune_runs(folder, **chosen)
    if as_json:
        print_json(rows)
        return
    print_table([[row["run"], ", ".join(row["files"])] for row in rows])
    size = sum(row["bytes"] for row in rows) / 1e6
    echo(f"{size:,.1f} MB {'would be ' * chosen['dry_run']}freed")


def _print(found: RunList, registry: Registry, *, sort: str) -> None:
    """Print a table of runs, with a column for the key that they are sorted by."""
    flat = found.flat()
    tables = found.options()
    differing = [key for key in found.differing() if key != "epochs"]
    shown = differing if len(differing) <= _OPTIONS else ["architecture", "dataset"]
    keys = {key: unit for row in found for key, unit in _units(row, registry, sort).items()}
    if sort in {key for table in tables for key in table} - {*shown, "epochs"}:
        shown = [*shown, sort]
    header = ["RUN", "STATUS", "EPOCHS", *(key.replace(".", " ").upper() for key in keys), "TIME"]
    cells = [
        [
            *(row["run"], row["status"], f"{row['epochs']}/{table.get('epochs', '?')}"),
            *(cell(row[key], unit) if key in row else "" for key, unit in keys.items()),
            duration(row["seconds"]),
            *(options.text(table[key]) if key in table else "" for key in shown),
        ]
        for row, table in zip(flat, tables, strict=True)
    ]
    print_table(cells, [*header, *(key.upper() for key in shown)], numbers=range(2, len(header)))


def _units(row: Mapping[str, Any], registry: Registry, sort: str) -> dict[str, str]:
    """Return the units of a run's primary metric on validation and test data, and of the one to sort by."""
    task = registry.tasks.get(row["task"])
    primary = task.primary_metric if task else "loss"
    chosen = [("val", primary), ("test", primary), sort.partition(".")[::2]]
    return {
        f"{split}.{name}": task.units.get(name, "") if task else ""
        for split, name in chosen
        if name in row["metrics"].get(split, ())
    }


def _shown(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
