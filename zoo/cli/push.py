"""`zoo push`: push trained weights to the Hugging Face Hub."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.name_types import NameType
from zoo.cli.session import Session, print_json, standard_options
from zoo.console.tables import print_table
from zoo.console.terminal import echo
from zoo.tools.share.hub_push import push


@click.command()
@click.argument("weights", type=NameType("weights", runs=True))
@click.argument("to", metavar="hf:OWNER/NAME")
@options_of(push, skip=["weights", "to"])
@standard_options
def command(session: Session, weights: str, to: str, dry_run: bool, as_json: bool, **settings: Any) -> None:
    """Push WEIGHTS (a finished run directory or a weights file) to the Hugging Face Hub.

    One commit adds the weights file, a README.md with the model card, and a config.json. What `zoo publish`
    refuses is refused here, too, such as a text that contains a path, or the name of this machine or its
    user. A README.md that was edited on the Hub does not change. Others use the model as hf:OWNER/NAME.

    \b
    zoo push runs/shapes hf:me/shapes --license MIT
    zoo predict hf:me/shapes image.png
    """
    session.begin(f"checking {weights}")
    made = push(
        weights, to, dry_run=dry_run, progress=session.progress, registry=session.registry, **settings
    )
    if as_json:
        print_json(made)
        return
    print_table([[row["name"], f"{row['bytes']:,} bytes", row["sha256"][:16]] for row in made["files"]])
    if dry_run:
        return
    did = "pushed" if made["new"] else "nothing has changed since"
    tagged = f", tagged {made['tag']}" if made["tag"] else ""
    echo(f"{did} commit {made['commit'][:12]}{tagged}: {made['pull_request'] or made['url']}")
