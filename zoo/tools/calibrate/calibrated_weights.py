"""Calibrate a trained classifier: fit a temperature, and write calibrated weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zoo.config.arguments import checked
from zoo.errors import DataError, OptionError, OutputError, WeightsError
from zoo.files.cards import Card
from zoo.files.folders import require_new_file
from zoo.registry.registry import Registry, default_registry

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.api.model import Model

# Largest difference between the calibrated logits and the logits divided by the temperature, relative to the
# largest logit. A GPU may round the head's input and weights to 10 bits (TF32).
_TOLERANCE = 1e-3


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
        contain the scores of `zoo analyze calibration` on the split, such as `ece` and `loss`, `metrics`
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
    require_new_file(out, suffix=".safetensors")
    from zoo.api.load_weights import load
    from zoo.data.opening import local_options

    model = load(weights, last=last, device=device, progress=progress, registry=registry)
    head = _head_of(model, registry)
    if data:
        _require_same_split(data, model.card, registry)

    from zoo.evaluation.calibration_error import reliability
    from zoo.tools.calibrate.temperature import divide_logits, fit_temperature

    given = {**model.own, **(data or {})}
    outputs = _outputs_on_val(model, registry, given)
    logits, labels = outputs()
    before = reliability(logits, labels).scores()
    temperature = fit_temperature(logits, labels)
    divide_logits(model.module, head, temperature)
    calibrated, _ = outputs()
    after = reliability(calibrated, labels).scores()
    difference = float((calibrated - logits / temperature).abs().max())
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
            "count": len(labels),
            **{f"{name}_before": before[name] for name in ("ece", "loss")},
            **{f"{name}_after": after[name] for name in ("ece", "loss")},
        },
    )
    _save(out, model, card)
    return {
        "weights": str(weights),
        "file": str(out),
        "split": "val",
        "count": len(labels),
        "temperature": temperature,
        "before": before,
        "after": after,
        "metrics": card.metrics,
        "data": local_options(registry.dataset(card.dataset.name), given),
    }


def _head_of(model: Model, registry: Registry) -> str:
    """Return the path of a model's head. Raises WeightsError if the model cannot be calibrated."""
    from zoo.evaluation.item_tasks import ClassificationTask
    from zoo.interfaces import make_task
    from zoo.models.landmarks import with_landmarks

    _ = model.module  # an exported file has none, and raises its error
    card = model.card
    if card.calibration:
        hint = "calibrate the original weights"
        raise WeightsError(f"{model.name} is already calibrated", hint=hint)
    if not isinstance(make_task(registry, card.task), ClassificationTask):
        raise WeightsError(f"{model.name} is for {card.task}; only classifiers can be calibrated")
    if "val" not in card.metrics:
        message = f"{model.name} was trained without a validation split (its card has no val metrics)"
        hint = "a temperature must be fitted on data that was not used for training"
        raise WeightsError(message, hint=hint)
    spec = registry.architecture(card.architecture).spec
    head = with_landmarks(spec, model.module).landmarks.get("head", "")
    if not head:
        raise WeightsError(f"{model.name} cannot be calibrated: {card.architecture} declares no head")
    return head


def _require_same_split(data: Mapping[str, Any], card: Card, registry: Registry) -> None:
    """Raise OptionError for an option that could move training images into the validation split."""
    from zoo.data.opening import decidable

    entry = registry.dataset(card.dataset.name)
    typed = entry.check({**entry.spec.config, **data}, flag="--data")
    fixed = decidable(entry) | {name for name, value in typed.items() if not isinstance(value, str)}
    for name in data:
        if name in fixed and typed[name] != card.dataset.options.get(name):
            message = f"data option {name} cannot be changed: training images could end up in the val split"
            raise OptionError(message, hint=f"omit {name}: the weights determine this value")


def _outputs_on_val(
    model: Model, registry: Registry, data: Mapping[str, Any]
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return a function that runs the model on its val split: logits (N, K) and labels (N,).

    Raises DataError if the data is not that of the training.
    """
    import torch

    from zoo.data.opening import open_fed
    from zoo.interfaces import make_task
    from zoo.models.hooks import untouched

    task = make_task(registry, model.card.task)
    _, fed = open_fed(model.card, task, registry, data=data)
    if fed.fingerprint != model.card.dataset.fingerprint:
        raise DataError(f"{model.name} was trained on different data, so its validation split is unknown")

    def outputs() -> tuple[Tensor, Tensor]:
        with untouched(model.module) as inner, torch.inference_mode():
            batches = task.eval_batches(fed, "val", device=model.device)
            pairs = [(inner(batch.inputs).float().cpu(), batch.targets.cpu()) for batch in batches]
        logits, labels = zip(*pairs, strict=True)
        return torch.cat(logits), torch.cat(labels)

    return outputs


def _save(out: Path, model: Model, card: Card) -> None:
    from zoo.models.weights import save

    try:
        save(out, model.module, card)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from None
