"""The fields and figures of a model card that are measured, as far as that is possible."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.api.entry_description import reason
from zoo.api.model import Model
from zoo.api.run import Run
from zoo.data.vocabulary import WritesText
from zoo.errors import Interrupted
from zoo.files import style
from zoo.processors import make_processor
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import AnalyzerSpec

# Most images with a heat map
_IMAGES = 6


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A model card that is not complete yet.

    Attributes:
        left_out: what cannot be computed, by the reason.
    """

    fields: dict[str, Any]
    figures: dict[str, bytes] = field(default_factory=dict[str, bytes])
    left_out: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @contextlib.contextmanager
    def leaving_out(self, part: str) -> Generator[None]:
        """Leave a part out if computing it fails."""
        try:
            yield
        except Interrupted:
            raise
        except Exception as error:  # of a plugin, too
            self.left_out.setdefault(reason(error), []).append(part)


def add_history(draft: Draft, directory: Path, registry: Registry) -> None:
    """Add the learning curve of a run."""
    with draft.leaving_out("learning curve"):
        run = Run(directory, registry=registry)
        draft.figures["learning-curve.png"] = style.png(run.plot())
        draft.fields["history"] = run.history


def add_measured(draft: Draft, model: Model, data: Mapping[str, Any] | None, *, progress: bool) -> None:
    """Add a sample text, the results by class, and the findings of the analyzers that are for cards."""
    if not model.exported:
        draft.fields["parameters"] = model.num_parameters
    if isinstance(make_processor(model.registry, model.card.task), WritesText):
        with draft.leaving_out("sample text"):
            text = str(model.sample(progress=progress))
            draft.fields["sample"] = {"command": draft.fields["use"]["generate text"], "text": text}
    with draft.leaving_out("metrics by class"):
        result = model.evaluate(data=data, progress=progress)
        split = result["split"]
        if split not in draft.fields["intervals"]:
            for name in ("metrics", "intervals"):
                draft.fields[name][split] = result[name]
        draft.fields["measured"] = {name: result[name] for name in ("split", "count", "unit", "baseline")}
        draft.fields["by_class"] = result.get("classes")
    draft.fields["findings"] = []
    for entry in model.registry.entries_of(AnalyzerSpec):
        if entry.spec.in_card and entry.spec.name in model.analyzers:
            with draft.leaving_out(entry.spec.name):
                _add_findings(draft, entry, model, data, progress=progress)


def _add_findings(
    draft: Draft, entry: Entry[AnalyzerSpec], model: Model, data: Mapping[str, Any] | None, *, progress: bool
) -> None:
    name, count = entry.spec.name, draft.fields.get("measured", {}).get("count", _IMAGES)
    indices = range(min(count, _IMAGES)) if entry.spec.in_card == "items" else None
    found = model.analyze(entry.name, indices=indices, data=data, progress=progress)
    drawn = {file: draw() for file, draw in found.analysis.figures.items() if file.endswith(".png")}
    if found.analysis.maps is not None:
        from zoo.analysis.render import SMALLEST, jpeg

        drawn[f"{name}.jpg"] = jpeg(found.sheet(side=SMALLEST))
    drawn = {file if file.startswith(name) else f"{name}-{file}": each for file, each in drawn.items()}
    draft.figures.update(drawn)
    fields = {"analyzer": entry.name, "summary": entry.spec.summary, "split": found.facts["split"]}
    tables = {**found.analysis.tables}
    draft.fields["findings"].append(fields | {"scores": found.scores, "tables": tables, "figures": [*drawn]})
