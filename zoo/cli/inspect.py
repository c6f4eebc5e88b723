"""`zoo inspect`: the card of a weights file, read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click

from zoo.api.listing import figures
from zoo.cli.layout import as_typed, enumerated, print_paragraph, print_section, print_title
from zoo.cli.names import NameType
from zoo.cli.output import json_option, print_json, quiet_option
from zoo.cli.session import Session, pass_session
from zoo.config import options
from zoo.config.training import TrainConfig
from zoo.files.cards import Card, read_weights
from zoo.files.container import Container


@click.command()
@click.argument("weights", type=NameType("weights", runs=True))
@json_option
@quiet_option
@pass_session
def command(session: Session, weights: str, as_json: bool) -> None:
    """Show the card of WEIGHTS (an id, a file or a run directory), after verifying every byte.

    \b
    zoo inspect cifar10-resnet20
    zoo inspect runs/lstm-nietzsche
    """
    path = session.registry.find_weights(weights)
    card, container = read_weights(path)
    if as_json:
        print_json(card.to_dict())
        return
    print_title(f"Weights {weights}")
    print_paragraph(f"{card.architecture} for {card.task}, trained on {card.dataset.name}", indent=2)
    _print_card(card)
    _print_file(card, container, path)


def _print_card(card: Card) -> None:
    print_section("Metrics", [(split, figures(metrics)) for split, metrics in card.metrics.items()])
    print_section("Model", as_typed(card.arguments), about=card.architecture)
    print_section("Data", as_typed(card.dataset.options), about=card.dataset.name)
    print_section("Preprocessing", [_preprocessing(key, value) for key, value in card.preprocess.items()])
    usual = TrainConfig().to_dict()
    changed = {key: value for key, value in card.training.items() if usual.get(key) != value}
    print_section("Training fields", as_typed(changed), about="that differ from zoo's defaults")
    progress = [(f"{key} trained", f"{value:,}") for key, value in card.progress.items()]
    print_section("Training", [*progress, ("seed", card.seed)])
    print_section("Changes", [(str(number), text) for number, text in enumerate(card.changes, 1)])


def _print_file(card: Card, container: Container, path: Path) -> None:
    print_section("Started from", as_typed(card.base_model), wrap=False)
    print_section("Versions", [*card.versions.items()])
    print_section("Tied tensors", [*card.tied.items()])
    count = sum(tensor.numel for tensor in container.tensors.values())
    size = f"{container.size:,} bytes: {len(container.tensors)} tensors of {count:,} numbers"
    print_section("File", [("path", path), ("size", size)], wrap=False)
    print_section("sha256", [("tensors", card.sha256), ("data", card.dataset.fingerprint)], wrap=False)


def _preprocessing(key: str, value: object) -> tuple[str, str]:
    """Return a line of what a model expects of its input: the classes or the vocabulary with their number."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        return key, options.text(value)
    names = cast("Sequence[str]", value)
    shown = [name if name.isprintable() and name.strip(" ,") == name else repr(name) for name in names]
    return f"{key} ({len(names):,})", enumerated(shown)
