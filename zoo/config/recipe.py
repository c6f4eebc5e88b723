"""Recipes: named experiments, listed in `registry.toml` and recorded in the `config.toml` of each run."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from zoo.config import options
from zoo.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An architecture, a dataset, their options, the training options, a seed and a number of threads.

    Attributes:
        model: options of the architecture.
        data: options of the dataset.
        train: training options that differ from the architecture's training configuration. They are checked
            when the recipe is used.
        from_weights: weights to start from: a file, a run directory or a published id; empty for random
            weights.
        threads: number of CPU threads, which affects rounding; 0 lets zoo choose.

    Raises OptionError for a field of the wrong type; a note on the error identifies the recipe.
    """

    architecture: str
    dataset: str
    summary: str = ""
    model: dict[str, Any] = field(default_factory=dict[str, Any])
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    train: dict[str, Any] = field(default_factory=dict[str, Any])
    from_weights: str = ""
    seed: int = 0
    threads: Annotated[int, Meta(ge=0, le=2**31)] = 0

    def __post_init__(self) -> None:
        try:
            options.validate(self)
            for name in ("model", "data", "train"):
                table = {key: options.plain(value) for key, value in getattr(self, name).items()}
                object.__setattr__(self, name, table)
        except OptionError as error:
            architecture, dataset = options.shown(self.architecture), options.shown(self.dataset)
            error.add_note(f"in the recipe for {architecture} on {dataset}")
            raise

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON data."""
        return asdict(self)
