"""The differences between two training runs, according to their cards."""

from __future__ import annotations

from typing import Any

from zoo.config.declarations import declared
from zoo.files.cards import Card
from zoo.registry.registry import Registry

# What a card can record, and does not if the value is empty or 0
_ENVIRONMENT = ("threads", "processor", "device", "commit")

Pair = list[Any]


def differences(card: Card, ours: Card, registry: Registry) -> tuple[dict[str, Pair], list[str]]:
    """Return the differences between a card and that of a new run, and the values that the first lacks.

    Returns:
        `{name: [in the card, here]}`, such as `{"torch": ["2.12.0", "2.13.0"]}`, and the names of unknown
        values, such as `["processor"]`.
    """
    theirs, here = _facts(card, registry), _facts(ours, registry)
    unknown = [name for name in _ENVIRONMENT if not theirs[name]]
    usual = registry.default_config(card.task).to_dict()  # an older card lacks newer options
    model = declared(registry.architecture(card.architecture).load())
    usual |= {f"model.{name}": option.default for name, option in model.items()}
    differing = {
        name: [theirs.get(name), here.get(name)]
        for name in dict.fromkeys([*theirs, *here])
        if theirs.get(name, usual.get(name)) != here.get(name) and name not in unknown
    }
    if "commit" in unknown:
        differing.pop("uncommitted changes", None)
    if card.changes:
        differing["options changed during training"] = [[*card.changes], []]
    return differing, unknown


def _facts(card: Card, registry: Registry) -> dict[str, Any]:
    """Return what the tensors of a training depend on, by name."""
    environment = card.environment
    elsewhere = registry.training_options.keys() - registry.default_config(card.task).to_dict().keys()
    facts: dict[str, Any] = {name: getattr(environment, name) for name in _ENVIRONMENT}
    facts |= card.versions
    facts |= {"uncommitted changes": environment.dirty, "data": card.dataset.fingerprint}
    facts |= {"base weights": card.base_model.get("sha256", ""), "seed": card.seed}
    facts |= {f"trained {name}": count for name, count in card.progress.items()}
    facts |= {f"model.{name}": value for name, value in card.arguments.items()}
    facts |= {f"data.{name}": value for name, value in card.dataset.options.items()}
    facts |= {name: value for name, value in card.training.items() if name not in elsewhere}
    return facts
