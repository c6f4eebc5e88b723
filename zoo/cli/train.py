"""`zoo train`: from a name to weights."""

from __future__ import annotations

from pathlib import Path

import click

from zoo import options
from zoo.cli.names import NameType
from zoo.cli.output import json_option, notice, print_json
from zoo.cli.session import Session, pass_session
from zoo.errors import UnknownName
from zoo.experiment import Experiment
from zoo.plugins import Kind
from zoo.registry import Registry


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
    as_json: bool,
) -> None:
    """Train a RECIPE of registry.toml, or an ARCHitecture on a DATASET.

    \b
    zoo train nietzsche-gru
    zoo train lstm nietzsche --model hidden_size=256 --train epochs=5
    zoo train lstm files --data paths=my.txt
    zoo train resnet-lite folder --data root=pictures --from cifar10-resnet-lite --train freeze=stem

    Ctrl-C saves and stops; the same command with --resume goes on, bit for bit.
    """
    experiment = _experiment(session, name, dataset)
    experiment = Experiment(
        architecture=experiment.architecture,
        dataset=experiment.dataset,
        model=experiment.model | options.parse(model, what="--model"),
        data=experiment.data | options.parse(data, what="--data"),
        train=experiment.train | options.parse(train_options, what="--train"),
        start=experiment.start if start is None else start,
        seed=experiment.seed if seed is None else seed,
    )
    experiment.recipe(session.registry)  # a wrong name or option is told before torch is loaded
    if directory is None:
        directory = _free_directory("-".join(filter(None, (name, dataset))).replace("/", "-"), resume=resume)

    from zoo.cli.progress import Reporter
    from zoo.training import train
    from zoo.training.precision import pick_device

    with Reporter(f"{experiment.architecture} on {experiment.dataset} in {directory}") as report:
        result = train(
            experiment,
            session.registry,
            directory=directory,
            resume=resume,
            device=pick_device(device),
            report=report,
            notice=notice,
        )
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(f"weights  {result.weights}")
        if result.best and result.best["epoch"] < result.epochs:
            click.echo(f"best     {result.best['weights']}, of epoch {result.best['epoch']}")


def _experiment(session: Session, name: str, dataset: str | None) -> Experiment:
    if dataset is not None:
        _refuse_swapped(session.registry, name, dataset)
        architecture = session.registry.architecture(name)
        return Experiment(architecture=architecture.name, dataset=session.registry.dataset(dataset).name)
    try:
        return Experiment.of(session.catalog.recipe(name))
    except UnknownName:
        if any(name in (entry.name, entry.spec.name) for entry in session.registry.entries("architecture")):
            raise UnknownName(
                f"{name} is an architecture; name a dataset too: zoo train {name} DATASET",
                hint="`zoo list dataset` shows them",
            ) from None
        raise


def _refuse_swapped(registry: Registry, name: str, dataset: str) -> None:
    def has(kind: Kind, word: str) -> bool:
        return any(word in (entry.name, entry.spec.name) for entry in registry.entries(kind))

    if has("dataset", name) and has("architecture", dataset):
        raise UnknownName(f"the architecture comes first: zoo train {dataset} {name}")


def _free_directory(name: str, *, resume: bool) -> Path:
    """Return runs/NAME, or the first free one of NAME-2, NAME-3 ...; to resume, the last one taken."""
    numbered = [Path("runs") / name]
    while numbered[-1].exists():
        numbered.append(Path("runs") / f"{name}-{len(numbered) + 1}")
    return numbered[-2] if resume and len(numbered) > 1 else numbered[-1]
