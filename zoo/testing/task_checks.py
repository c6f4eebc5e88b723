"""Checks of a task: its tiny dataset, its batches, its step, its metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import OptionError
from zoo.evaluation.measure import metrics_of, numbers
from zoo.interfaces import SPLITS, Batch, CarriesState, Task
from zoo.models.hooks import watching
from zoo.processors import Prediction, Predicts, Processor, Scores, TakesItems
from zoo.testing._case import Case, Inapplicable, failing, is_json, message, require_instance
from zoo.testing._data import require_splits
from zoo.testing._fresh import Fresh
from zoo.testing._tasks import measured, model_of, same, step_on, summed, training

# Items of a repeated split: a prime, so that no usual batch size divides it
_MANY = 1_009


def makes_a_task(case: Case) -> None:
    """The target, called with the spec, returns a `zoo.interfaces.Task`; `processor` is a Processor."""
    made = case.spec.load()(case.spec)
    require_instance(made, Task, "a zoo.interfaces.Task", usually="a class that is not a Task")
    usually = "a class that does not subclass Processor"
    require_instance(made.processor, Processor, "a zoo.plugin.Processor", usually=usually)


def tiny_data_fits(case: Case) -> None:
    """The tiny dataset has the spec's dims and labels and three splits, and can be fed to a float32 model."""
    data, labels = case.tiny(), case.spec.labels
    dims = dict(data.dims)
    assert dims.keys() == case.spec.dims.keys(), message(
        expected=f"a tiny dataset with the dims {', '.join(case.spec.dims)}",
        got=", ".join(dims) or "none",
        usually="a misspelled or forgotten dim, in the spec or in the dataset",
    )
    require_splits(data)
    empty = [name for name in SPLITS if not len(data.split(name))]
    assert not empty, message(
        expected="items in every split of the tiny dataset",
        got=f"no items in {', '.join(empty)}",
        usually="a dataset that is too small to be split",
    )
    if labels is not None:
        count = len(data.preprocess[labels[1]])
        assert count == dims[labels[0]], message(
            expected=f"{dims[labels[0]]} {labels[1]}, to match {labels[0]}",
            got=str(count),
            usually="names of a different dataset",
        )
    with failing(
        OptionError,
        expected="check_feeding() to accept the tiny dataset",
        usually="a key of `preprocess` that the dataset lacks, or a value out of range, such as a std of 0",
    ):
        case.task.processor.check_feeding(data.preprocess, dims)
    if not isinstance(case.task, CarriesState):
        first = next(iter(case.task.batches_of([data.split("val")[0]], data.preprocess)))
        assert first.inputs.dtype != torch.float64, message(
            expected="inputs of the tiny dataset in float32, as the weights of a model",
            got="float64",
            usually="numbers from NumPy or pandas; convert items with float()",
        )


def batches_follow_from_their_place(case: Case) -> None:
    """The same seed and epoch yield the same batches, even if a resumed run starts at a later batch."""
    whole, again = (training(case) for _ in range(2))
    assert same(whole, again), message(
        expected="the same training batches twice",
        got="different batches",
        usually="random numbers without a generator seeded with zoo.seed_for(seed, ..., epoch, index)",
    )
    _require_preprocess(whole[0], case.tiny().preprocess)
    places = [(batch.index, batch.total) for batch in whole]
    assert places == [(number, len(whole)) for number in range(len(whole))], message(
        expected=f"index 0 to {len(whole) - 1} and total={len(whole)}",
        got=f"{[index for index, _ in places]} and total={places[0][1]}",
        usually="positions counted from 1, from the start of a resumed epoch, or in items",
    )
    late = training(case, start=1)
    assert same(whole[1:], late), message(
        expected="start=1 to skip the first batch and change nothing else",
        got=f"{len(late)} batches, some of which differ",
        usually="random numbers that depend on earlier batches, or an ignored `start`",
    )


def parts_make_the_batch(case: Case) -> None:
    """The combined parts of several processes equal the batches of a single process."""
    side = int(isinstance(case.task, CarriesState))
    for world_size in (2, 3):
        ranks = [training(case, rank=rank, world_size=world_size) for rank in range(world_size)]
        lengths = sorted({len(batches) for batches in (training(case), *ranks)})
        assert len(lengths) == 1, message(
            expected=f"the same number of batches in each of {world_size} processes as in one",
            got=" or ".join(map(str, lengths)),
            usually="an epoch divided among processes; divide each batch instead",
        )
        for whole, *parts in zip(training(case), *ranks, strict=True):
            counted = [part for part in parts if part.share]
            inputs = torch.cat([part.inputs for part in counted], side)
            targets = torch.cat([part.targets for part in counted], side)
            same = torch.equal(inputs, whole.inputs) and torch.equal(targets, whole.targets)
            assert same, message(
                expected=f"the batch {whole.index} of one process, cut into {world_size} parts by part_of()",
                got="different inputs or targets",
                usually="random numbers that depend on `rank`, or an ignored `rank`",
            )
            share = sum(part.share for part in parts)
            assert math.isclose(share, 1), message(
                expected=f"shares of batch {whole.index} that add up to 1",
                got=f"{share:g}",
                usually="a Batch without the `share` that part_of() returns",
            )


def evaluates_each_item_once(case: Case) -> None:
    """Every item of a split is evaluated exactly once, always in the same order.

    The items of a split are also repeated, so that there are several batches, the last of which is short.
    """
    for name in SPLITS:
        first, again = ([*case.task.eval_batches(case.tiny(), name)] for _ in range(2))
        assert same(first, again), message(
            expected=f"the same batches of the {name} split twice",
            got="different batches",
            usually="shuffling or augmentation in batches_of()",
        )
        _require_preprocess(first[0], case.tiny().preprocess)
        if not isinstance(case.task, CarriesState):
            count, wanted = sum(len(batch.inputs) for batch in first), len(case.tiny().split(name))
            assert count == wanted, message(
                expected=f"{wanted} items of the {name} split",
                got=str(count),
                usually="a last batch left out",
            )
    if not isinstance(case.task, CarriesState):
        batches = [*case.task.batches_of(_Repeated(case.tiny().split("val")), case.tiny().preprocess)]
        count = sum(len(batch.inputs) for batch in batches)
        assert count == _MANY, message(
            expected=f"{_MANY:,} items, after the val split was repeated",
            got=f"{count:,} in batches of {len(batches[0].inputs)}",
            usually="a last batch left out because it is short",
        )


class _Repeated:
    """The items of a split, over and over."""

    def __init__(self, split: Any) -> None:
        self._split = split

    def __len__(self) -> int:
        return _MANY

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < _MANY:
            raise IndexError(index)
        return self._split[index % len(self._split)]


def _require_preprocess(batch: Batch, preprocess: Mapping[str, Any]) -> None:
    assert dict(batch.preprocess) == dict(preprocess), message(
        expected="batches with the `preprocess` of the dataset, which losses and metrics may need",
        got="another one" if batch.preprocess else "none",
        usually="a Batch without `preprocess=`",
    )


def step_gives_loss_and_sums(case: Case) -> None:
    """A step returns a differentiable loss, and detached sums; `loss` / count equals the loss.

    It does not change the mode of the model, which sees the inputs and never the targets.
    """
    model, batch = model_of(case).train(), training(case)[0]
    _require_honest_step(case, batch)
    made = step_on(case, model, batch)
    assert made.loss.ndim == 0, message(
        expected="a scalar loss", got=f"a loss of shape {tuple(made.loss.shape)}", usually="reduction='none'"
    )
    assert made.loss.requires_grad, message(
        expected="a loss with a gradient", got="none", usually="a detach(), or a loss computed with NumPy"
    )
    attached = [name for name, total in made.sums.items() if total.requires_grad]
    assert not attached, message(
        expected="detached sums",
        got=f"a gradient in {', '.join(attached)}",
        usually="a missing detach(), which keeps every batch of an epoch in memory",
    )
    loss, mean = float((made.loss - made.penalty).detach()), float(made.sums["loss"]) / made.count
    assert math.isclose(loss, mean, rel_tol=1e-3, abs_tol=1e-6), message(
        expected=f"sums['loss'] / count to be the loss, {loss:.4g}",
        got=f"{mean:.4g}",
        usually="a mean instead of a sum, or a wrong count",
    )


def _require_honest_step(case: Case, batch: Batch) -> None:
    """Raise AssertionError if a step in eval mode changes the mode, or shows the targets to the model."""
    model, outputs = model_of(case).eval(), list[Any]()
    others = replace(batch, targets=batch.targets.flip([*range(min(2, batch.targets.ndim))]))
    for each in (batch, others):
        with watching({"": model}, lambda _, output: outputs.append(output)), torch.no_grad():
            step_on(case, model, each)
        assert not model.training, message(
            expected="a model that is still in eval mode after a step",
            got="a model in training mode",
            usually="model.train() in step(); zoo sets the mode",
        )
    first, second = (each[0] if isinstance(each, tuple) else each for each in outputs[:: len(outputs) // 2])
    assert torch.equal(first, second), message(
        expected="outputs of the model that do not depend on the targets",
        got="other outputs for other targets",
        usually="targets among the inputs of the model, as in teacher forcing; pass them through `inputs`",
    )


def sums_add_up(case: Case) -> None:
    """Sums and counts of a batch's halves add up to the batch's: metrics do not depend on batching."""
    model, lane = model_of(case).eval(), 1 if isinstance(case.task, CarriesState) else 0
    batch = next(case.task.eval_batches(case.tiny(), "val"))
    middle = batch.inputs.shape[lane] // 2
    parts = [
        replace(batch, inputs=inputs, targets=targets)
        for inputs, targets in zip(
            *(part.tensor_split([middle], lane) for part in (batch.inputs, batch.targets)), strict=True
        )
    ]
    with torch.no_grad():
        steps = [step_on(case, model, part) for part in (batch, *parts)]
    whole, *halves = ({**step.sums, "count": torch.tensor(step.count)} for step in steps)
    for name, total in whole.items():
        added = sum(half[name].double() for half in halves)
        assert torch.allclose(torch.as_tensor(added), total.double(), rtol=1e-3, atol=1e-4), message(
            expected=f"{name} of two halves to add up to that of the whole batch",
            got="another value",
            usually="a mean, a maximum or a share instead of a sum, or a count of something other than items",
        )


def items_add_up(case: Case) -> None:
    """Values of items, if the task provides them, add up to the sums, and give the same metrics."""
    model, preprocess = model_of(case).eval(), case.tiny().preprocess
    batch = next(case.task.eval_batches(case.tiny(), "val"))
    with torch.no_grad():
        step = step_on(case, model, batch)
        items = step.items() if step.items else {}
    if not items or items.keys() < step.sums.keys():
        raise Inapplicable("its steps have no items for every sum, so zoo computes no intervals")
    axes = 2 if isinstance(case.task, CarriesState) else 1
    wrong = [name for name in items if name not in step.sums]
    wrong += [name for name, values in items.items() if values.shape[:axes] != batch.targets.shape[:axes]]
    assert not wrong, message(
        expected=f"a value of each item for some of the sums {', '.join(step.sums)}",
        got=", ".join(f"{name} {tuple(items[name].shape)}" for name in wrong),
        usually="a misspelled sum, or values that were already added up",
    )
    sums = {name: _added(values.flatten(0, axes - 1), step.sums[name]) for name, values in items.items()}
    for name, total in sums.items():
        assert torch.allclose(total, step.sums[name].double(), 1e-3, 1e-4), message(
            expected=f"{name} of all items to add up to the sum",
            got="another value",
            usually="a mean, or int64 values, which are positions in the flattened sum",
        )
    metrics = case.task.metrics(numbers(step.sums), step.count, preprocess)
    again = case.task.metrics(numbers(sums), step.count, preprocess)
    true = {name: values for name, values in items.items() if values.dtype == torch.bool and name in metrics}
    again |= {name: float(values.double().mean()) for name, values in true.items()}
    for name, value in again.items():
        assert math.isclose(value, metrics[name], rel_tol=1e-3, abs_tol=1e-6), message(
            expected=f"{name} from the values of items to be {metrics[name]:.4g}",
            got=f"{value:.4g}",
            usually="Boolean values with the name of a metric that is not a proportion, or a missing sum",
        )


def _added(values: Tensor, total: Tensor) -> Tensor:
    """Return the sum over items (N, ...) for `Step.items`, in the shape of the task's own sum."""
    if values.dtype != torch.int64:
        return values.double().sum(0).expand_as(total)
    counts = torch.zeros(total.numel(), dtype=torch.float64)
    return counts.index_add_(0, values.flatten(), torch.ones(values.numel(), dtype=torch.float64)).view_as(
        total
    )


def metrics_are_numbers(case: Case) -> None:
    """Metrics, including the primary metric and the loss, are finite numbers; details are JSON data."""
    task, preprocess = case.task, case.tiny().preprocess
    sums, count = summed(case, task)
    metrics, details = task.metrics(numbers(sums), count, preprocess), task.details(sums, preprocess)
    wrong = [name for name, value in metrics.items() if not (type(value) is float and math.isfinite(value))]
    assert not wrong, message(
        expected="a finite float for every metric",
        got=", ".join(f"{name}={metrics[name]!r}" for name in wrong),
        usually="a tensor, or a division by zero",
    )
    missing = [name for name in (case.spec.primary_metric, "loss") if name not in metrics]
    assert not missing, message(
        expected=f"the metrics {case.spec.primary_metric} and loss",
        got=", ".join(metrics),
        usually="a primary metric with a different name in metrics()",
    )
    large = [
        name
        for name in case.spec.higher_is_better
        if case.spec.units.get(name) == "%" and metrics.get(name, 0) > 1
    ]
    assert not large, message(
        expected="at most 1 for a metric in %, which is a fraction",
        got=", ".join(f"{name}={metrics[name]:g}" for name in large),
        usually="a percentage from 0 to 100; divide it by 100",
    )
    misspelled = {*case.spec.higher_is_better} - metrics.keys() - case.spec.units.keys()
    assert not misspelled, message(
        expected=f"higher_is_better to name only {', '.join(metrics)}, or other metrics that have a unit",
        got=", ".join(sorted(misspelled)),
        usually="a misspelled metric, for which lower would count as better",
    )
    assert is_json(details), message(
        expected="details as JSON data",
        got="data that a JSON round trip changes",
        usually="tensors, tuples, or numbers as keys",
    )


def baseline_is_of_its_metrics(case: Case) -> None:
    """The random baseline has some of the metrics, or is empty."""
    metrics = measured(case, case.task)
    level = case.task.baseline(case.tiny().preprocess)
    if not level:
        raise Inapplicable("it has no random baseline")
    other = [name for name in level if name not in metrics]
    assert not other, message(
        expected=f"a random baseline of {', '.join(metrics)}",
        got=f"a baseline of {', '.join(other)}",
        usually="a misspelled metric",
    )


def prepares_its_items(case: Case) -> None:
    """prepare() and batches_of() treat items alike, and `exclusive` matches the probabilities."""
    task, data = case.task, case.tiny()
    processor = task.processor
    if not isinstance(processor, TakesItems | Predicts):
        raise Inapplicable("its processor neither predicts nor exports")
    batch = next(case.task.eval_batches(data, "val"))
    items = torch.stack([torch.as_tensor(data.split("val")[n][0]) for n in range(len(batch.inputs))])
    if isinstance(processor, TakesItems):
        made = torch.from_numpy(processor.item(data.dims))
        assert (made.dtype, made.shape) == (items.dtype, items.shape[1:]), message(
            expected=f"item() to return {items.dtype} {tuple(items.shape[1:])}, as in the splits",
            got=f"{made.dtype} {tuple(made.shape)}",
            usually="an item as the model sees it, after prepare()",
        )
    prepared = task.prepare(items, data.preprocess)
    alike = prepared.shape == batch.inputs.shape and torch.allclose(prepared, batch.inputs, atol=1e-5)
    assert alike, message(
        expected="prepare() to treat items as batches_of() does",
        got="different inputs",
        usually="a normalization in only one of them",
    )
    if case.spec.labels is None:
        return
    chances = case.task.probabilities(torch.tensor([[2.0, -1.0, 0.5, 3.0]]))
    one = bool((chances.sum(1) - 1).abs().max() < 1e-4)
    assert one == case.spec.exclusive, message(
        expected=f"probabilities that {'add' if case.spec.exclusive else 'do not add'} up to 1",
        got=f"a sum of {chances.sum().item():.2f}",
        usually="a wrong `exclusive` in the spec; a multi-label task has `exclusive=False`",
    )


def answers_each_input(case: Case) -> None:
    """A task with predictions returns JSON data for each input of a batch, as if the input were alone.

    For sequences, score() returns the same metrics as an evaluation of the model.
    """
    processor, data = case.task.processor, case.tiny()
    if isinstance(processor, Scores):
        _scores_as_it_measures(case, processor)
        return
    if not isinstance(processor, Predicts):
        raise Inapplicable("its processor makes no predictions")
    outputs = _outputs(case)
    found = list[Any](processor.predictions(outputs, data.preprocess))
    right = [one for one in found if isinstance(one, Prediction)]
    assert len(right) == len(found) == len(outputs), message(
        expected=f"a zoo.plugin.Prediction for each of {len(outputs)} inputs",
        got=f"{len(right)} of them",
        usually="predictions for the batch as a whole",
    )
    answers = [list(map(dict, one.rows)) for one in found]
    assert is_json(answers), message(
        expected="predictions as JSON data",
        got="data that a JSON round trip changes",
        usually="arrays and NumPy numbers; convert them with tolist()",
    )
    (alone,) = processor.predictions(outputs[:1], data.preprocess)
    assert _alike(list(map(dict, alone.rows)), answers[0]), message(
        expected="the same prediction for an input alone and in a batch",
        got="a different prediction",
        usually="a softmax or a maximum over the batch instead of the classes",
    )
    if case.spec.labels:
        most = max(len(one.rows) for one in processor.predictions(outputs, data.preprocess, top=1))
        assert most <= 1, message(
            expected="at most one prediction with top=1", got=f"{most}", usually="an ignored `top`"
        )


def _scores_as_it_measures(case: Case, processor: Scores) -> None:
    task, data = case.task, case.tiny()
    tokens, outputs = _sequence(case)
    (found,) = processor.score([outputs[:3], outputs[3:]], tokens, data.preprocess).rows
    assert isinstance(task, CarriesState)
    (batch,) = task.lane_batches(torch.from_numpy(tokens), lanes=1, steps=len(tokens))
    step = task.step(model_of(case).eval(), batch)
    measured = metrics_of(task, step.sums, step.count, data.preprocess)
    scored = {name: found.get(name, math.nan) for name in measured}
    assert _alike([scored], [measured]), message(
        expected=f"score() to return the metrics of an evaluation, {measured}",
        got=str(scored),
        usually="a mean over all tokens, although the first token is not predicted",
    )


def _outputs(case: Case) -> NDArray[Any]:
    """Return the outputs of a model for a batch."""
    batch = next(case.task.eval_batches(case.tiny(), "val"))
    with torch.no_grad():
        return model_of(case).eval()(batch.inputs).float().numpy()


def _sequence(case: Case) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return some tokens, (8,), and the model's outputs after each token except the last."""
    tokens = torch.as_tensor(case.tiny().split("val")[:8]).long()
    with torch.no_grad():
        outputs = model_of(case).eval()(tokens[:-1, None], None)[0]
    return tokens.numpy(), outputs[:, 0].float().numpy()


def processes_without_torch(case: Case) -> None:
    """The processor accepts a card, and makes the same predictions with and without torch installed.

    A one-file plugin also contains its models, and may therefore import torch.
    """
    processor, data = case.task.processor, case.tiny()
    request = {"task": case.spec.name, "preprocess": dict(data.preprocess), "dims": dict(data.dims)}
    predictions: Sequence[Prediction] = ()
    if isinstance(processor, Scores):
        tokens, outputs = _sequence(case)
        request |= {"outputs": outputs.tolist(), "tokens": tokens.tolist()}
        predictions = [processor.score([outputs], tokens, data.preprocess)]
    elif isinstance(processor, Predicts):
        outputs = _outputs(case)
        request["outputs"] = outputs.tolist()
        predictions = processor.predictions(outputs, data.preprocess)
    here = [dict(answer) for one in predictions for answer in one.rows]
    with failing(
        expected="the processor to work without torch",
        usually="`import torch` in its module, or in one that it imports",
    ):
        found = Fresh(case.plugin).ask("process", **request)
    assert _alike(here, found), message(
        expected="the same predictions with and without torch",
        got="others",
        usually="random numbers, or an order that differs between processes",
    )


def _alike(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Return whether predictions are equal up to rounding."""
    pairs = [(a[key], b.get(key, math.nan)) for a, b in zip(one, other, strict=False) for key in a]
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6) if isinstance(a, float) else a == b for a, b in pairs
    )
