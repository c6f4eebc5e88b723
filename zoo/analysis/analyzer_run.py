"""Run an analyzer on a model and inputs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from zoo._version import __version__
from zoo.analysis.findings import Findings
from zoo.analysis.request import Request, read_inputs, title_of
from zoo.analysis.subject import make_subject
from zoo.errors import Diverged, OptionError, SpecError, WeightsError, warn
from zoo.evaluation.inputs import Inputs
from zoo.files.cards import Card
from zoo.interfaces import Analysis, Analyzer
from zoo.models.hooks import TooLarge, no_larger_outputs, untouched
from zoo.models.precision import autocast, resolve
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import AnalyzerSpec

# Maps of fewer cells a side are worth a warning: enlarged, they look finer than they are
_COARSE = 4
# Bytes that a layer may compute for a batch of inputs, or how many times those of the parameters if more
_MOST_BYTES, _MOST_TIMES = 1 << 28, 50


def make_analyzer(entry: Entry[AnalyzerSpec], options: Mapping[str, Any]) -> Analyzer:
    """Make an analyzer. Raises OptionError if an option is unknown or of the wrong type."""
    return entry.make(options, Analyzer, flag="--option")


@torch.inference_mode(False)
@torch.no_grad()
def analyze(
    analyzer: str,
    model: nn.Module,
    card: Card,
    registry: Registry,
    request: Request,
    *,
    weights: str,
    device: str,
    report: Callable[[int, int], None],
) -> Findings:
    """Look inside a trained model.

    Args:
        weights: where the model came from, for the manifest.
        report: called at the start and after each batch with the number of images or tokens done so far, and
            the total.

    Raises:
        OptionError: a class, layer, split, index, precision or option is unknown, or the model does not
            support it.
        SpecError, DataError, UnknownName: the analyzer, an input or the data is missing, or is not compatible
            with the model.
    """
    entry = registry.analyzer(analyzer)
    subject = make_subject(entry, model, card, registry, classes=request.classes, layer=request.layer)
    made = make_analyzer(entry, request.options)
    if request.inputs is not None and "true" in subject.classes:
        raise OptionError("class='true' requires labeled inputs", hint="omit the inputs to analyze a split")
    inputs, reference, source = read_inputs(
        request, card, registry, reference=entry.spec.reference, device=device, report=report
    )
    title = title_of(weights, card, source)
    subject = replace(subject, title=title, names=tuple(inputs.names), reference=reference)
    precision = resolve(request.precision, device)
    with autocast(precision, device), _bounded(model):
        analysis = made.analyze(model, inputs, subject=subject)
    _require_finite(analysis)
    if analysis.maps is None and request.classes:
        raise OptionError(f"{entry.name} does not draw heat maps, so it does not accept a class")
    items = [] if analysis.maps is None else _items(entry, analysis, model, inputs)
    facts = {
        "analyzer": entry.name,
        "options": dict(request.options),
        "weights": weights,
        "weights_sha256": card.sha256,
        "architecture": card.architecture,
        **source,
        "classes": list(request.classes),
        "precision": precision,
        "device": device,
        "versions": {"zoo": __version__, "torch": torch.__version__},
    }
    return Findings(analysis=analysis, inputs=inputs, items=items, facts=facts, scores=dict(analysis.scores))


@contextlib.contextmanager
def _bounded(model: nn.Module) -> Generator[None]:
    """Raise WeightsError before a layer from a forged file produces an output far larger than the model."""
    held = sum(parameter.nbytes for parameter in model.parameters())
    try:
        with no_larger_outputs(model, max(_MOST_BYTES, _MOST_TIMES * held)):
            yield
    except TooLarge as error:
        message = f"the model cannot be analyzed: one layer needs {error} for a batch of inputs"
        raise WeightsError(message, hint="analyze fewer inputs, for example with --indices 0,1") from None


def _items(
    entry: Entry[AnalyzerSpec], analysis: Analysis, model: nn.Module, inputs: Inputs
) -> list[dict[str, Any]]:
    assert analysis.maps is not None
    if max(analysis.maps.shape[2:]) < _COARSE:
        cells = "×".join(map(str, analysis.maps.shape[2:]))
        warn(f"the heat maps have only {cells} cells; choose an earlier layer with --layer for finer maps")
    assert analysis.classes is not None, "an analysis with maps must set `classes`, the class of each map"
    logits = analysis.logits
    if logits is None:
        with untouched(model) as inner:
            logits = torch.cat([inner(batch.inputs).float() for batch in inputs])
    if logits.ndim != 2:
        shape = tuple(logits.shape)
        message = f"{entry.name} requires one prediction per input (got outputs of shape {shape})"
        raise SpecError(message, hint="write a custom analyzer that draws figures for this model")
    names = [str(name) for name in inputs.card.preprocess["classes"]]
    probabilities = inputs.task.probabilities(logits.float())
    one_map = "any class" if "class" in entry.spec.ignores else None
    peaks = analysis.maps.amax((2, 3)).tolist()
    items: list[dict[str, Any]] = []
    for number, (name, classes) in enumerate(zip(inputs.names, analysis.classes.tolist(), strict=True)):
        predicted, labels = int(logits[number].argmax()), inputs.labels(number)
        of_input = {
            "input": name,
            "predicted": names[predicted],
            "predicted_probability": float(probabilities[number, predicted]),
            "true": None if labels is None else ", ".join(names[label] for label in labels) or "none",
        }
        for index, peak in zip(classes, peaks[number], strict=True):
            of_class = {
                "class": names[index],
                "class_index": index,
                "probability": float(probabilities[number, index]),
            }
            items.append({**of_input, **of_class, "map_of": one_map or names[index], "peak": peak})
    return items


def _require_finite(analysis: Analysis) -> None:
    """Raise Diverged if a map or score is not finite: results can overflow even with finite weights."""
    wrong = [f"{name} {value}" for name, value in analysis.scores.items() if not math.isfinite(value)]
    wrong += ["maps"] if analysis.maps is not None and not torch.isfinite(analysis.maps).all() else []
    if wrong:
        hint = "the weights are finite, but so large that results overflow"
        raise Diverged(f"the findings contain non-finite values: {', '.join(wrong)}", hint=hint)
