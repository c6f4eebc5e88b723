"""`zoo lr-find`: suggest learning rates from a short test run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from zoo.cli.flags import flag_of, options_of, words_of
from zoo.cli.name_types import PathType
from zoo.cli.session import Session, device_option, print_json, standard_options
from zoo.cli.training_command import training_command
from zoo.config import options
from zoo.console.tables import print_table
from zoo.console.terminal import echo
from zoo.errors import OptionError
from zoo.tools.lr_find.lr_finder import lr_find

if TYPE_CHECKING:
    from zoo.tools.lr_find.lr_finder import Curve

# Training options that a test run does not have: it has a learning rate of its own, and ends early
IRRELEVANT = (
    "epochs", "lr", "schedule_options", "warmup_epochs", "metrics",
    "ema_decay", "nonmono", "patience",
)  # fmt: skip
MEANING = {
    "minimum": "a fraction of the rate at which the loss is lowest; try it first",
    "valley": "two thirds of the way along the longest decrease of the loss",
    "steep": "where the loss falls fastest during that decrease",
}


@training_command("lr-find", skip=IRRELEVANT)
@options_of(lr_find, skip=["dataset"])
@click.option(
    "--plot", type=PathType(), help="Save a plot of the loss against the learning rate to this PNG file."
)
@device_option
@standard_options
def command(
    session: Session,
    name: str,
    dataset: str | None,
    training: dict[str, Any],
    plot: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Suggest learning rates for a `zoo train` command with the same arguments.

    The command runs the first steps of training with increasing learning rates, until the loss exceeds four
    times its minimum. No file is written without --plot.

    The first suggestion is half the rate at which the loss is lowest with SGD, an eighth with other
    optimizers, and 0.4 times that for a constant schedule or fine-tuning. The schedule and weight averaging
    have no effect on the test itself.

    \b
    zoo lr-find nietzsche-gru
    zoo lr-find lstm nietzsche --batch-size 128 --plot lr.png
    """
    _require_writable(plot)
    curve = lr_find(
        name, dataset, progress=session.progress, registry=session.registry, **settings, **training
    )
    if plot is not None:
        curve.save(plot)
    if as_json:
        print_json(curve.to_dict() | {"plot": plot and str(plot)})
        return
    _print(curve)
    words = [name, *filter(None, [dataset])]
    words += _words(training | {"lr": float(f"{curve.suggestions.minimum:.2g}")})
    echo(shlex.join(["zoo", "train", *words]))


def _print(curve: Curve) -> None:
    suggestions = asdict(curve.suggestions)
    rows = [[key, f"{suggestions[key]:.2g}", meaning] for key, meaning in MEANING.items()]
    print_table(rows, ["SUGGESTION", "LR", "MEANING"])
    end = f"diverged at a learning rate of {curve.points[-1][0]:.2g}" if curve.diverged else "did not diverge"
    echo(f"ran {len(curve.points)} steps; the loss {end}")


def _require_writable(path: Path | None) -> None:
    if path is None:
        return
    if path.is_dir():
        raise OptionError(f"--plot {path} is a folder", hint="choose a file in that folder, such as lr.png")
    if not path.parent.is_dir():
        raise OptionError(f"--plot {path}: there is no folder {path.parent}", hint="create the folder first")
    if not os.access(path.parent, os.W_OK):
        raise OptionError(f"--plot {path}: the folder {path.parent} is not writable")


def _words(training: Mapping[str, Any]) -> list[str]:
    """Return the `zoo train` arguments that match this command's options."""
    words: list[str] = []
    for name, value in training.items():
        flag = flag_of(name)
        if isinstance(value, Mapping):
            words += words_of(flag, cast("Mapping[str, Any]", value))
        elif isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif value is not None:
            words += [flag, options.text(value)]
    return words
