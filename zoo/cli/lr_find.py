"""`zoo lr-find`: learning rates to try, from a short test run."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.api.training import lr_find
from zoo.cli.fields import TrainingCommand, pop_fields, training_flags
from zoo.cli.names import PathType
from zoo.cli.output import device_option, json_option, quiet_option
from zoo.cli.session import Session, pass_session, print_json
from zoo.cli.signature import options_of, typed
from zoo.cli.train import training_arguments
from zoo.config import options
from zoo.console.tables import print_table
from zoo.console.terminal import echo
from zoo.errors import OptionError

if TYPE_CHECKING:
    from zoo.runs.lr_finder import Curve

# Training fields that a test run does not have: it has a learning rate of its own, and ends early
IRRELEVANT = (
    "epochs", "lr", "schedule", "warmup_epochs", "cycle_length", "cycle_multiplier",
    "ema_decay", "nonmono", "patience",
)  # fmt: skip
MEANING = {
    "valley": "two thirds along the longest fall of the loss",
    "steep": "where the loss falls fastest there",
    "minimum": "a tenth of where the loss is lowest",
}


@click.command("lr-find", cls=TrainingCommand)
@training_arguments
@options_of(lr_find, skip=["dataset"])
@training_flags(skip=IRRELEVANT)
@click.option("--plot", type=PathType(), help="PNG file to draw the loss by learning rate in.")
@device_option
@json_option
@quiet_option
@pass_session
def command(
    session: Session,
    name: str,
    dataset: str | None,
    plot: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Suggest learning rates for what `zoo train` would train with the same arguments.

    The test takes the first steps of that training, at ever larger learning rates, until the loss is four
    times its lowest. The schedule and weight averaging do not apply. No file is written but that of --plot.

    \b
    zoo lr-find nietzsche-gru
    zoo lr-find lstm nietzsche --batch-size 128 --plot lr.png
    """
    fields = pop_fields(settings)
    _require_writable(plot)
    curve = lr_find(name, dataset, progress=session.progress, registry=session.registry, **settings, **fields)
    if plot is not None:
        curve.save(plot)
    if as_json:
        print_json(curve.to_dict() | {"plot": plot and str(plot)})
        return
    _print(curve, settings["steps"])
    given = {name: settings[name] for name in ("from_weights", "seed", "threads")} | fields
    given["lr"] = float(f"{curve.suggestions.valley:.2g}")
    words = [*_repeated("--model", settings["model"]), *_repeated("--data", settings["data"])]
    for key, value in given.items():
        words += [] if value is None else typed(key, value)
    echo(shlex.join(["zoo", "train", name, *filter(None, [dataset]), *words]))


def _repeated(flag: str, given: Mapping[str, Any]) -> list[str]:
    return [word for key, value in given.items() for word in (flag, f"{key}={options.text(value)}")]


def _print(curve: "Curve", steps: int) -> None:
    suggestions = asdict(curve.suggestions)
    rows = [[key, f"{suggestions[key]:.2g}", meaning] for key, meaning in MEANING.items()]
    print_table(rows, ["SUGGESTION", "LR", "MEANING"])
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
