"""`zoo sweep`, and `zoo train --seeds`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from zoo.cli.flags import options_of
from zoo.cli.name_types import PathType
from zoo.cli.session import Session, device_option, print_json, standard_options
from zoo.cli.training_command import training_command
from zoo.config import options
from zoo.console.figures import cell
from zoo.console.tables import print_paragraph, print_table
from zoo.console.terminal import echo
from zoo.errors import OptionError
from zoo.files import style
from zoo.files.atomic import atomic_write
from zoo.registry.specs import TaskSpec
from zoo.tools.sweep.seed_runs import SeedResult, train_seeds
from zoo.tools.sweep.sweep_runs import Sweep, sweep

# Trials whose best tenth is more than one
_ENOUGH = 20
# Options of `zoo train` that several runs cannot have
_ONE_RUN = ("accept_changes", "all_metrics", "processes", "save_every", "stop_after")


@training_command("sweep")
@options_of(sweep, skip=["dataset", "run", "over"])
@click.option(
    "--over",
    "over",
    multiple=True,
    metavar="K=VALUES",
    required=True,
    help="Option to vary, such as lr, model.NAME or optimizer_options.NAME: a list (lr=0.01,0.1) or a range "
    "(lr=1e-4..1e-1:log).",
)
@click.option("--run", type=PathType(), help="Folder of the runs; by default, runs/NAME-sweep.")
@device_option
@standard_options
def command(
    session: Session,
    name: str,
    dataset: str | None,
    training: Mapping[str, Any],
    over: tuple[str, ...],
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a model with different options, and compare the runs on validation data.

    Each trial is an ordinary run. To continue after an interruption, run the same command again. The result
    does not depend on --jobs, on where the trials run, or on interruptions.

    \b
    zoo sweep lstm nietzsche --over lr=1e-3..1e-1:log \\
        --over model.hidden_size=128,256 --method tpe
    zoo sweep resnet20 shapes --over lr=0.05,0.1,0.2 --jobs 2
    """
    space = {key: str(value) for key, value in options.parse(over, what="--over").items()}
    found = sweep(
        name,
        dataset,
        over=space,
        progress=session.progress,
        registry=session.registry,
        **settings,
        **training,
    )
    plot = found.folder / "sweep.png"
    with atomic_write(plot) as file:
        file.write(style.png(found.plot()))
    if as_json:
        print_json(found.to_dict())
        return
    _print(found)
    echo(f"figure  {plot}")


def _print(found: Sweep) -> None:
    best, task, means = found.best, found.task, found.means
    metric = task.primary_metric
    rows = [
        [
            *(str(row["trial"]), row["status"], str(row["epochs"])),
            _cell(row["metrics"].get("val", {}).get(metric), task, metric),
            *(options.text(value) for value in row["options"].values()),
            "best" * (row["run"] == best["run"]),
        ]
        for row in found.trials
    ]
    names = [name.upper() for name in found.trials[0]["options"]]
    print_table(rows, ["TRIAL", "STATUS", "EPOCHS", f"VAL {metric.upper()}", *names, ""], numbers=(0, 2, 3))
    if means:
        echo()
        _print_means(means, task)
    if means and not means[0]["options"]:
        return
    if shares := found.importance:
        echo()
        print_table([[name, f"{share:.0%}"] for name, share in shares.items()], ["OPTION", "IMPORTANCE"])
        if len(found.trials) < _ENOUGH and len(shares) > 1:
            few = f"{len(found.trials)} trials are too few for a reliable importance"
            print_paragraph(f"{few}, which compares the best tenth of the trials with all of them")
    echo()
    echo(f"best by validation: {best['run']}")
    echo("as a recipe for registry.toml:")
    for line in ["", *found.recipe.strip().splitlines(), ""]:
        echo(line)


def _print_means(means: Sequence[Mapping[str, Any]], task: TaskSpec) -> None:
    """Print the means over seeds or folds, a row for each combination of the other options."""
    metric = task.primary_metric
    rows = [
        [
            *(options.text(value) for value in row["options"].values()),
            str(row["trials"]),
            _cell(row["mean"], task, metric),
            " to ".join(_cell(end, task, metric) for end in row["interval"] or ()),
        ]
        for row in means
    ]
    names = [name.upper() for name in means[0]["options"]]
    head = [*names, "TRIALS", f"MEAN VAL {metric.upper()}", "95% INTERVAL OF THE MEAN"]
    print_table(rows, head, numbers=range(len(names), len(names) + 2))


def _cell(value: float | None, task: TaskSpec, metric: str) -> str:
    return "" if value is None else cell(value, task.units.get(metric, ""))


def train_with_seeds(
    session: Session, name: str, dataset: str | None, *, as_json: bool, **settings: Any
) -> None:
    """Train with several seeds in place of one, and print the mean of each metric with its interval."""
    given = click.get_current_context().get_parameter_source
    for key in _ONE_RUN:
        if given(key) is ParameterSource.COMMANDLINE:
            raise OptionError(f"--seeds cannot be combined with --{key.replace('_', '-')}")
    found = train_seeds(name, dataset, progress=session.progress, registry=session.registry, **settings)
    print_json(found.to_dict()) if as_json else _print_seeds(found)


def _print_seeds(found: SeedResult) -> None:
    rows = [
        [f"{split} {name.replace('_', ' ')}", *_spread(found, split, name)]
        for split, means in found.mean.items()
        for name in means
    ]
    print_table(rows, ["METRIC", "MEAN", "SD", "95% INTERVAL OF THE MEAN"], numbers=(1, 2))
    echo()
    echo(f"{len(found.runs)} run{'s' * (len(found.runs) > 1)} in {Path(found.runs[0]).parent}")


def _spread(found: SeedResult, split: str, name: str) -> list[str]:
    """Return mean, standard deviation and interval of a metric as the columns of a table."""
    mean = _cell(found.mean[split][name], found.task, name)
    if not found.sd:
        return [mean, "", ""]
    low, high = (_cell(value, found.task, name) for value in found.interval[split][name])
    return [mean, _cell(found.sd[split][name], found.task, name), f"{low} to {high}"]
