"""`zoo lr-find`: learning rates to try, from a short sweep that leaves nothing changed."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

import click

from zoo.cli import train
from zoo.cli.experiments import experiment_of
from zoo.cli.output import json_option, notice, print_json, print_table
from zoo.cli.session import Session, pass_session
from zoo.errors import OptionError

AS_TRAIN = ("name", "dataset", "model", "data", "train_options", "start", "seed", "device")
WHERE = {
    "valley": "two thirds along the longest fall of the loss",
    "steep": "where the loss falls fastest there",
    "minimum": "a tenth of where the loss is lowest",
}


@click.command("lr-find", params=[each for each in train.command.params if each.name in AS_TRAIN])
@click.option(
    "--start", "first", type=float, default=1e-6, show_default=True, help="Learning rate of the first step."
)
@click.option(
    "--stop", "last", type=float, default=10.0, show_default=True, help="Learning rate of the last step."
)
@click.option("--steps", type=int, default=100, show_default=True, help="Optimizer steps between them.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Write a PNG of loss by learning rate."
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
    first: float,
    last: float,
    steps: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Suggest learning rates for what `zoo train` with the same words would train.

    Its first steps are taken at ever larger learning rates, until the loss is four times its lowest. They are
    as the recipe says: optimizer, precision, clip_norm, accumulate batches to a step; only schedule and
    averaging have no say. Nothing is kept, and no file is written but that of --plot.

    \b
    zoo lr-find nietzsche-gru
    zoo lr-find lstm nietzsche --train batch_size=128 --plot lr.png
    """
    if plot is not None:
        _require_writable(plot)
    experiment = experiment_of(
        session, name, dataset, model=model, data=data, train=train_options, start=start, seed=seed
    )

    from zoo.models.precision import pick_device
    from zoo.training.lr_finder import Sweep, find_lr_for
    from zoo.training.plots import lr_curve

    title = f"{experiment.architecture} on {experiment.dataset}"
    with _Pace(f"{title}, learning rates from {first:g} to {last:g}") as report:
        found = find_lr_for(
            experiment,
            session.registry,
            Sweep(first, last, steps),
            device=pick_device(device),
            report=report,
            notice=notice,
        )
    if plot is not None:
        lr_curve(plot, found, title=title)
    if as_json:
        print_json(found.to_dict() | {"plot": plot and str(plot)})
        return
    first_loss, lowest = found.curve[0][1], min(loss for _, loss in found.curve)
    if first_loss - lowest < 0.05 * first_loss:
        share = (first_loss - lowest) / first_loss
        notice(f"the loss fell by {share:.1%} only: take these with care, or sweep with more --steps")
    suggestions = found.to_dict()["suggestions"]
    print_table(["SUGGESTION", "LR", "IS"], [[key, f"{suggestions[key]:.2g}", WHERE[key]] for key in WHERE])
    end = f"diverged at {found.curve[-1][0]:.2g}" if found.diverged else "did not diverge"
    click.echo(f"the loss {end}, after {len(found.curve)} of {steps} steps")
    others = [word for word in train_options if word.partition("=")[0].strip() != "lr"]
    flags = {
        "--model": model,
        "--data": data,
        "--from": [start] if start else [],
        "--seed": [] if seed is None else [str(seed)],
        "--train": [*others, f"lr={suggestions['valley']:.2g}"],
    }
    given = [each for flag, words in flags.items() for word in words for each in (flag, word)]
    click.echo(shlex.join(["zoo", "train", name, *([dataset] if dataset else []), *given]))


def _require_writable(path: Path) -> None:
    if path.is_dir():
        raise OptionError(f"--plot {path} is a folder", hint="name a file in it, such as lr.png")
    if not path.parent.is_dir():
        raise OptionError(f"--plot {path}: there is no folder {path.parent}", hint="make it first")
    if not os.access(path.parent, os.W_OK):
        raise OptionError(f"--plot {path}: the folder {path.parent} cannot be written to")


class _Pace:
    """Tells on stderr how far a sweep is: live on a terminal, in a line every 15 seconds elsewhere."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True, highlight=False)
        columns = BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=1.0)
        self._title = title
        self._told = time.monotonic()

    def __enter__(self) -> _Pace:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, share: float, lr: float, loss: float) -> None:
        """Show how far the sweep is, under a title once it has begun."""
        if self._title:
            click.echo(self._title, err=True)
            self._title = ""
        told = f"lr {lr:.1e}  loss {loss:.4f}"
        self._bar.update(self._task, completed=share, description=told)
        if self._bar.disable and time.monotonic() - self._told > 15:
            self._told = time.monotonic()
            click.echo(f"{share:4.0%}  {told}", err=True)
