"""`zoo plugins`: which plugins there are and what became of each."""

from __future__ import annotations

from typing import Any

import click

from zoo.api.listing import list_plugins
from zoo.cli.output import echo, json_option, print_json, print_table
from zoo.cli.session import Session, pass_session
from zoo.errors import UnknownName, did_you_mean, printable
from zoo.registry.registry import Registry


@click.command()
@click.option(
    "--traceback", "traceback_of", metavar="NAME", help="Print the traceback of a plugin that failed."
)
@json_option
@pass_session
def command(session: Session, traceback_of: str | None, as_json: bool) -> None:
    """Show each plugin: distribution, version, status, import time, and what it provides."""
    registry = Registry.discover()
    if traceback_of is not None:
        click.echo(_traceback(registry, traceback_of))
        return
    rows = list_plugins(registry)
    if as_json:
        print_json(rows)
    else:
        cells = [
            [r["name"], r["status"], r["distribution"], r["version"], f"{r['import_ms']:.1f} ms", _last(r)]
            for r in rows
        ]
        print_table(["NAME", "STATUS", "DISTRIBUTION", "VERSION", "IMPORT", "PROVIDES"], cells)
        for entry in registry.failed_entries:
            echo(f"{entry.kind} {entry.name} cannot be used: {entry.problem}", err=True)
    if session.strict:
        registry.require_healthy()


def _last(row: dict[str, Any]) -> str:
    """Return why a plugin failed, or how much it provides."""
    if row["cause"]:
        return row["cause"]
    kinds = [word.partition(" ")[0] for word in row["provides"]]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())


def _traceback(registry: Registry, name: str) -> str:
    for plugin in registry.plugins:
        if plugin.name == name:
            if not plugin.trace:
                return f"{name} did not fail: it is {plugin.status} {plugin.cause}".strip()
            printed = f"It printed:\n{plugin.output}" if plugin.output else ""
            lines = f"{plugin.trace}{printed}".split("\n")
            return "\n".join(map(printable, lines))
    names = [plugin.name for plugin in registry.plugins]
    raise UnknownName(f"unknown plugin {name!r}{did_you_mean(name, names)}", hint="`zoo plugins` shows all")
