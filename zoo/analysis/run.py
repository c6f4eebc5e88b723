"""From a name, a weights file and inputs to findings: what `zoo analyze` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.analysis.faithfulness import box_scores, pixel_scores
from zoo.analysis.findings import Findings
from zoo.analysis.subject import make_subject
from zoo.data.feeding import open_fed
from zoo.errors import OptionError
from zoo.evaluation.inputs import Inputs, of_files, of_split
from zoo.interfaces import Analysis, Split
from zoo.models import weights as weights_files
from zoo.models.building import make_analyzer
from zoo.models.hooks import untouched
from zoo.models.precision import autocast, resolve
from zoo.registry.catalog import Catalog
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import AnalyzerSpec

__all__ = ["analyze"]


@torch.inference_mode(False)
@torch.no_grad()
def analyze(
    analyzer: str,
    weights: Path | str,
    registry: Registry,
    *,
    files: Sequence[str] = (),
    split: Split | None = None,
    indices: Sequence[int] | None = None,
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    classes: Sequence[str] = (),
    layer: str | None = None,
    options: Mapping[str, Any] | None = None,
    score: bool = False,
    precision: str = "fp32",
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda done, total: None,
    notice: Callable[[str], None] = lambda text: None,
) -> Findings:
    """Look inside a trained model.

    Args:
        analyzer: full or short name.
        weights: a file, or the name of published weights.
        files: pictures and folders of them, or texts; of any size, fed as the model's card says.
        split: of the data the model learned from, or of `dataset`, in place of files.
        indices: numbers of images in the split, from 0; all without.
        dataset: other data than the model learned from.
        data: options of the dataset, over those the model learned with.
        classes: names or numbers of classes to ask about; `predicted` (as without any) or `true`.
        layer: the path of a submodule, or the name of a landmark, in place of `features`.
        options: of the analyzer.
        score: whether to measure how faithful maps are.
        precision: `fp32`, `bf16`, `fp16` or `auto`, of the model's passes.
        report: told after each batch how many images, or tokens, of all that are looked at are done.
        notice: told of what is odd about the data.

    Raises:
        ZooError: see `zoo.errors`; each says what to do.
    """
    if files and (split or indices is not None or dataset or data):
        raise OptionError("give either files or a split of the data, not both")
    entry = registry.analyzer(analyzer)
    if classes and "class" in entry.spec.ignores:
        raise OptionError(f"{entry.name} draws one map, whatever the class; leave --class out")
    path = weights_files.find(str(weights), Catalog.load())
    model, card = weights_files.load(path, registry, device=device)
    subject = make_subject(entry, model, card, registry, classes=classes, layer=layer)
    made = make_analyzer(entry, options or {})
    source: dict[str, Any]
    if files:
        if "true" in subject.classes:
            raise OptionError("--class true takes labels, which files have not", hint="look at a --split")
        inputs = of_files(card, files, device=device, report=report, notice=notice)
        source = {"files": list(files)}
    else:
        opened, fed = open_fed(card, registry, dataset=dataset, data=data, notice=notice)
        inputs = of_split(card, fed, split or "test", indices, device=device, report=report)
        source = {"dataset": opened.name, "split": split or "test", "data": dict(data or {})}
        source["fingerprint"] = fed.fingerprint
    resolved = resolve(precision, device)
    with autocast(resolved, device):
        analysis = made.analyze(model, inputs, subject=subject)
    items = [] if analysis.maps is None else _items(entry, analysis, model, inputs)
    scores = dict(analysis.scores)
    if classes and analysis.maps is None:
        raise OptionError(f"--class is for maps, and {entry.name} draws none")
    if score:
        scores |= _score(entry, analysis, model, inputs)
    facts = {
        "analyzer": entry.name,
        "options": dict(options or {}),
        "weights": str(weights),
        "weights_sha256": card.sha256,
        "architecture": card.architecture,
        **source,
        "classes": list(classes),
        "precision": resolved,
        "device": device,
        "versions": {"zoo": zoo.__version__, "torch": torch.__version__},
    }
    return Findings(analysis=analysis, inputs=inputs, items=items, facts=facts, scores=scores)


def _items(
    entry: Entry[AnalyzerSpec], analysis: Analysis, model: nn.Module, inputs: Inputs
) -> list[dict[str, Any]]:
    assert analysis.maps is not None
    assert analysis.classes is not None, "an analysis with maps says which classes they are of"
    logits = _logits(model, inputs) if analysis.logits is None else analysis.logits
    names = [str(name) for name in inputs.card.preprocess["classes"]]
    one_map = "any class" if "class" in entry.spec.ignores else None
    peaks = analysis.maps.amax((2, 3)).tolist()
    items: list[dict[str, Any]] = []
    for number, (name, asked) in enumerate(zip(inputs.names, analysis.classes.tolist(), strict=True)):
        probabilities = logits[number].float().softmax(0)
        guess, label = int(probabilities.argmax()), inputs.label(number)
        of_input = {
            "input": name,
            "predicted": names[guess],
            "predicted_probability": float(probabilities[guess]),
            "true": names[label] if label >= 0 else None,
        }
        for one, peak in zip(asked, peaks[number], strict=True):
            of_class = {"class": names[one], "class_index": one, "probability": float(probabilities[one])}
            items.append({**of_input, **of_class, "map_of": one_map or names[one], "peak": peak})
    return items


@torch.no_grad()
def _logits(model: nn.Module, inputs: Inputs) -> Tensor:
    with untouched(model) as inner:
        return torch.cat([inner(batch.inputs).float() for batch in inputs])


def _score(
    entry: Entry[AnalyzerSpec], analysis: Analysis, model: nn.Module, inputs: Inputs
) -> dict[str, float]:
    maps, classes = analysis.maps, analysis.classes
    if maps is None or classes is None:
        raise OptionError(f"--score is for maps, and {entry.name} draws none")
    scores = pixel_scores(model, inputs, maps, classes)
    boxes = inputs.boxes
    labels = torch.tensor([inputs.label(number) for number in range(len(inputs.names))])
    of_label = (classes.cpu() == labels[:, None]).nonzero().tolist()
    if boxes is None or not of_label:
        return scores
    return scores | box_scores(
        torch.stack([maps[number, k] for number, k in of_label]),
        [boxes[number] for number, _ in of_label],
        size=int(inputs.card.arguments["image_size"]),
    )
