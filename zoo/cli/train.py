"""`zoo train`: from a name to weights."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.experiments import experiment_of
from zoo.cli.names import NameType
from zoo.cli.output import json_option, notice, print_json
from zoo.cli.session import Session, pass_session


@click.command()
@click.argument("name", metavar="RECIPE | ARCH DATASET", type=NameType("recipe", "architecture"))
@click.argument("dataset", required=False, metavar="", type=NameType("dataset"))
@click.option("--model", multiple=True, metavar="K=V", help="An argument of the architecture.")
@click.option("--data", multiple=True, metavar="K=V", help="An option of the dataset.")
@click.option(
    "--train", "train_options", multiple=True, metavar="K=V", help="A field of the training recipe."
)
@click.option(
    "--from", "start", metavar="WEIGHTS", help="Start from a weights file or a published id: fine-tuning."
)
@click.option("--seed", type=int, help="Of weights, order, augmentation and dropout.  [default: 0]")
@click.option("--device", metavar="NAME", help="cpu or cuda.  [default: cuda if there is one]")
@click.option(
    "--run",
    "directory",
    type=click.Path(path_type=Path),
    help="Run directory.  [default: runs/NAME, or NAME-2 ...]",
)
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint; start if there is none.")
@click.option(
    "--accept-changes", is_flag=True, help="Resume although options or data are not those of the run so far."
)
@click.option(
    "--save-every",
    metavar="N",
    default="5m",
    show_default=True,
    help="Save also within an epoch: every 500 steps, or 90s, 5m, 1h; 0 is never.",
)
@json_option
@pass_session
def command(
    session: Session,
    name: str,
    dataset: str | None,
    model: tuple[str, ...],
    data: tuple[str, ...],
    train_options: tuple[str, ...],
    start: str | None,
    seed: int | None,
    device: str | None,
    directory: Path | None,
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

    Ctrl-C saves and stops; the same command with --resume goes on, bit for bit.
    """
    experiment = experiment_of(
        session, name, dataset, model=model, data=data, train=train_options, start=start, seed=seed
    )
    if directory is None:
        directory = _free_directory("-".join(filter(None, (name, dataset))).replace("/", "-"), resume=resume)

    from zoo.api.progress import Reporter
    from zoo.models.precision import pick_device
    from zoo.training import train

    with Reporter(f"{experiment.architecture} on {experiment.dataset} in {directory}") as report:
        result = train(
            experiment,
            session.registry,
            directory=directory,
            resume=resume,
            accept_changes=accept_changes,
            save_every=save_every,
            device=pick_device(device),
            report=report,
            notice=notice,
        )
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(f"weights  {result.weights}")
        if result.best and result.best["weights"] and result.best["epoch"] < result.epochs:
            click.echo(f"best     {result.best['weights']}, of epoch {result.best['epoch']}")


def _free_directory(name: str, *, resume: bool) -> Path:
    """Return runs/NAME, or the first free one of NAME-2, NAME-3 ...; to resume, the last one taken."""
    numbered = [Path("runs") / name]
    while numbered[-1].exists():
        numbered.append(Path("runs") / f"{name}-{len(numbered) + 1}")
    return numbered[-2] if resume and len(numbered) > 1 else numbered[-1]
