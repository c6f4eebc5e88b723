"""`zoo verify`: measure published metrics again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.name_types import NameType
from zoo.cli.session import Session, card_device_option, print_json, standard_options
from zoo.console.figures import cell
from zoo.console.tables import print_paragraph, print_table
from zoo.registry.registry import Registry
from zoo.tools.compare.verification import verify


@click.command()
@click.argument("weights", nargs=-1, type=NameType("weights", runs=True))
@click.option("--all", "every", is_flag=True, help="Verify all published weights.")
@options_of(verify)
@card_device_option
@standard_options
def command(session: Session, weights: tuple[str, ...], every: bool, as_json: bool, **settings: Any) -> int:
    """Re-measure published metrics of WEIGHTS (ids, files or run directories), and report differences.

    The published metrics come from the card in the file and, for an id, from the registry; the two must
    agree. The exit code is 1 if a metric differs or cannot be measured, for example because its data is
    missing.

    \b
    zoo verify cifar10-mlp runs/my-run
    zoo verify --all --json
    zoo verify team:shapes --attest ~/.ssh/id_ed25519
    """
    if every == bool(weights):
        message = "--all does not accept names" if every else "name the weights to verify, or use --all"
        raise click.UsageError(message)
    names = tuple(session.registry.weights) if every else weights
    rows = verify(*names, progress=session.progress, registry=session.registry, **settings)
    print_json(rows) if as_json else _print(rows, session.registry)
    for path in {} if as_json else dict.fromkeys(row.get("attestation") for row in rows):
        if path:
            print_paragraph(f"wrote {path} and its signature, {path}.sig")
    return int(any(row["ok"] is False for row in rows))


def _print(rows: Sequence[Mapping[str, Any]], registry: Registry) -> None:
    units = {name: unit for task in registry.tasks.values() for name, unit in task.units.items()}
    header = ["WEIGHTS", "SPLIT", "METRIC", "PUBLISHED", "MEASURED", "OK"]
    print_table([_cells(row, units) for row in rows], header, numbers=(3, 4))
    for name, reason in dict.fromkeys((row["weights"], row["reason"]) for row in rows if row["reason"]):
        where = [row for row in rows if (row["weights"], row["reason"]) == (name, reason)]
        metrics = ", ".join(f"{row['split']} {row['metric']}".strip() for row in where)
        print_paragraph(f"{': '.join(filter(None, [name, metrics]))}: {reason}")
    wrong = {row["weights"] for row in rows if row["ok"] is False}
    count = len({row["weights"] for row in rows})
    metrics = sum(row["ok"] is True for row in rows)
    print_paragraph(f"verified {count - len(wrong)} of {count} weights, {metrics} of {len(rows)} metrics")


def _cells(row: Mapping[str, Any], units: Mapping[str, str]) -> list[str]:
    unit = units.get(row["metric"], "")
    shown = [_shown(row[key], unit) for key in ("published", "measured")]
    failed = "no data" if row["reason"].startswith("no data: ") else "NO"
    ok = {True: "yes", False: failed, None: ""}[row["ok"]]
    return [row["weights"], row["split"], row["metric"].replace("_", " "), *shown, ok]


def _shown(value: object, unit: str) -> str:
    """Format a metric as a cell; a longer value, such as a list, is in the reason only."""
    return cell(value, unit) if isinstance(value, int | float) else ""
