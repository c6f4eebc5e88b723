"""`zoo plugins`: every plugin, whether it loaded, and what it provides."""

from __future__ import annotations

from collections.abc import Sequence

import click

from zoo.api.listing import list_plugins
from zoo.cli.output import echo, json_option, print_json, print_table, quiet_option
from zoo.cli.session import Session, pass_session
from zoo.errors import UnknownName, did_you_mean, printable
from zoo.registry.registry import Registry


@click.command()
@click.option(
    "--traceback", "traceback_of", metavar="NAME", help="Plugin whose traceback to print, if it failed."
)
@json_option
@quiet_option
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
            [
                *(row[key] for key in ("name", "status", "distribution", "version")),
                f"{row['import_ms']:.1f} ms",
                row["cause"] or _counts(row["provides"]),
            ]
            for row in rows
        ]
        print_table(["NAME", "STATUS", "DISTRIBUTION", "VERSION", "IMPORT", "PROVIDES"], cells)
        for entry in registry.failed_entries:
            echo(f"{entry.kind} {entry.name} cannot be used: {entry.problem}", err=True)
    if session.strict:
        registry.require_healthy()


def _counts(provides: Sequence[str]) -> str:
    """Return how many entries of each kind a plugin provides."""
    kinds = [entry.partition(" ")[0] for entry in provides]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())


def _traceback(registry: Registry, name: str) -> str:
    for plugin in registry.plugins:
        if plugin.name == name:
            text = plugin.trace or f"{name} did not fail: it is {plugin.status} {plugin.cause}"
            printed = f"\nIt printed:\n{plugin.output}" if plugin.output else ""
            return "\n".join(map(printable, f"{text.rstrip()}{printed}".split("\n")))
    nearest = did_you_mean(name, [plugin.name for plugin in registry.plugins])
    raise UnknownName(f"unknown plugin {name!r}{nearest}", hint="`zoo plugins` shows all")
