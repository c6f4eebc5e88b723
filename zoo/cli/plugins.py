"""`zoo plugins`: which plugins there are and what became of each."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.output import json_option, print_json, print_table
from zoo.cli.session import Session, pass_session
from zoo.errors import UnknownName, did_you_mean
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry


@click.command()
@click.option(
    "--traceback", "traceback_of", metavar="NAME", help="Print the traceback of a plugin that failed."
)
@json_option
@pass_session
def command(session: Session, traceback_of: str | None, as_json: bool) -> None:
    """Each plugin: distribution, version, status, import time, and what it provides."""
    catalog = session.catalog
    registry = Registry.discover(disabled=catalog.disabled, local=catalog.local)
    if traceback_of is not None:
        click.echo(_traceback(registry, traceback_of))
        return
    rows = [_row(plugin) for plugin in registry.plugins]
    if as_json:
        print_json(rows)
    else:
        cells = [
            [r["name"], r["status"], r["distribution"], r["version"], f"{r['import_ms']:.1f} ms", _told(r)]
            for r in rows
        ]
        print_table(["NAME", "STATUS", "DISTRIBUTION", "VERSION", "IMPORT", "PROVIDES"], cells)
    if session.strict:
        registry.require_healthy()


def _row(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "status": plugin.status,
        "cause": plugin.cause,
        "provides": list(plugin.provides),
        "import_ms": plugin.import_ms,
    }


def _told(row: dict[str, Any]) -> str:
    if row["cause"]:
        return row["cause"]
    kinds = [word.partition(" ")[0] for word in row["provides"]]
    return ", ".join(
        f"{kinds.count(kind)} {kind}{'s' * (kinds.count(kind) > 1)}" for kind in dict.fromkeys(kinds)
    )


def _traceback(registry: Registry, name: str) -> str:
    for plugin in registry.plugins:
        if plugin.name == name:
            return plugin.trace or f"{name} did not fail: it is {plugin.status} {plugin.cause}".strip()
    names = [plugin.name for plugin in registry.plugins]
    raise UnknownName(f"no plugin {name!r}{did_you_mean(name, names)}", hint="`zoo plugins` shows all")
