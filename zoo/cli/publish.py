"""`zoo publish`: publish runs in a folder, or withdraw what was published."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.name_types import NameType, PathType
from zoo.cli.session import Session, print_json, standard_options
from zoo.console.tables import print_paragraph, print_table
from zoo.tools.share.publish import publish


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=NameType("weights", runs=True))
@click.argument("folder", type=PathType())
@options_of(publish, skip=["runs", "folder"])
@standard_options
def command(
    session: Session, runs: tuple[str, ...], folder: Path, dry_run: bool, as_json: bool, **settings: Any
) -> None:
    """Publish each RUN (a finished run directory or a weights file) in FOLDER, which is then a zoo.

    Put FOLDER on a shared disk, or copy it to a web server. Others use its models with `zoo remote add`.
    Published weights never change: a different file with the same id becomes its newest version. The metrics
    are measured again for their confidence intervals. A RUN is refused if a text in it contains a path, or
    the name of this machine or its user. Without RUN, the files that follow from the index, such as
    README.md, are written again and, with --sign, a signature.

    \b
    zoo publish runs/shapes zoo --license MIT
    zoo publish runs/shapes zoo --sign ~/.ssh/id_ed25519
    zoo publish --withdraw shapes --reason mislabeled zoo
    """
    session.begin(f"checking {'what to withdraw' if settings['withdraw'] else ', '.join(runs) or folder}")
    result = publish(
        runs, folder, dry_run=dry_run, progress=session.progress, registry=session.registry, **settings
    )
    if as_json:
        print_json(result)
        return
    does = {True: "would be published" if dry_run else "published", False: "was published before"}
    does[False] = ("would be " * dry_run + "withdrawn") if settings["withdraw"] else does[False]
    print_table(
        [
            [
                f"{row['id']}@{row['sha256'][:16]}",
                f"{row['bytes'] / 1e6:,.1f} MB",
                row["license"],
                does[row["new"]],
            ]
            for row in result["weights"]
        ]
    )
    if not dry_run:
        example = f"`zoo remote add team {shlex.quote(str(folder))}`"
        signed = f", signed in {result['signature']}" if result["signature"] else ""
        print_paragraph(f"{folder} has serial number {result['serial']}{signed}; {example} gives it a name")
