"""`zoo train`: from a name to weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo.api.training import train
from zoo.cli.fields import TrainingCommand, pop_fields, training_flags
from zoo.cli.names import NameType
from zoo.cli.output import device_option, echo, json_option, print_json
from zoo.cli.session import Session, pass_session
from zoo.cli.signature import options_of

if TYPE_CHECKING:
    from zoo.training.result import Result

F = TypeVar("F", bound=Callable[..., Any])

# What, besides a recipe or an architecture and a dataset, says what is trained
NAMING = ("model", "data", "from_weights", "seed", "threads")


def training_arguments(command: F) -> F:
    """Add the arguments and options that say what is trained; `zoo lr-find` has them too."""
    for decorate in (
        options_of(train, only=NAMING),
        click.argument("dataset", required=False, metavar="", type=NameType("dataset")),
        click.argument("name", metavar="RECIPE | ARCH DATASET", type=NameType("recipe", "architecture")),
    ):
        command = decorate(command)
    return command


@click.command(cls=TrainingCommand)
@training_arguments
@options_of(train, skip=["dataset", *NAMING])
@training_flags()
@device_option
@json_option
@pass_session
def command(session: Session, name: str, dataset: str | None, as_json: bool, **settings: Any) -> None:
    """Train a RECIPE of registry.toml, or an ARCHitecture on a DATASET.

    \b
    zoo train nietzsche-gru
    zoo train lstm nietzsche --model hidden_size=256 --epochs 5
    zoo train lstm files --data paths=my.txt
    zoo train convnet-bn folder --data root=pictures --data size=32 --from cifar10-convnet-bn

    Ctrl-C saves and stops; `zoo resume RUN` continues, bit for bit.
    """
    fields = pop_fields(settings)
    result = train(name, dataset, registry=session.registry, **settings, **fields).result
    print_result(result, as_json)


def print_result(result: "Result", as_json: bool) -> None:
    """Print where a finished run's weights are."""
    if as_json:
        print_json(result.to_dict())
        return
    echo(f"weights  {result.weights}")
    if result.best and result.best["weights"] and result.best["epoch"] < result.epochs:
        echo(f"best     {result.best['weights']} (epoch {result.best['epoch']})")
