"""`zoo train`: train a model from a recipe, or train an architecture on a dataset."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.api.training import train
from zoo.cli.flags import options_of
from zoo.cli.session import Session, device_option, print_json, standard_options, track_options
from zoo.cli.tracker_process import tracking
from zoo.cli.training_command import NAMING, training_command
from zoo.config.torchrun import is_first
from zoo.console.figures import primary_metrics
from zoo.console.tables import print_section, print_table, print_title
from zoo.console.terminal import echo
from zoo.data.vocabulary import WritesText
from zoo.errors import OptionError
from zoo.files import run_files
from zoo.registry.registry import Registry
from zoo.registry.specs import AnalyzerSpec
from zoo.runs.run_directories import default_directory
from zoo.runs.run_table import list_runs
from zoo.runs.training_plan import TrainingPlan
from zoo.tools.sweep.seed_runs import train_seeds

if TYPE_CHECKING:
    from zoo.api.run import Run


@training_command()
@options_of(train, skip=["dataset", "task", *NAMING])
@device_option
@click.option(
    "--seeds",
    type=click.IntRange(1, 100_000),
    help="Number of runs, with consecutive seeds. Reports the mean, the standard deviation and the "
    "confidence interval of the mean.",
)
@options_of(train_seeds, only=["jobs", "on"])
@track_options
@standard_options
def command(
    session: Session,
    name: str,
    dataset: str | None,
    as_json: bool,
    training: Mapping[str, Any],
    seeds: int | None,
    jobs: int | None,
    on: str,
    track: str,
    track_option: Sequence[str],
    **settings: Any,
) -> None:
    """Train a model from a RECIPE, or train an architecture (ARCH) on a DATASET.

    \b
    zoo train nietzsche-gru
    zoo train nietzsche-gru --architecture lstm
    zoo train gru nietzsche --model hidden_size=256 --epochs 5
    zoo train lstm files --data paths=my.txt
    zoo train convnet-bn folder --data root=images \\
        --from cifar10-convnet-bn

    Ctrl-C saves and stops the run. `zoo resume RUN` continues the run; on a CPU, the result is bit-for-bit
    identical to that of an uninterrupted run.
    """
    if settings["dry_run"]:
        for flag, value in {"--seeds": seeds, "--track": track, "--track-option": track_option}.items():
            if value:
                raise OptionError(f"--dry-run cannot be combined with {flag}")
        plan = train(
            name, dataset, progress=session.progress, registry=session.registry, **settings, **training
        )
        _print_plan(plan, as_json)
        return
    if seeds or jobs or on != "local":
        from zoo.cli.sweep import train_with_seeds

        where = {"run": settings["run"], "device": settings["device"], "jobs": jobs, "on": on}
        if track:
            hint = "track each run afterward: `zoo track RUN --to NAME`"
            raise OptionError("--track cannot be combined with --seeds", hint=hint)
        train_with_seeds(session, name, dataset, seeds=seeds or 1, as_json=as_json, **where, **training)
        return
    if track and settings["run"] is None:
        other = training.get("architecture")
        settings["run"] = str(default_directory(name, dataset, other, resume=settings["resume"]))
    with tracking(session, track, track_option, settings["run"]):
        run = train(
            name, dataset, progress=session.progress, registry=session.registry, **settings, **training
        )
    print_run(run, session, as_json)


def _print_plan(plan: TrainingPlan, as_json: bool) -> None:
    """Print what a training would do."""
    if as_json:
        print_json(plan.to_dict())
        return
    print_title(f"{plan.architecture} on {plan.dataset}")
    print_table(plan.rows, ["OPTION", "VALUE", "SET BY"])
    print_section("", [*plan.facts.items()])


def print_run(run: "Run", session: Session, as_json: bool) -> None:
    """Print the paths and metrics of a finished run's weights, and suggest commands to try."""
    if not is_first():
        return
    if not (run.directory / run_files.LAST).exists():  # --stop-after
        _print_stopped(run, session.registry, as_json)
        return
    result = run.result
    if as_json:
        print_json(result.to_dict())
        return
    best = result.weights != result.last
    figures = ", ".join(primary_metrics(result.metrics, run.task.spec, session.registry.metric_units))
    which = f"epoch {result.epoch} of {result.epochs}{', the best by validation' * best}"
    echo(f"weights  {result.weights}")
    echo(f"         {which}{f': {figures}' * bool(figures)}")
    if best:
        echo(f"last     {result.last}")
    echo(f"curve    {run.directory / run_files.CURVE}")
    if session.progress:
        _print_next(run, session.registry, session.plugin_files)


def _print_stopped(run: "Run", registry: Registry, as_json: bool) -> None:
    (row,) = list_runs(run.directory, registry=registry)
    place, epochs = shlex.quote(str(run.directory)), run.recipe.train["epochs"]
    done = f"stopped after epoch {row['epochs']} of {epochs}; `zoo resume {place}` continues the run"
    print_json(row) if as_json else echo(done)


def _print_next(run: "Run", registry: Registry, files: Sequence[str]) -> None:
    """Print suggested commands on stderr."""
    place = str(run.directory) if run.directory.parent != Path() else f"./{run.directory}"
    commands = [["eval", place]]
    if isinstance(run.task.processor, WritesText):
        commands.append(["sample", place])
    architecture, suggested = registry.architecture(run.recipe.architecture).spec, set[str]()
    for entry in registry.entries_of(AnalyzerSpec):  # the first of each plugin that is not for any task
        general = len(entry.spec.tasks) == len(registry.tasks) or entry.spec.reference
        new = entry.plugin.name not in suggested and not general
        if new and entry.spec.fits(architecture, run.task.name):
            suggested.add(entry.plugin.name)
            alone = isinstance(run.task.processor, WritesText) or entry.spec.labels
            commands.append(["analyze", entry.spec.name, place, *([] if alone else ["--indices", "0"])])
    flags = [word for file in files for word in ("--plugin", file)]
    for number, words in enumerate(commands):
        echo(f"{'next' if number == 0 else '':<9}{shlex.join(['zoo', *words, *flags])}", err=True)
