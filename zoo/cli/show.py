"""`zoo show`: all that is known of one entry."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from zoo.cli.list import KINDS, all_rows
from zoo.cli.names import NameType
from zoo.cli.output import json_option, print_json, print_pairs
from zoo.cli.session import Session, pass_session
from zoo.errors import AmbiguousName, UnknownName, ZooError, did_you_mean
from zoo.registry import Entry
from zoo.specs import DIMS, ArchitectureSpec, DatasetSpec, Recipe


@click.command()
@click.argument("name", type=NameType(*KINDS))
@json_option
@pass_session
def command(session: Session, name: str, as_json: bool) -> None:
    """Show an entry by NAME: an architecture, dataset, analyzer, recipe or weights.

    For an architecture, parameters and cost are counted if torch is installed.
    """
    row = _find(all_rows(session), name)
    facts = row | _facts(session, row)
    if as_json:
        print_json(facts)
    else:
        print_pairs([(key.replace("_", " "), _text(key, value)) for key, value in facts.items()])


def _find(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = [row for row in rows if name in (row["name"], row["name"].rpartition("/")[2])]
    if len(found) > 1:
        choices = ", ".join(f"{row['kind']} {row['name']}" for row in found)
        raise AmbiguousName(f"{name!r} may be {choices}; write the full name")
    if not found:
        known = [word for row in rows for word in (row["name"], row["name"].rpartition("/")[2])]
        raise UnknownName(
            f"nothing is called {name!r}{did_you_mean(name, known)}", hint="`zoo list` shows all"
        )
    return found[0]


def _facts(session: Session, row: dict[str, Any]) -> dict[str, Any]:
    if row["kind"] == "recipe":
        return asdict(session.catalog.recipes[row["name"]])
    if row["kind"] == "weights":
        return asdict(session.catalog.weights[row["name"]])
    entry = next(e for e in session.registry.entries(row["kind"]) if e.name == row["name"])
    facts = asdict(entry.spec) | {"name": row["name"], "distribution": entry.plugin.distribution}
    facts["version"] = entry.plugin.version
    if isinstance(entry.spec, ArchitectureSpec):
        facts["recipe"] = _changed(entry.spec.recipe)
    try:
        return facts | _measured(entry)
    except ImportError as error:
        return facts | {
            "unknown": f"options, parameters and cost: they need {error.name}, which is not installed"
        }
    except ZooError as error:
        return facts | {"unknown": f"options, parameters and cost: {error}"}


def _measured(entry: Entry[Any]) -> dict[str, Any]:

    from zoo.building import measure, signature_options

    options = {
        name: "required" if option.default is option.empty else option.default
        for name, option in signature_options(entry.load()).items()
    }
    if isinstance(entry.spec, DatasetSpec):
        return {"options": options}
    if not isinstance(entry.spec, ArchitectureSpec):
        return {}
    dims = DIMS[entry.spec.task]
    own = {name: default for name, default in options.items() if name not in dims}
    return {"options": own | dict(entry.spec.config), "measured_at": dict(dims)} | measure(entry)


def _changed(recipe: Recipe) -> dict[str, Any]:
    usual = Recipe().to_dict()
    return {key: value for key, value in recipe.to_dict().items() if value != usual[key]}


def _text(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={held}" for name, held in value.items())
    if isinstance(value, int) and not isinstance(value, bool) and key != "seed":
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
