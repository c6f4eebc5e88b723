"""`zoo list`: everything there is, without importing any of it."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.output import json_option, print_json, print_table
from zoo.cli.session import Session, pass_session
from zoo.cli.where import parse_where
from zoo.registry.registry import matches
from zoo.registry.specs import AnalyzerSpec, DatasetSpec

KINDS = ("architecture", "dataset", "analyzer", "recipe", "weights")


class KindType(click.ParamType[str]):
    """A kind, in the singular or the plural."""

    name = "kind"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return kind_of(value) or value


def kind_of(word: str) -> str | None:
    """Return the kind a word means, or None."""
    return next((kind for kind in KINDS if word in (kind, kind + "s", kind[:-1] + "ies")), None)


@click.command("list")
@click.argument("kind", required=False, type=KindType())
@click.argument("pattern", required=False)
@click.option(
    "--where", "where", metavar="EXPR", help="Such as 'task=classification' or 'params<1e6 and plugin!=acme'."
)
@json_option
@pass_session
def command(
    session: Session, kind: str | None, pattern: str | None, where: str | None, as_json: bool
) -> None:
    """List entries: all, one KIND, those whose name fits PATTERN (a part of it, or a glob).

    KIND is architecture, dataset, analyzer, recipe or weights.
    """
    if kind is not None and kind not in KINDS:
        if pattern is not None:
            raise click.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="KIND")
        kind, pattern = None, kind
    chosen = parse_where(where)
    of_kind = [row for row in all_rows(session) if kind in (None, row["kind"])]
    rows = [row for row in of_kind if (pattern is None or matches(row["name"], pattern)) and chosen(row)]
    if as_json:
        print_json(rows)
    elif rows:
        shown = ("kind", "name", "task", "summary")
        print_table([word.upper() for word in shown], [[row[key] for key in shown] for row in rows])
    elif of_kind:
        click.echo(f"nothing fits; `zoo list{f' {kind}' if kind else ''}` shows all", err=True)
    elif kind == "weights":
        click.echo("no weights are published yet", err=True)
    else:
        click.echo(f"there is no {kind or 'entry'}; `zoo plugins` shows what each plugin provides", err=True)


def all_rows(session: Session) -> list[dict[str, Any]]:
    """Return a row of plain data for each entry."""
    rows: list[dict[str, Any]] = []
    tasks: dict[str, str] = {}
    for entry in session.registry.entries():
        spec = entry.spec
        task = ", ".join(spec.tasks) if isinstance(spec, AnalyzerSpec) else spec.task
        row: dict[str, Any] = {
            "kind": entry.kind,
            "name": entry.name,
            "plugin": entry.plugin.name,
            "task": task,
        }
        row |= {"summary": spec.summary, "source": spec.source}
        if isinstance(spec, DatasetSpec):
            row |= {"download_bytes": spec.download_bytes, "license": spec.license}
        rows.append(row)
        if entry.kind == "architecture":
            tasks[entry.name] = tasks[spec.name] = task
    rows.sort(key=lambda row: KINDS.index(row["kind"]))
    for name, recipe in session.catalog.recipes.items():
        owner = recipe.architecture.partition("/")[0] if "/" in recipe.architecture else ""
        row = {"kind": "recipe", "name": name, "plugin": owner, "task": tasks.get(recipe.architecture, "")}
        told = {"architecture": recipe.architecture, "dataset": recipe.dataset}
        rows.append(row | {"summary": recipe.summary or f"{recipe.architecture} on {recipe.dataset}", **told})
    for name, weights in session.catalog.weights.items():
        known = session.catalog.recipes.get(weights.recipe)
        architecture = known.architecture if known else ""
        row = {"kind": "weights", "name": name, "plugin": architecture.partition("/")[0]}
        told = {"params": weights.params, "bytes": weights.bytes, "license": weights.license}
        summary = f"{weights.recipe}, {weights.params:,} parameters"
        rows.append(
            row | {"task": tasks.get(architecture, ""), "summary": summary, **told, **_flat(weights.metrics)}
        )
    return rows


def _flat(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return metrics by their own names, the test split's before the validation split's."""
    return {**metrics.get("val", {}), **metrics.get("test", {})}
