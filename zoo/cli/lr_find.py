"""`zoo lr-find`: learning rates to try, from a short test that leaves nothing changed."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from zoo.cli.output import echo, json_option, print_json, print_table
from zoo.cli.session import Session, pass_session
from zoo.cli.train import training_options
from zoo.config import options
from zoo.errors import OptionError, warn

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

    The first steps of that training are taken at ever larger learning rates, until the loss is four times its
    lowest. Only schedule and weight averaging do not apply. Nothing is kept, and no file is written except
    that of --plot.

    \b
    zoo lr-find nietzsche-gru
    zoo lr-find lstm nietzsche --train batch_size=128 --plot lr.png
    """
    if plot is not None:
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
    if curve.fall < 0.05:
        warn(f"the loss fell by only {curve.fall:.1%}: be careful with these, or take more --steps")
    suggestions = curve.to_dict()["suggestions"]
    print_table(
        ["SUGGESTION", "LR", "MEANING"],
        [[key, f"{suggestions[key]:.2g}", meaning] for key, meaning in MEANING.items()],
    )
    end = f"diverged at {curve.points[-1][0]:.2g}" if curve.diverged else "did not diverge"
    echo(f"the loss {end}, after {len(curve.points)} of {steps} steps")
    others = [word for word in fields if word.partition("=")[0].strip() != "lr"]
    flags = {
        "--model": model,
        "--data": data,
        "--from": [from_weights] if from_weights else [],
        "--seed": [] if seed is None else [str(seed)],
        "--train": [*others, f"lr={suggestions['valley']:.2g}"],
    }
    given = [word for flag, words in flags.items() for value in words for word in (flag, value)]
    echo(shlex.join(["zoo", "train", name, *([dataset] if dataset else []), *given]))


def _require_writable(path: Path) -> None:
    if path.is_dir():
        raise OptionError(f"--plot {path} is a folder", hint="name a file in it, such as lr.png")
    if not path.parent.is_dir():
        raise OptionError(f"--plot {path}: no such folder: {path.parent}", hint="create it first")
    if not os.access(path.parent, os.W_OK):
        raise OptionError(f"--plot {path}: the folder {path.parent} is not writable")
