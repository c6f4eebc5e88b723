"""`zoo train`: from a name to weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zoo.cli.names import NameType
from zoo.cli.output import device_option, echo, json_option, print_json
from zoo.cli.session import Session, pass_session
from zoo.config import options

F = TypeVar("F", bound=Callable[..., Any])


def training_options(command: F) -> F:
    """Add the arguments and options that name a training; `zoo lr-find` has them too."""
    for decorate in reversed(
        (
            click.argument("name", metavar="RECIPE | ARCH DATASET", type=NameType("recipe", "architecture")),
            click.argument("dataset", required=False, metavar="", type=NameType("dataset")),
            click.option("--model", multiple=True, metavar="K=V", help="Option of the architecture."),
            click.option("--data", multiple=True, metavar="K=V", help="Option of the dataset."),
            click.option(
                "--train", "fields", multiple=True, metavar="K=V", help="Training field, such as epochs=5."
            ),
            click.option(
                "--from",
                "from_weights",
                metavar="WEIGHTS",
                help="Weights to start from (fine-tuning): an id, a file or a run directory.",
            ),
            click.option(
                "--seed",
                type=int,
                help="Random seed for initialization, shuffling, augmentation and dropout.  [default: 0]",
            ),
            device_option,
        )
    ):
        command = decorate(command)
    return command


@click.command()
@training_options
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Run directory.  [default: runs/NAME, then runs/NAME-2 ...]",
)
@click.option("--resume", is_flag=True, help="Continue from the newest checkpoint; start if there is none.")
@click.option(
    "--accept-changes", is_flag=True, help="Resume even if options or data differ from those of the run."
)
@click.option(
    "--save-every",
    metavar="N",
    default="5m",
    show_default=True,
    help="How often to save within an epoch: 500 (steps), 90s, 5m or 1h; 0 is never.",
)
@json_option
@pass_session
def command(
    session: Session,
    name: str,
    dataset: str | None,
    model: tuple[str, ...],
    data: tuple[str, ...],
    fields: tuple[str, ...],
    from_weights: str | None,
    seed: int | None,
    device: str | None,
    run: Path | None,
    resume: bool,
    accept_changes: bool,
    save_every: str,
    as_json: bool,
) -> None:
    """Train a RECIPE of registry.toml, or an ARCHitecture on a DATASET.

    \b
    zoo train nietzsche-gru
    zoo train lstm nietzsche --model hidden_size=256 --train epochs=5
    zoo train lstm files --data paths=my.txt
    zoo train convnet-bn folder --data root=pictures --data size=32 --from cifar10-convnet-bn

    Ctrl-C saves and stops; the same command with --resume continues, bit for bit.
    """
    from zoo.api.training import train

    result = train(
        name,
        dataset,
        model=options.parse(model, what="--model"),
        data=options.parse(data, what="--data"),
        from_weights=from_weights,
        seed=seed,
        run=run,
        resume=resume,
        accept_changes=accept_changes,
        save_every=save_every,
        device=device,
        registry=session.registry,
        **options.parse(fields, what="--train"),
    ).result
    if as_json:
        print_json(result.to_dict())
        return
    echo(f"weights  {result.weights}")
    if result.best and result.best["weights"] and result.best["epoch"] < result.epochs:
        echo(f"best     {result.best['weights']} (epoch {result.best['epoch']})")
