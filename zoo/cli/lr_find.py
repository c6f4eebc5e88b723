"""`zoo lr-find`: learning rates to try, from a short test run."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.output import echo, json_option, print_json, print_table
from zoo.cli.session import Session, pass_session
from zoo.cli.train import training_options
from zoo.config import options
from zoo.errors import OptionError

if TYPE_CHECKING:
    from zoo.training.lr_finder import Curve

MEANING = {
    "valley": "two thirds along the longest fall of the loss",
    "steep": "where the loss falls fastest there",
    "minimum": "a tenth of where the loss is lowest",
}


@click.command("lr-find")
@training_options
@click.option("--start", type=float, default=1e-6, show_default=True, help="Learning rate of the first step.")
@click.option("--stop", type=float, default=10.0, show_default=True, help="Learning rate of the last step.")
@click.option("--steps", type=int, default=100, show_default=True, help="Number of optimizer steps.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="PNG file to draw the loss by learning rate in.",
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
    start: float,
    stop: float,
    steps: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Suggest learning rates for what `zoo train` would train with the same arguments.

    The test takes the first steps of that training, at ever larger learning rates, until the loss is four
    times its lowest. The schedule and weight averaging do not apply. No file is written but that of --plot.

    \b
    zoo lr-find nietzsche-gru
    zoo lr-find lstm nietzsche --train batch_size=128 --plot lr.png
    """
    _require_writable(plot)

    from zoo.api.training import lr_find

    curve = lr_find(
        name,
        dataset,
        model=options.parse(model, what="--model"),
        data=options.parse(data, what="--data"),
        from_weights=from_weights,
        seed=seed,
        start=start,
        stop=stop,
        steps=steps,
        device=device,
        registry=session.registry,
        **options.parse(fields, what="--train"),
    )
    if plot is not None:
        curve.save(plot)
    if as_json:
        print_json(curve.to_dict() | {"plot": plot and str(plot)})
        return
    _print(curve, steps)
    others = [field for field in fields if field.partition("=")[0].strip() != "lr"]
    flags = {
        "--model": model,
        "--data": data,
        "--from": [from_weights] if from_weights else [],
        "--seed": [] if seed is None else [str(seed)],
        "--train": [*others, f"lr={curve.suggestions.valley:.2g}"],
    }
    given = [word for flag, values in flags.items() for value in values for word in (flag, value)]
    echo(shlex.join(["zoo", "train", name, *filter(None, [dataset]), *given]))


def _print(curve: Curve, steps: int) -> None:
    suggestions = asdict(curve.suggestions)
    rows = [[key, f"{suggestions[key]:.2g}", meaning] for key, meaning in MEANING.items()]
    print_table(["SUGGESTION", "LR", "MEANING"], rows)
    end = f"diverged at {curve.points[-1][0]:.2g}" if curve.diverged else "did not diverge"
    echo(f"the loss {end}, after {len(curve.points)} of {steps} steps")


def _require_writable(path: Path | None) -> None:
    if path is None:
        return
    if path.is_dir():
        raise OptionError(f"--plot {path} is a folder", hint="name a file in it, such as lr.png")
    if not path.parent.is_dir():
        raise OptionError(f"--plot {path}: no such folder: {path.parent}", hint="create it first")
    if not os.access(path.parent, os.W_OK):
        raise OptionError(f"--plot {path}: the folder {path.parent} is not writable")
