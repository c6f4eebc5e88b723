"""`zoo remote`: name the zoos of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.session import Session, print_json, standard_options
from zoo.console.tables import print_table
from zoo.console.terminal import echo
from zoo.registry.remotes import add_remote, list_remotes, remotes_path, remove_remote


@click.group()
def command() -> None:
    """Name the zoos of others, to use their weights as NAME:ID in every command.

    \b
    zoo remote add team https://zoo.example.org/team
    zoo list --remote team
    zoo eval team:shapes
    """


@command.command("add", short_help="Give a zoo a name.")
@click.argument("name")
@click.argument("address")
@options_of(add_remote)
@standard_options
def add(_: Session, name: str, address: str, as_json: bool, **settings: Any) -> None:
    """Give the zoo at ADDRESS, a folder or an https address, a NAME.

    Its index is read once, and nothing is stored if that fails. Passwords belong in ~/.netrc, never in an
    address. With --signers, the index is used only if one of these keys has signed it. To accept an index
    that is older than the last one, add the remote again.
    """
    row = add_remote(name, address, **settings)
    if as_json:
        print_json(row)
        return
    echo(f"added {name}; `zoo list --remote {name}` shows its weights")


@command.command("list", short_help="List the remotes.")
@standard_options
def list_(_: Session, as_json: bool) -> None:
    """List the remotes, with the serial number and the number of weights when they were last used.

    This does not use the network.
    """
    rows = list_remotes()
    if as_json:
        print_json(rows)
    elif rows:
        _print(rows)
    else:
        echo(f"zoo: no remotes in {remotes_path()}", err=True)


@command.command("remove", short_help="Remove the name of a zoo.")
@click.argument("name")
@standard_options
def remove(_: Session, name: str, as_json: bool) -> None:
    """Remove NAME; the zoo itself does not change."""
    row = remove_remote(name)
    if as_json:
        print_json(row)
        return
    echo(f"removed {name}")


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    cells = [
        [row["name"], row["address"], *(str(row[key] or "") for key in ("weights", "serial", "signers"))]
        for row in rows
    ]
    print_table(cells, ["NAME", "ADDRESS", "WEIGHTS", "SERIAL", "SIGNERS"], numbers=(2, 3))
