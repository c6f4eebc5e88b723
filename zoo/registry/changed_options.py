"""The training options of a card that differ from their defaults."""

from __future__ import annotations

from typing import Any

from zoo.files.cards import Card
from zoo.registry.registry import Registry


def changed_options(card: Card, registry: Registry) -> dict[str, Any]:
    """Return a card's training options that differ from their defaults, without options for other tasks."""
    known = registry.training_options
    usual = {name: field.default for name, field in known.items() if not field.group}
    if registry.has("task", card.task):
        usual |= registry.default_config(card.task).to_dict()
    fields = {name: value for name, value in card.training.items() if name in usual or name not in known}
    return {name: value for name, value in fields.items() if name not in usual or usual[name] != value}
