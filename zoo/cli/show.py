"""`zoo show`: everything that is known about one name of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import click

from zoo.api.describing import describe
from zoo.api.listing import KINDS
from zoo.cli.fields import pop_fields, training_flags
from zoo.cli.names import NameType
from zoo.cli.output import json_option, print_json, print_pairs, quiet_option
from zoo.cli.session import Session, pass_session
from zoo.cli.signature import options_of


@click.command()
@click.argument("name", type=NameType(*KINDS))
@options_of(describe)
@training_flags(only=["batch_size", "batching", "bptt"])
@json_option
@quiet_option
@pass_session
def command(session: Session, name: str, as_json: bool, **settings: Any) -> None:
    """Show NAME: an architecture, dataset, analyzer, recipe or weights.

    A recipe is shown with its whole training configuration, an architecture with its parameters and cost if
    torch is installed, a dataset with the size of its splits if the data is on this machine. Nothing is
    downloaded.

    \b
    zoo show lstm
    zoo show nietzsche --batch-size 128
    zoo show files --data paths=my.txt
    """
    fields = pop_fields(settings)
    facts = describe(name, session.registry, **settings, **fields)
    if as_json:
        print_json(facts)
    else:
        print_pairs([pair for key, value in facts.items() for pair in _pairs(key, value)])


def _pairs(key: str, value: Any) -> list[tuple[str, str]]:
    """Return the lines of a fact: one, or one per split or weights file."""
    if key == "splits":
        return [(split, _counts(counts)) for split, counts in value.items()]
    if key == "weights":
        return [(key, f"{name}, {_claims(entry)}") for name, entry in value.items()]
    return [(key.replace("_", " "), _text(key, value))]


def _claims(entry: dict[str, Any]) -> str:
    """Return the metrics that are claimed for published weights, and their size."""
    parts = [
        f"{split} {' '.join(f'{metric} {figure:.4f}' for metric, figure in metrics.items())}"
        for split, metrics in entry["metrics"].items()
    ]
    return f"{', '.join(parts)}, {entry['bytes']:,} bytes"


def _counts(counts: dict[str, int]) -> str:
    text = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{text} ({100 * counts['unknown'] / counts['tokens']:.2g} %)" if counts.get("unknown") else text


def _text(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in cast("dict[str, Any]", value).items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, cast("Sequence[Any]", value)))
    return f"{value:,}" if type(value) is int and key != "seed" else str(value)
