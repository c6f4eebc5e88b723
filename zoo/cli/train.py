"""`zoo train`: from a name to weights."""

import functools
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from zoo.api.training import train
from zoo.cli.fields import TrainingCommand, pop_fields, training_flags
from zoo.cli.names import NameType
from zoo.cli.output import device_option, json_option, quiet_option
from zoo.cli.session import Session, pass_session, print_json
from zoo.cli.signature import options_of, typed
from zoo.config import options
from zoo.config.torchrun import is_first
from zoo.console.progress import headlines
from zoo.console.terminal import echo
from zoo.data.vocabulary import WritesText
from zoo.registry.registry import Registry

if TYPE_CHECKING:
    from zoo.api.run import Run

# Analyzers to try after training, and their options: an image is quick, a whole split may not be
_LOOKING_INSIDE = {"surprise": [], "confusion": [], "grad-cam": ["--indices", "0"]}

# What, besides a recipe or an architecture and a dataset, says what is trained
NAMING = ("model", "data", "from_weights", "seed", "threads")


def training_command(
    name: str | None = None, *, skip: Collection[str] = ()
) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator like `click.command`, of a command that takes what says what is trained.

    The function gets `name`, `dataset`, and as `training` a dict with the other arguments of `zoo.train` for
    that: `model`, `data`, `from_weights`, `seed`, `threads`, and the training options that were given.

    Args:
        skip: training options that the command does not take.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def with_training(*arguments: Any, **settings: Any) -> Any:
            fields = pop_fields(settings)
            training = {option: settings.pop(option) for option in NAMING}
            return function(*arguments, training=training | fields, **settings)

        command: Any = training_flags(skip=skip)(with_training)
        for add in (
            options_of(train, only=NAMING),
            click.argument("dataset", required=False, metavar="", type=NameType("dataset", beside="name")),
            click.argument("name", metavar="RECIPE | ARCH DATASET", type=NameType("recipe", "architecture")),
            click.command(name, cls=TrainingCommand),
        ):
            command = add(command)
        return command

    return decorate


def training_words(training: Mapping[str, Any]) -> list[str]:
    """Return the words that give `zoo train` what `training_command` was given."""
    words: list[str] = []
    for name, value in training.items():
        if isinstance(value, Mapping):
            pairs = cast("Mapping[str, Any]", value).items()
            words += [word for key, item in pairs for word in (f"--{name}", f"{key}={options.text(item)}")]
        elif value is not None:
            words += typed(name, value)
    return words


@training_command()
@options_of(train, skip=["dataset", *NAMING])
@device_option
@json_option
@quiet_option
@pass_session
def command(
    session: Session, name: str, dataset: str | None, training: dict[str, Any], as_json: bool, **settings: Any
) -> None:
    """Train a RECIPE of registry.toml, or an ARCHitecture on a DATASET.

    \b
    zoo train nietzsche-gru
    zoo train gru nietzsche --model hidden_size=256 --epochs 5
    zoo train lstm files --data paths=my.txt
    zoo train convnet-bn folder --data root=pictures \\
        --from cifar10-convnet-bn

    Ctrl-C saves and stops; `zoo resume RUN` continues, bit for bit.
    """
    run = train(name, dataset, progress=session.progress, registry=session.registry, **settings, **training)
    print_run(run, session, as_json)


def print_run(run: "Run", session: Session, as_json: bool) -> None:
    """Print which weights a finished run stands for and where they are, and commands to try."""
    if not is_first():
        return
    result = run.result
    if as_json:
        print_json(result.to_dict())
        return
    best = result.weights != result.last
    figures = ", ".join(headlines(result.metrics, run.task.spec))
    which = f"epoch {result.epoch} of {result.epochs}{', the best by validation' * best}"
    echo(f"weights  {result.weights}")
    echo(f"         {which}{f': {figures}' * bool(figures)}")
    if best:
        echo(f"last     {result.last}")
    echo(f"curve    {run.directory / 'curve.png'}")
    if session.progress:
        _print_next(run, session.registry, session.plugin_files)


def _print_next(run: "Run", registry: Registry, files: Sequence[str]) -> None:
    """Print commands to try, on stderr."""
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
