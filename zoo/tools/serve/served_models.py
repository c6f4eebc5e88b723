"""The models that a server offers, by the names that clients use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.api.model import Model
from zoo.api.run import Run
from zoo.config.near_names import did_you_mean
from zoo.data.vocabulary import WritesText
from zoo.errors import OptionError, RunError, UnknownName
from zoo.models.landmarks import with_landmarks
from zoo.processors import InputReader, ReadsInputs, make_processor
from zoo.registry.registry import Registry
from zoo.tools.serve.model_threads import Worker
from zoo.tools.serve.offered_analyzers import analyzers_for
from zoo.tools.share.model_card import card as model_card

Takes = Literal["image", "text", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model, its thread, and the information that clients may see.

    Attributes:
        reader: reads its inputs; None if its task does not read inputs one by one.
        samples: whether the model generates text.
        facts: additional information, as JSON data.
        page: its model card, as an HTML page.
        comparing: analyzers that apply to the model but read a whole split.
        mean_head: path of the linear layer that reads the mean of feature maps; empty for none.
    """

    name: str
    model: Model
    worker: Worker
    reader: InputReader | None
    samples: bool
    facts: Mapping[str, Any]
    page: str
    comparing: Collection[str] = ()
    mean_head: str = ""

    @property
    def takes(self) -> Takes | None:
        """The type of its inputs; None if it does not read any."""
        if self.reader is None:
            return None
        return "text" if self.reader.strings else "image" if self.reader.picture else "file"

    def described(self) -> dict[str, Any]:
        """Return the model's description for `GET /models`."""
        return {"name": self.name, "takes": self.takes, "samples": self.samples, **self.facts}


def named(models: Iterable[tuple[str, Model]], registry: Registry, *, last: bool = False) -> list[Served]:
    """Return models ready to serve, each with its own thread.

    Args:
        models: models with the id, file or run directory that each was loaded from. Clients use the id, the
            file name without its suffix, or the directory's name.
        last: whether the models of run directories have their last weights.

    Raises OptionError if two models would have the same name.
    """
    by_name: dict[str, tuple[str, Model]] = {}
    for weights, model in models:
        name = _name(weights)
        if name in by_name:
            raise OptionError(f"{by_name[name][0]} and {weights} would both be served as {name!r}")
        by_name[name] = weights, model
    return [_served(name, model, weights, registry, last=last) for name, (weights, model) in by_name.items()]


def find(models: Mapping[str, Served], name: str | None) -> Served:
    """Return a model by name; without one, the only model.

    Raises UnknownName, or OptionError if there are several models and no name.
    """
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    listed = f"models: {', '.join(models)}"
    if name is None:
        raise OptionError("`model` is required because several models are served", hint=listed)
    if name not in models:
        raise UnknownName(f"unknown model {name!r}{did_you_mean(name, models)}", hint=listed)
    return models[name]


def _name(weights: str) -> str:
    path = Path(weights)
    if path.is_dir():
        return path.resolve().name
    return path.stem if path.is_file() else weights


def _served(name: str, model: Model, weights: str, registry: Registry, *, last: bool) -> Served:
    card, processor = model.card, make_processor(registry, model.card.task)
    spec, analyzers = processor.spec, analyzers_for(model, registry)
    architecture = registry.architecture(card.architecture).spec
    landmarks = {} if model.exported else with_landmarks(architecture, model.module).landmarks
    facts = {
        "task": card.task,
        "architecture": card.architecture,
        "dataset": card.dataset.name,
        "parameters": None if model.exported else model.num_parameters,
        "classes": model.classes,
        "metrics": card.metrics,
        "primary_metric": spec.primary_metric,
        "units": dict(spec.units),
        # a request has no labels, and no time to read a whole dataset
        "analyzers": [row for row in analyzers if not (row["labels"] or row["reference"])],
        "landmarks": [*landmarks],
        "card": card.to_dict(),
        "history": _history(Path(weights)),
    }
    # under the name that clients know: the path is of this machine
    page = model_card(weights, name=name, measure=False, last=last, progress=False, registry=registry).html()
    return Served(
        name=name,
        model=model,
        worker=Worker(model),
        reader=processor.input_reader(card) if isinstance(processor, ReadsInputs) else None,
        samples=isinstance(processor, WritesText),
        facts=facts,
        page=page,
        comparing={row["name"] for row in analyzers if row["reference"]},
        mean_head=landmarks.get("mean_head", ""),
    )


def _history(weights: Path) -> list[dict[str, Any]] | None:
    """Return a row for each epoch of a run; None if the weights are not from a run directory."""
    if not weights.is_dir():
        return None
    try:
        return Run(weights).history
    except RunError:
        return None
