"""What a training would do: its options with their sources, its size, and the files that it would write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.config.declarations import declared
from zoo.config.layers import DATA, YOU, ZOO, Sourced
from zoo.config.options import text
from zoo.config.threads import idle_threads
from zoo.files import run_files
from zoo.registry.registry import Entry, Registry
from zoo.runs.lock import alone
from zoo.runs.resolving import Resolved

# The files of a run, in the order in which they appear
_FILES = (
    run_files.CONFIG,
    run_files.STEPS,
    run_files.CHECKPOINT,
    run_files.METRICS,
    run_files.BEST,
    run_files.LAST,
    run_files.CURVE,
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TrainingPlan:
    """What `zoo.train` would do, as returned by `zoo.train(..., dry_run=True)`.

    Attributes:
        options: the options that differ from zoo's defaults: `{name: {value, source}}`. Options of the
            architecture and the dataset are called `model.NAME` and `data.NAME`. The source is `you`, a
            recipe, an architecture, an optimizer, weights, `fine-tuning`, `this data` or `this device`.
        parameters: number of parameters of the model.
        trained: number of parameters that are not frozen.
        steps: number of optimizer steps in all epochs.
        files: the files that the training writes into `run`.
    """

    architecture: str
    dataset: str
    run: str
    device: str
    options: dict[str, dict[str, Any]]
    parameters: int
    trained: int
    epochs: int
    steps: int
    files: tuple[str, ...]

    def __repr__(self) -> str:
        names, values = (max(map(len, column)) for column in list(zip(*self.rows, strict=True))[:2])
        rows = [f"{name:<{names}}  {value:<{values}}  {source}" for name, value, source in self.rows]
        facts = [f"{name}: {value}" for name, value in self.facts.items()]
        return "\n".join([f"{self.architecture} on {self.dataset}", *rows, *facts])

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """The name, the value as typed, and the source of each option."""
        return [(name, text(option["value"]), option["source"]) for name, option in self.options.items()]

    @property
    def facts(self) -> dict[str, str]:
        """The size of the training, and where it runs and writes."""
        frozen = f", {self.trained:,} of them trained" if self.trained != self.parameters else ""
        epochs = f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        return {
            "parameters": f"{self.parameters:,}{frozen}",
            "steps": f"{self.steps:,} in {epochs}",
            "device": self.device,
            "writes": f"{', '.join(self.files)} in {self.run}",
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON data."""
        return asdict(self)


def plan_training(
    resolved: Resolved, registry: Registry, *, directory: Path, device: str | None, continued: bool
) -> TrainingPlan:
    """Return what a training would do. The data is opened and the model is built, but no run is written.

    Args:
        continued: whether the run in `directory` would be continued.

    Raises ZooError, as training would before its first step.
    """
    from zoo.models.building import generator_restored
    from zoo.models.device import pick_device
    from zoo.models.torch_threads import computing_with
    from zoo.runs.checkpoint import Checkpoints
    from zoo.runs.setup import build
    from zoo.training.defaults import steps_in_epoch

    device = pick_device(device)
    checkpoint = Checkpoints(directory).newest() if continued else None
    threads = resolved.recipe.threads or idle_threads()
    with alone(), computing_with(threads), generator_restored():
        resumed = checkpoint.info if checkpoint else None
        setup = build(resolved, registry, device=device, resumed=resumed)
        setup.check_batches()
        steps = steps_in_epoch(setup.task, setup.dataset, setup.config)
    sourced = {
        name: Sourced(value, YOU if resolved.given.get(name) is not None else resolved.source)
        for name in ("from_weights", "seed")
        if (value := getattr(resolved.recipe, name))
    }
    sourced |= _of_entry("model", resolved.architecture, resolved, setup.recipe.model)
    sourced |= _of_entry("data", resolved.data, resolved, setup.recipe.data)
    sourced |= {
        name: Sourced(setup.recipe.train[name], source)
        for name, (value, source) in setup.layers.merged.items()
        if source != ZOO and value != setup.layers.known[name].default
    }
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in setup.model.parameters()]
    return TrainingPlan(
        architecture=setup.architecture.name,
        dataset=setup.data.name,
        run=str(directory),
        device=device,
        options={name: option._asdict() for name, option in sourced.items()},
        parameters=sum(size for size, _ in sizes),
        trained=sum(size for size, gradient in sizes if gradient),
        epochs=setup.config.epochs,
        steps=steps * setup.config.epochs,
        files=tuple(file for file in _FILES if file != run_files.BEST or len(setup.dataset.split("val"))),
    )


def _of_entry(
    table: str, entry: Entry[Any], resolved: Resolved, values: Mapping[str, Any]
) -> dict[str, Sourced]:
    """Return the options of the architecture or the dataset that differ from their defaults."""
    known = declared(entry.load())

    def source(name: str) -> str:
        if name in (resolved.given.get(table) or {}):
            return YOU
        if name in getattr(resolved.recipe, table):
            return resolved.source
        if name in entry.spec.config:
            return f"{entry.kind} {entry.name}"
        return f"weights {resolved.recipe.from_weights}" if resolved.base else DATA

    changed = {name: value for name, value in values.items() if text(value) != text(known[name].default)}
    return {f"{table}.{name}": Sourced(value, source(name)) for name, value in changed.items()}
