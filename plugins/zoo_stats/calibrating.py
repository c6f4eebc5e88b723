"""Calibrate a trained classifier: fit a temperature, and write calibrated weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zoo import DataError, OptionError, Registry
from zoo.plugin import Card, OutputError, WeightsError, checked, default_registry

if TYPE_CHECKING:
    from torch import Tensor

    from zoo import Findings, Model

__all__ = ["calibrate"]

# Largest difference between the calibrated logits and the logits divided by the temperature, relative to the
# largest logit. A GPU may round the head's input and weights to 10 bits (TF32).
_TOLERANCE = 1e-3
_ANALYZER = "stats/calibration"


@checked
def calibrate(
    weights: str | Path,
    *,
    out: str | Path,
    data: Mapping[str, Any] | None = None,
    last: bool = False,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """Fit a temperature to a classifier on its validation data, and write weights with calibrated logits.

    The temperature minimizes the cross-entropy of the divided logits. zoo divides the weight and the bias of
    the model's head by the temperature, which scales the logits but does not change the predicted classes.
    You can use the new file like any other weights file; its card records the calibration, and its metrics
    are measured again.

    Args:
        weights: a published id, a weights file or a run directory of a classifier.
        out: weights file to write.
        data: dataset options that locate the training data, such as `root`.
        last: calibrate the last weights of a run directory instead of the best ones.
        device: device, such as `cpu` or `cuda`; by default, a GPU if one is available.
        progress: show progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Returns:
        `{weights, file, split, count, temperature, before, after, metrics, data}`, where `before` and `after`
        contain the scores of the analyzer `calibration` on the split, such as `ece` and `loss`, `metrics`
        contains the metrics in the card of the new file, and `data` contains dataset options that the file
        cannot set, such as `root`.

    Raises:
        OptionError: `data` would change which images are in the split, or the suffix of `out` is not
            `.safetensors`.
        WeightsError: the model has no validation data, is already calibrated, or has no linear head.
        OutputError: the file exists, or cannot be written.
        ZooError: no temperature minimizes the loss.
        SpecError, DataError, UnknownName: the model is not a classifier, or its data does not exist.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2, arXiv 1706.04599.
    """
    registry = default_registry() if registry is None else registry
    out = Path(out)
    _require_writable(out)
    from zoo import load
    from zoo.plugin import decidable

    model = load(weights, last=last, device=device, progress=progress, registry=registry)
    head = _head_of(model, registry)
    if data:
        _require_same_split(data, model.card, registry)

    def measured() -> Findings:
        return model.analyze(_ANALYZER, split="val", data=data, progress=progress)

    from zoo_stats.temperature import divide_logits, fit_temperature

    before = measured()
    if before.facts["fingerprint"] != model.card.dataset.fingerprint:
        raise DataError(f"{weights} was trained on different data, so its validation split is unknown")
    logits = _logits(before)
    temperature = fit_temperature(logits, _labels(before))
    divide_logits(model.module, head, temperature)
    after = measured()
    difference = float((_logits(after) - logits / temperature).abs().max())
    if not difference <= _TOLERANCE * float((logits / temperature).abs().max()):
        why = f"its logits do not scale with the weights of its head {head}"
        raise WeightsError(f"{weights} cannot be calibrated: {why}")
    results = {
        name: model.evaluate(name, data=data, progress=progress)
        for name in ("val", "test")
        if name in model.card.metrics
    }
    card = replace(
        model.card,
        metrics={name: result["metrics"] for name, result in results.items()},
        intervals={name: result["intervals"] for name, result in results.items()},
        calibration={
            "temperature": temperature,
            "count": before.analysis.details["count"],
            **{f"{name}_before": before.scores[name] for name in ("ece", "loss")},
            **{f"{name}_after": after.scores[name] for name in ("ece", "loss")},
        },
    )
    _save(out, model, card)
    located = {**model.own, **(data or {})}
    by_card = decidable(registry.dataset(card.dataset.name))
    return {
        "weights": str(weights),
        "file": str(out),
        "split": "val",
        "count": before.analysis.details["count"],
        "temperature": temperature,
        "before": before.scores,
        "after": after.scores,
        "metrics": card.metrics,
        "data": {name: value for name, value in located.items() if name not in by_card},
    }


def _require_writable(out: Path) -> None:
    """Raise an error, before any work is done, if a file exists, has no folder or the wrong suffix."""
    if out.suffix != ".safetensors":
        raise OptionError(f"out must be a .safetensors file (got {out})")
    if out.exists():
        hint = "delete the file, or choose a different one with --out"
        raise OutputError(f"{out} already exists", hint=hint)
    if not out.parent.is_dir():
        raise OutputError(f"{out} cannot be written: there is no folder {out.parent}")


def _head_of(model: Model, registry: Registry) -> str:
    """Return the path of a model's head. Raises WeightsError if the model cannot be calibrated."""
    _ = model.module  # an exported file has none, and raises its error
    card = model.card
    if card.calibration:
        hint = "calibrate the original weights"
        raise WeightsError(f"{model.name} is already calibrated", hint=hint)
    if card.task != "classification":
        raise WeightsError(f"{model.name} is for {card.task}; only classifiers can be calibrated")
    if "val" not in card.metrics:
        message = f"{model.name} was trained without a validation split (its card has no val metrics)"
        hint = "a temperature must be fitted on data that was not used for training"
        raise WeightsError(message, hint=hint)
    from zoo.plugin import with_landmarks

    spec = registry.architecture(card.architecture).spec
    head = with_landmarks(spec, model.module).landmarks.get("head", "")
    if not head:
        raise WeightsError(f"{model.name} cannot be calibrated: {card.architecture} declares no head")
    return head


def _require_same_split(data: Mapping[str, Any], card: Card, registry: Registry) -> None:
    """Raise OptionError for an option that could move training images into the validation split."""
    from zoo.plugin import decidable

    entry = registry.dataset(card.dataset.name)
    typed = entry.check({**entry.spec.config, **data}, flag="--data")
    fixed = decidable(entry) | {name for name, value in typed.items() if not isinstance(value, str)}
    for name in data:
        if name in fixed and typed[name] != card.dataset.options.get(name):
            message = f"data option {name} cannot be changed: training images could end up in the val split"
            raise OptionError(message, hint=f"omit {name}: the weights determine this value")


def _logits(findings: Findings) -> Tensor:
    assert findings.analysis.logits is not None
    return findings.analysis.logits


def _labels(findings: Findings) -> Tensor:
    """Return the labels of the inputs, (N,); a split has no unknown ones."""
    import torch

    return torch.cat([batch.targets.cpu() for batch in findings.inputs])


def _save(out: Path, model: Model, card: Card) -> None:
    from zoo.plugin import save

    try:
        save(out, model.module, card)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from None
