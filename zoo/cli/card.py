"""`zoo card`: write a model card for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.name_types import PathType, weights_argument
from zoo.cli.session import Session, device_option, print_json, standard_options
from zoo.console.terminal import BLANKS, echo
from zoo.files.atomic import write_output
from zoo.files.folders import require_parent
from zoo.tools.share.model_card import card


@click.command()
@weights_argument
@click.option("--html", is_flag=True, help="Write an HTML page that contains its figures.")
@click.option("--out", type=PathType(), help="File to write instead of stdout.")
@options_of(card, skip=["last"])
@device_option
@standard_options
def command(
    session: Session, weights: str, html: bool, out: Path | None, as_json: bool, **settings: Any
) -> None:
    """Write a model card for WEIGHTS (an id, a file or a run directory), in Markdown or HTML.

    The card describes the purpose and limits of the model, its data and licenses, its training and cost, and
    its metrics, with the commands to use, verify and reproduce it. What is not known is left out. Figures,
    such as the confusion matrix, heat maps and the learning curve, are only in the HTML page.

    --json prints the fields of the card.

    \b
    zoo card cifar10-resnet20
    zoo card runs/resnet20-folder --html --out card.html
    """
    if out is not None:
        require_parent(out)
    session.begin(f"describing {weights}")
    made = card(weights, last=session.last, progress=session.progress, registry=session.registry, **settings)
    text = made.html() if html else made.markdown()
    if out is not None:
        write_output(out, text.encode())
    if as_json:
        print_json(made.fields)
    elif out is None:
        echo(text, keep=BLANKS, end="")
    else:
        echo(f"wrote {out}")
