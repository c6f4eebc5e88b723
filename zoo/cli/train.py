"""`zoo train`: train a model from a recipe, or train an architecture on a dataset."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.api.training import train
from zoo.cli.flags import TrainingCommand, options_of
from zoo.cli.name_types import NameType
from zoo.cli.session import Session, device_option, print_json, standard_options
from zoo.config.torchrun import is_first
from zoo.console.figures import primary_metrics
from zoo.console.terminal import echo
from zoo.data.vocabulary import WritesText
from zoo.registry.provided import provided
from zoo.registry.registry import Registry

if TYPE_CHECKING:
    from zoo.api.run import Run

# Analyzers to try after training, and their options: an image is quick, a whole split may not be
_LOOKING_INSIDE = {"surprisal": [], "confusion": [], "grad-cam": ["--indices", "0"]}

# Options that define a training, besides its recipe, or its architecture and dataset
NAMING = ("architecture", "model", "data", "from_weights", "seed", "threads")


def training_command(
    name: str | None = None, *, skip: Collection[str] = ()
) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator like `click.command`, for commands that accept the arguments of `zoo.train`.

    The decorated function is called with `name`, `dataset` and a dict `training`. This dict contains the
    arguments `architecture`, `model`, `data`, `from_weights`, `seed` and `threads`, and the training options
    that the user sets.

    Args:
        skip: training options that the command does not accept.
    """
    recipe = click.argument("name", metavar="RECIPE | ARCH DATASET", type=NameType("recipe", "architecture"))
    dataset = click.argument("dataset", required=False, metavar="", type=NameType("dataset", beside="name"))
    extra = {"allow_extra_args": True}  # so that an error can explain them
    command = click.command(name, cls=TrainingCommand, skip=skip, more=NAMING, context_settings=extra)
    return lambda function: command(recipe(dataset(options_of(train, only=NAMING)(function))))


@training_command()
@options_of(train, skip=["dataset", *NAMING])
@device_option
@standard_options
def command(
    session: Session,
    name: str,
    dataset: str | None,
    as_json: bool,
    training: Mapping[str, Any],
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
    run = train(name, dataset, progress=session.progress, registry=session.registry, **settings, **training)
    print_run(run, session, as_json)


def print_run(run: "Run", session: Session, as_json: bool) -> None:
    """Print the paths and metrics of a finished run's weights, and suggest commands to try."""
    if not is_first():
        return
    if not (run.directory / "model.safetensors").exists():  # --stop-after
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
    echo(f"curve    {run.directory / 'curve.png'}")
    if session.progress:
        _print_next(run, session.registry, session.plugin_files)


def _print_stopped(run: "Run", registry: Registry, as_json: bool) -> None:
    (row,) = provided("zoo_diagnose.run_lists", "list_runs", registry)(run.directory, registry=registry)
    place, epochs = shlex.quote(str(run.directory)), run.recipe.train["epochs"]
    done = f"stopped after epoch {row['epochs']} of {epochs}; `zoo resume {place}` continues the run"
    print_json(row) if as_json else echo(done)


def _print_next(run: "Run", registry: Registry, files: Sequence[str]) -> None:
    """Print suggested commands on stderr."""
    place = str(run.directory) if run.directory.parent != Path() else f"./{run.directory}"
    commands = [["eval", place]]
    if isinstance(run.task.processor, WritesText):
        commands.append(["sample", place])
    architecture, task = registry.architecture(run.recipe.architecture).spec, run.task.name
    for analyzer, more in _LOOKING_INSIDE.items():
        if registry.has("analyzer", analyzer) and registry.analyzer(analyzer).spec.fits(architecture, task):
            commands.append(["analyze", analyzer, place, *more])
    flags = [word for file in files for word in ("--plugin", file)]
    for number, words in enumerate(commands):
        echo(f"{'next' if number == 0 else '':<9}{shlex.join(['zoo', *words, *flags])}", err=True)
