"""`zoo inspect`: show the card of a weights file, without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import click
import msgspec

from zoo.cli.name_types import weights_argument
from zoo.cli.session import Session, print_json, standard_options
from zoo.config import options
from zoo.console.figures import figure, figures, over_seeds
from zoo.console.tables import as_typed, enumerated, print_paragraph, print_section, print_title
from zoo.errors import shortened
from zoo.files.cards import Card, read_weights
from zoo.registry.changed_options import changed_options
from zoo.registry.exported_files import read_exported
from zoo.registry.registry import Registry
from zoo.registry.weights_files import locate_weights, warn_if_unfinished

# Most rows of a section; a card of 1 MB may say a hundred thousand
_ROWS = 100


@click.command()
@weights_argument
@standard_options
def command(session: Session, weights: str, as_json: bool) -> None:
    """Verify WEIGHTS (an id, a file or a run directory) and print their card.

    \b
    zoo inspect cifar10-resnet20
    zoo inspect runs/lstm-nietzsche
    zoo inspect cifar10-resnet20.onnx
    """
    path, sha256 = locate_weights(session.registry, weights, last=session.last)
    exported = read_exported(session.registry, path, sha256=sha256)
    card, container = (exported.card, None) if exported else read_weights(path, sha256=sha256)
    warn_if_unfinished(weights, path, card.progress)
    if as_json:
        print_json(card.to_dict())
        return
    print_title(f"Weights {weights}")
    about = f"{card.architecture} for {card.task}, trained on {card.dataset.name}"
    print_paragraph(shortened(about), indent=2)
    _print_card(card, session.registry)
    if exported is not None:
        ports = [("accepts", port) for port in exported.signature.inputs]
        ports += [("returns", port) for port in exported.signature.outputs]
        _print("Program", [(f"{verb} {port.name}", port.shown()) for verb, port in ports])
        facts = [("size", f"{exported.size:,} bytes"), *exported.facts.items()]
    else:
        assert container is not None
        count = sum(tensor.numel for tensor in container.tensors.values())
        tensors = f"{len(container.tensors)} tensors with {count:,} numbers"
        facts = [("size", f"{container.size:,} bytes: {tensors}")]
    print_section("File", [("path", path), *facts], wrap=False)
    _print("sha256", [("tensors", card.sha256), ("data", card.dataset.fingerprint)], wrap=False)


def _print_card(card: Card, registry: Registry) -> None:
    units = registry.tasks[card.task].units if card.task in registry.tasks else {}
    measured = [
        (split, figures(metrics, {**units, **registry.metric_units}, card.intervals.get(split, {})))
        for split, metrics in card.metrics.items()
    ]
    spread = over_seeds(card.by_seed, registry.tasks[card.task]) if units else ""
    _print("Metrics", [*measured, ("seeds", spread)])
    _print("Model", as_typed(card.arguments), about=card.architecture)
    _print("Data", as_typed(card.dataset.options), about=card.dataset.name)
    _print("Preprocessing", [_preprocessing(key, value) for key, value in card.preprocess.items()])
    changed = changed_options(card, registry)
    _print("Training options", as_typed(changed), about="that differ from zoo's defaults")
    progress = [(f"{key} trained", f"{value:,}") for key, value in card.progress.items()]
    _print("Training", [*progress, ("seed", card.seed)])
    environment = msgspec.structs.asdict(card.environment).items()
    _print("Environment", as_typed({name: value for name, value in environment if value}))
    _print("Changes", [(str(number), text) for number, text in enumerate(card.changes, 1)])
    _print("Calibration", [(name, figure(value)) for name, value in card.calibration.items()])
    _print("Started from", as_typed(card.base_model), wrap=False)
    _print("Versions", [*card.versions.items()])
    _print("Tied tensors", [*card.tied.items()])


def _print(title: str, rows: Sequence[tuple[object, object]], *, about: str = "", wrap: bool = True) -> None:
    """Print a section of limited length, because a card can contain any number of rows and values."""
    shown = [(shortened(str(key)), shortened(str(value))) for key, value in rows[:_ROWS]]
    more = [("...", f"{len(rows) - _ROWS:,} more")] if len(rows) > _ROWS else []
    print_section(title, shown + more, about=shortened(about), wrap=wrap)


def _preprocessing(key: str, value: object) -> tuple[str, str]:
    """Return a row about a model's input, such as the number and the names of its classes."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        return key, options.text(value)
    names = cast("Sequence[str]", value)
    shown = [name if name.isprintable() and name.strip(" ,") == name else repr(name) for name in names]
    return f"{key} ({len(names):,})", enumerated(shown)
