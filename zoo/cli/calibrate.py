"""`zoo calibrate`: fit a temperature to a classifier."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zoo.cli.flags import options_of, words_of
from zoo.cli.name_types import PathType, weights_argument
from zoo.cli.session import Session, device_option, print_json, standard_options
from zoo.console.figures import cell
from zoo.console.tables import print_paragraph, print_table
from zoo.console.terminal import echo
from zoo.tools.calibrate.calibrated_weights import calibrate


@click.command()
@weights_argument
@click.option("--out", type=PathType(), required=True, help="Weights file to write.")
@options_of(calibrate, skip=["last"])
@device_option
@standard_options
def command(session: Session, weights: str, out: Path, as_json: bool, **settings: Any) -> None:
    """Fit a temperature to WEIGHTS (an id, a file or a run directory), and write calibrated weights.

    A temperature divides the logits of a classifier, so that its confidence matches its accuracy; the
    predicted classes stay the same. The temperature is fitted on the validation split. The new file can be
    used like any other, and its exports are calibrated, too.

    \b
    zoo calibrate runs/resnet20-cifar10 \\
        --out calibrated.safetensors
    """
    session.begin(f"calibrating {weights}")
    found = calibrate(
        weights, out=out, last=session.last, progress=session.progress, registry=session.registry, **settings
    )
    if as_json:
        print_json(found)
        return
    _print(found)
    echo()
    print_paragraph(f"wrote {out}; to measure its calibration on images that were not used for fitting, run")
    located = words_of("--data", found["data"])
    echo(shlex.join(["zoo", "analyze", "calibration", str(out), "--split", "test", *located]))


def _print(found: Mapping[str, Any]) -> None:
    before, after = found["before"], found["after"]
    rows = [
        ["ECE", *(cell(each["ece"], "%") for each in (before, after))],
        ["95% interval", *(_interval(each) for each in (before, after))],
        ["loss", *(f"{cell(each['loss'])} nats" for each in (before, after))],
        ["Brier score", *(cell(each["brier"]) for each in (before, after))],
        ["accuracy", *(cell(each["accuracy"], "%") for each in (before, after))],
        ["mean confidence", *(cell(each["confidence"], "%") for each in (before, after))],
    ]
    print_paragraph(f"temperature {found['temperature']:.4f}, fitted on {found['count']:,} val images")
    echo()
    print_table(rows, ["VAL", "BEFORE", "AFTER"], numbers=(1, 2))


def _interval(scores: Mapping[str, float]) -> str:
    low, high = (cell(scores[name], "%") for name in ("ece_low", "ece_high"))
    return f"{low} to {high}"
