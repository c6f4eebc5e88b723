"""`zoo trust`: let a folder's registry.toml run the plugins it names."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.api.terminal import echo
from zoo.api.trust import list_trusted, trust, untrust
from zoo.cli.layout import print_table, print_title
from zoo.cli.names import PathType
from zoo.cli.output import json_option, quiet_option
from zoo.cli.session import print_json


@click.command()
@click.argument("path", type=PathType(), required=False)
@click.option("--list", "listing", is_flag=True, help="Show what is trusted, and whether it has changed.")
@click.option("--remove", is_flag=True, help="Trust PATH no longer.")
@json_option
@quiet_option
def command(path: Path | None, listing: bool, remove: bool, as_json: bool) -> None:
    """Let the one-file plugins that PATH names run: a registry.toml, or a folder with one.

    By default, PATH is $ZOO_REGISTRY, or the registry.toml in the current folder. A plugin is code that can
    do whatever you can, so read it first. It is these very bytes in this place that are trusted: once a byte
    changes or the folder moves, nothing of it runs until you trust it again. Recipes and weights are data,
    and need no trust.

    \b
    zoo trust
    zoo trust --list
    """
    if listing:
        if path is not None or remove:
            raise click.UsageError("--list takes neither a PATH nor --remove")
        rows = list_trusted()
        if as_json:
            print_json(rows)
        elif rows:
            print_table([[row["status"], row["path"]] for row in rows], ["STATUS", "PATH"])
        else:
            echo("zoo: nothing is trusted", err=True)
    elif remove:
        answer = untrust(path)
        if as_json:
            print_json(answer)
        else:
            echo(f"{answer['path']} {'is no longer' if answer['removed'] else 'was not'} trusted")
    else:
        answer = trust(path)
        if as_json:
            print_json(answer)
            return
        print_title("Trusted")
        for file in answer["files"]:
            known = f"{file['sha256']}  {file['file']}  ({file['bytes']:,} bytes)" if "sha256" in file else ""
            echo(f"  {known or file['problem']}")
        echo("`zoo trust --remove` takes it back.")
