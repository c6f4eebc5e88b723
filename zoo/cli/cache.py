"""`zoo cache`: list or delete the data that zoo keeps on this machine."""

from __future__ import annotations

from typing import Literal

import click

from zoo.api.cache_entries import clear_cache, list_cache
from zoo.cli.flags import ValueType
from zoo.cli.kit import Session, echo, print_json, print_table, standard_options
from zoo.files.cache import cache_home

Action = Literal["list", "clear"]


@click.command()
@click.argument("action", type=ValueType(Action), default="list")
@click.argument("names", nargs=-1)
@standard_options
def command(_: Session, action: Action, names: tuple[str, ...], as_json: bool) -> None:
    """List cached data and its size, or delete it.

    `zoo cache clear` deletes all entries, or only those given as NAMES: kinds (downloads, decoded,
    synthesized, hashes) or single entries. Deleted data is downloaded or generated again when needed.

    \b
    zoo cache
    zoo cache clear synthesized
    zoo cache clear cifar10
    """
    if action == "list" and names:
        raise click.UsageError("`zoo cache list` does not accept names")
    rows = list_cache() if action == "list" else clear_cache(*names)
    if as_json:
        print_json(rows)
        return
    cells = [[row["kind"], row["name"], f"{row['files']:,}", f"{row['bytes'] / 1e6:,.1f} MB"] for row in rows]
    print_table(cells, ["KIND", "NAME", "FILES", "SIZE"] if cells else (), numbers=(2, 3))
    total = f"{sum(row['bytes'] for row in rows) / 1e6:,.1f} MB"
    echo(f"{total} {'in' if action == 'list' else 'freed in'} {cache_home()}")
