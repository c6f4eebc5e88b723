"""Checks of a task's metrics: for correct outputs, for wrong outputs, and for a split repeated twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import cause
from zoo.evaluation.measure import metrics_of
from zoo.interfaces import Batch, CarriesState, State
from zoo.processors import Prediction, Predicts
from zoo.testing._case import Case, Inapplicable, Skip, message
from zoo.testing._tasks import as_outputs, model_of, step_on, summed

# Logits of probabilities near 0 and 1
_CERTAIN = 12.0
# What share of its usual slope a loss may have where outputs are right
_FLAT = 1e-3
# How far to go downhill from right outputs, relative to their distance from those of an untrained model
_STEP = 1e-2
# How much worse than right outputs a random baseline may be, as multiples of what wrong outputs are
_LEAST, _MOST = 0.25, 10


class _Outputs(nn.Module):
    """A model that always returns the same outputs."""

    def __init__(self, outputs: Tensor, *, state: bool) -> None:
        super().__init__()
        self.outputs, self.state = nn.Parameter(outputs.clone()), state

    def forward(self, inputs: Tensor, state: State = None) -> Any:
        return (self.outputs, state) if self.state else self.outputs


def counts_its_items(case: Case) -> None:
    """The count is the number of items, and a split repeated twice has the same metrics as the split."""
    task, preprocess = case.task, case.tiny().preprocess
    sums, count = summed(case, task)
    unit = task.processor.unit(preprocess)
    wanted = task.counts(case.tiny(), "val").get(unit, count)
    assert count == wanted or isinstance(task, CarriesState), message(
        expected=f"a count of {wanted} {unit} in the val split",
        got=f"{count}",
        usually="a step() whose count does not match unit() and counts()",
    )
    doubled = {name: 2 * total for name, total in sums.items()}
    twice = metrics_of(task, doubled, 2 * count, preprocess)
    for name, value in metrics_of(task, sums, count, preprocess).items():
        assert math.isclose(value, twice[name], rel_tol=1e-3, abs_tol=1e-6), message(
            expected=f"{name} {value:.4g} to be the same for the val split repeated twice",
            got=f"{twice[name]:.4g}",
            usually="a sum that metrics() does not divide by the count, or a constant added to a sum",
        )


def better_outputs_score_better(case: Case) -> None:
    """Correct outputs score better than outputs for other items on each metric, and no metric is constant."""
    batch, right, *wrong = _outputs(case)
    best, exchanged, *others = (_metrics(case, batch, outputs) for outputs in (right, *wrong))
    for name, value in best.items():
        claim, not_ = ("higher", "not ") if name in case.spec.higher_is_better else ("lower", "")
        better = value > exchanged[name] if not_ else value < exchanged[name]
        assert better or math.isclose(value, exchanged[name], rel_tol=1e-4, abs_tol=1e-6), message(
            expected=f"correct outputs to have a {claim} {name} than outputs for other items",
            got=f"{value:.4g} and {exchanged[name]:.4g}",
            usually="a loss with the wrong sign"
            if name == "loss"
            else f"a metric that `higher_is_better` should {not_}name",
        )
        depends = any(not math.isclose(value, each[name], rel_tol=1e-6) for each in (exchanged, *others))
        assert depends, message(
            expected=f"{name} to depend on the outputs of a model",
            got=f"{value:.4g} for correct and for wrong outputs",
            usually="a constant in metrics(), or a sum that step() does not add to",
        )


def baseline_is_plausible(case: Case) -> None:
    """The random baseline is near the metrics of wrong outputs."""
    guesses = case.task.baseline(case.tiny().preprocess)
    if not guesses:
        raise Inapplicable("it has no random baseline")
    batch, *outputs = _outputs(case)
    best, *wrong = (_metrics(case, batch, each) for each in outputs)
    for name, guess in guesses.items():
        gaps = [abs(each[name] - best[name]) for each in wrong]
        gap = best[name] - guess if name in case.spec.higher_is_better else guess - best[name]
        low, *_, high = sorted(each[name] for each in wrong)
        assert _LEAST * min(gaps) <= gap <= _MOST * max(gaps), message(
            expected=f"a random baseline for {name} near wrong outputs' value, {low:.3g} to {high:.3g}",
            got=f"{guess:.4g}",
            usually="a unit other than the metric's, or the baseline of a different metric",
        )


def predicts_the_targets(case: Case) -> None:
    """Correct outputs decode back to the targets in the split."""
    processor, preprocess, labels = case.task.processor, case.tiny().preprocess, case.spec.labels
    if not isinstance(processor, Predicts):
        raise Inapplicable("its processor makes no predictions")
    batch, right, *_ = _outputs(case)
    found = processor.predictions(right.numpy(), preprocess)
    if labels is None:
        _require_numbers(found, [case.tiny().split("val")[n][1] for n in range(len(found))])
        return
    names = [*map(str, preprocess[labels[1]])]
    for one, target in zip(found, batch.targets, strict=True):
        held = target.nonzero() if target.is_floating_point() else target[target >= 0]
        expected = {names[number] for number in held.flatten().tolist()}
        first = [value for row in one.rows[:1] for value in row.values() if value in names]
        assert not expected or not first or first[0] in expected, message(
            expected=f"correct outputs to decode back to {' or '.join(sorted(expected))}",
            got=str(first[0]),
            usually="an order of the classes, or a sign, that differs from step()",
        )


def _require_numbers(found: Sequence[Prediction], targets: Sequence[Any]) -> None:
    """Raise AssertionError if predictions have enough numbers for the targets, but different values."""
    wanted = torch.stack([torch.as_tensor(target).double().flatten() for target in targets])
    for one, target in zip(found, wanted, strict=True):
        rows = [value for row in one.rows for value in row.values() if isinstance(value, float)]
        given = torch.tensor(rows if one.values is None else one.values.tolist()).double().flatten()
        if len(given) < max(len(target), 1):
            continue
        far = float((given - target[:, None]).abs().amin(1).max())
        assert far <= 0.05 * float(wanted.std()) + 1e-4 * float(wanted.abs().max()), message(
            expected=f"correct outputs to decode back to {target[0]:.4g}, the target in the split",
            got=f"{given[0]:.4g}",
            usually="outputs whose scaling predictions() does not undo",
        )


def _outputs(case: Case) -> tuple[Batch, Tensor, Tensor, Tensor, Tensor]:
    """Return a batch of the val split, and several outputs for it.

    These are the correct outputs, correct outputs for other items, outputs of an untrained model, and zeros.
    Raises Skip if the correct outputs are unknown.
    """
    batch = next(case.task.eval_batches(case.tiny(), "val"))
    try:
        untrained = _of_model(case, batch)
        right = as_outputs(_of_targets(case, batch), untrained.shape)
        if right is None:
            raise Skip("the correct outputs are unknown: they have another shape than the targets")
        lowest = case.spec.labels is not None or _is_lowest(case, batch, right, untrained)
    except Skip:
        raise
    except Exception as error:  # such as outputs of another form than targets, or a step that needs more
        raise Skip(f"the correct outputs are unknown: {cause(error)}") from None
    if not lowest:
        raise Skip("the correct outputs are unknown: the loss is not lowest at the targets")
    return batch, right, right.roll(1, 0), untrained, torch.zeros_like(untrained)


def _of_model(case: Case, batch: Batch) -> Tensor:
    with torch.no_grad():
        if isinstance(case.task, CarriesState):
            return model_of(case).eval()(batch.inputs, None)[0]
        return model_of(case).eval()(batch.inputs)


def _of_targets(case: Case, batch: Batch) -> Tensor:
    """Return logits that predict the targets' labels with certainty, or the targets if they are numbers."""
    targets, labels = batch.targets, case.spec.labels
    if labels is None:
        return targets.float()
    if not targets.is_floating_point():
        targets = F.one_hot(targets.clamp(min=0), case.tiny().dims[labels[0]])
        targets = targets if isinstance(case.task, CarriesState) else targets.movedim(-1, 1)
    return _CERTAIN * (2.0 * targets - 1)


def _metrics(case: Case, batch: Batch, outputs: Tensor) -> dict[str, float]:
    step = step_on(case, _Outputs(outputs, state=isinstance(case.task, CarriesState)).eval(), batch)
    sums = {name: total.double() for name, total in step.sums.items()}
    return metrics_of(case.task, sums, step.count, case.tiny().preprocess)


def _is_lowest(case: Case, batch: Batch, right: Tensor, untrained: Tensor) -> bool:
    """Return whether the loss has a minimum at the right outputs, which may be a kink."""
    (loss, slope), (_, usual) = (_loss_and_slope(case, batch, outputs) for outputs in (right, untrained))
    if slope.norm() <= _FLAT * usual.norm():
        return True
    step = _STEP * float((untrained - right).norm()) / slope.norm()
    downhill, _ = _loss_and_slope(case, batch, right - step * slope)
    return downhill >= loss


def _loss_and_slope(case: Case, batch: Batch, outputs: Tensor) -> tuple[float, Tensor]:
    """Return the loss, and how much a small change in each of the outputs changes it."""
    model = _Outputs(outputs, state=isinstance(case.task, CarriesState))
    loss = step_on(case, model, batch).loss
    (slope,) = torch.autograd.grad(loss, [model.outputs])
    return float(loss.detach()), slope
