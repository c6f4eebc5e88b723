"""`zoo inspect`: the card of a weights file, read without torch."""

from __future__ import annotations

from collections.abc import Mapping

import click

from zoo.cli.names import NameType
from zoo.cli.output import json_option, print_json, print_pairs, quiet_option
from zoo.cli.session import Session, pass_session
from zoo.files.cards import read_weights


@click.command()
@click.argument("weights", type=NameType("weights", files=True))
@json_option
@quiet_option
@pass_session
def command(session: Session, weights: str, as_json: bool) -> None:
    """Show the card of WEIGHTS (an id, a file or a run directory), after verifying every byte."""
    card, container = read_weights(session.registry.find_weights(weights))
    if as_json:
        print_json(card.to_dict())
        return
    count = sum(tensor.numel for tensor in container.tensors.values())
    pairs: list[tuple[str, object]] = [
        ("architecture", card.architecture),
        ("arguments", _words(card.arguments)),
        ("task", card.task),
        ("tensors", f"{len(container.tensors)}, {count:,} numbers, {container.size:,} bytes"),
        ("dataset", f"{card.dataset.name} {_words(card.dataset.options)}".strip()),
        ("fingerprint", card.dataset.fingerprint),
        ("preprocess", ", ".join(card.preprocess)),
        ("base model", _words(card.base_model)),
        ("training", _words(card.training)),
        ("changes", "; ".join(card.changes)),
        ("seed", card.seed),
        ("progress", _words(card.progress)),
        *((f"metrics {split}", _words(metrics)) for split, metrics in card.metrics.items()),
        ("versions", _words(card.versions)),
        ("sha256 of tensors", card.sha256),
        ("tied", _words(card.tied)),
    ]
    print_pairs(pairs)


def _words(table: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={f'{v:.5g}' if isinstance(v, float) else v}" for key, v in table.items())
