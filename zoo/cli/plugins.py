"""`zoo plugins`: list plugins, their status, and what they provide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from zoo.api.entry_lists import list_plugins
from zoo.cli.name_types import PLURALS
from zoo.cli.session import Session, print_json, standard_options
from zoo.console.tables import print_paragraph, print_section, print_table
from zoo.console.terminal import BLANKS, echo
from zoo.registry.registry import Registry


@click.command()
@click.option("--traceback", "traceback_of", metavar="NAME", help="Print the traceback of a failed plugin.")
@standard_options
def command(session: Session, traceback_of: str | None, as_json: bool) -> None:
    """List the distribution, version, status and import time of each plugin, and what it provides."""
    registry = Registry.discover()
    if traceback_of is not None:
        plugin = registry.plugin(traceback_of)
        text = plugin.trace or f"{plugin.name} did not fail; its status is {plugin.status} {plugin.cause}"
        if as_json:
            print_json({"name": plugin.name, "traceback": plugin.trace, "output": plugin.output})
        else:
            printed = f"\nIt printed:\n{plugin.output}" if plugin.output else ""
            echo(f"{text.rstrip()}{printed}", keep=BLANKS)
        return
    rows = list_plugins(registry)
    if as_json:
        print_json(rows)
    else:
        _print(rows)
        for line in registry.unusable():
            echo(f"zoo: {line}", err=True)
    if session.strict:
        registry.require_healthy()


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    cells = [
        [
            row["name"],
            f"ok, {row['import_ms']:.1f} ms" if row["status"] == "ok" else row["status"],
            f"{row['distribution']} {row['version']}".rstrip(),
            _counts(row["provides"]) or "-",
        ]
        for row in rows
    ]
    print_table(cells, ["PLUGIN", "STATUS", "FROM", "PROVIDES"])
    failed = [(row["name"], row["cause"]) for row in rows if row["status"] == "failed"]
    print_section("Failed", failed)
    if failed:
        print_paragraph("`zoo plugins --traceback NAME` shows the traceback.", indent=2)


def _counts(provides: Sequence[str]) -> str:
    """Return the number of entries of each kind that a plugin provides."""
    kinds = [entry.partition(" ")[0] for entry in provides]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return ", ".join(f"{count} {kind if count == 1 else PLURALS[kind]}" for kind, count in counts.items())
