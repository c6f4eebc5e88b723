"""An Experiment: exactly what to run. It is what a recipe names and what `config.toml` records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from zoo.registry.catalog import RecipeEntry
from zoo.registry.registry import Registry
from zoo.registry.specs import Recipe

__all__ = ["Experiment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """An architecture, a dataset, the options of both and of training, and a seed."""

    architecture: str
    dataset: str
    model: dict[str, Any] = field(default_factory=dict[str, Any])
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    train: dict[str, Any] = field(default_factory=dict[str, Any])
    """Recipe fields that differ from the architecture's own recipe."""
    start: str = ""
    """Weights to start from, a path or a published id; empty for random ones."""
    seed: int = 0

    @classmethod
    def of(cls, entry: RecipeEntry) -> Experiment:
        """Return the experiment a recipe of registry.toml describes."""
        return cls(
            architecture=entry.architecture,
            dataset=entry.dataset,
            model=entry.model,
            data=entry.data,
            train=entry.train,
            start=entry.start,
            seed=entry.seed,
        )

    def recipe(self, registry: Registry) -> Recipe:
        """Return the architecture's recipe with `train` applied. Raises OptionError, UnknownName."""
        return registry.architecture(self.architecture).spec.recipe.replace(self.train, what="training")

    def to_dict(self) -> dict[str, Any]:
        """Return the experiment as JSON data."""
        return asdict(self)
