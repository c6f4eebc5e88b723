"""The proof of an exported program: the answers of the model that it was made from, item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Subset

from zoo.data.views import View
from zoo.errors import DataError, OptionError, WeightsError
from zoo.inference.programs import Runner
from zoo.interfaces import CarriesState, Dataset, PreparesInputs, Split, Task
from zoo.models.hooks import evaluating
from zoo.processors import TakesItems
from zoo.seeds import seed_for

__all__ = ["ITEMS", "Proof", "drawn", "prove"]

# Items of a split that are tried, if it has as many
ITEMS = 2_000
# Sizes of batches that are tried, and numbers of tokens
_BATCHES, _LENGTHS = (1, 2, 5, 64), (1, 3, 100)
# Differences of the logits, relative to the largest of them, that rounding cannot explain
_MOST = 1e-3


@dataclass(slots=True)
class Proof:
    """What was found when a program and its model were given the same items.

    Attributes:
        items: how many were compared one by one.
        total: how many there are in the split.
        disagreements: items answered differently, the two best logits being closer to each other than
            `largest_difference`.
        largest_difference: between the logits of the program and those of the model.
    """

    total: int = 0
    items: int = 0
    disagreements: int = 0
    largest_difference: float = 0.0
    largest_logit: float = 1.0

    def compare(self, ours: NDArray[Any], theirs: NDArray[Any], what: str) -> None:
        """Compare what the model and the program give. Raises WeightsError if rounding cannot explain it."""
        difference = float(np.abs(ours - theirs).max(initial=0.0))
        self.largest_logit = max(self.largest_logit, float(np.abs(ours).max(initial=0.0)))
        self.largest_difference = max(self.largest_difference, difference)
        if not difference <= _MOST * self.largest_logit:  # nor if it is not a number
            raise refused(f"its results for {what} differ by {difference:.2g} from the model's")


def refused(why: str) -> WeightsError:
    """Return the error for a program that is not what it was made from."""
    hint = "no file was written; this is a bug of the exporter, or of a layer that it cannot write"
    return WeightsError(f"the exported program is wrong: {why}", hint=hint)


def drawn(task: Task, arguments: dict[str, Any], preprocess: dict[str, Any]) -> Dataset:
    """Return as many items drawn at random as are tried of a split, for a model whose data is not here."""
    generator = torch.Generator().manual_seed(seed_for(0, "export"))
    if isinstance(task, CarriesState):
        if task.spec.labels is None:
            raise OptionError(f"no inputs can be drawn for {task.name}, whose spec names no labels")
        items: Any = torch.randint(arguments[task.spec.labels[0]], (ITEMS + 1,), generator=generator)
    else:
        assert isinstance(task.processor, TakesItems)
        item = torch.from_numpy(task.processor.item(arguments))
        items = [(item, -1) for item in _random(item, ITEMS, generator)]
    return View(dims=arguments, preprocess=preprocess, split=lambda name: items if name == "test" else [])


@torch.no_grad()
def prove(
    runner: Runner,
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    split: Split,
    *,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Proof:
    """Compare a program with its model, on a split as `zoo eval` reads it, and in batches of several sizes.

    Raises:
        DataError: the split is empty.
        WeightsError: the program answers otherwise.
    """
    with evaluating(model):
        if isinstance(task, CarriesState):
            return _prove_steps(runner, model, task, dataset, split, report)
        return _prove_items(runner, model, task, dataset, split, report)


def _prove_items(
    runner: Runner,
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    split: Split,
    report: Callable[[int, int], None],
) -> Proof:
    assert isinstance(task, PreparesInputs)
    items = dataset.split(split)
    count = min(len(items), ITEMS)
    if count == 0:
        raise DataError(f"the {split} split is empty")
    some = Subset[Any](items, range(count))  # pyright: ignore[reportArgumentType] - any map-style dataset
    view = View(
        dims=dataset.dims, preprocess=dataset.preprocess, split=lambda name: some if name == split else []
    )
    proof, answers = Proof(total=len(items)), _Answers(task)
    raw = torch.stack([torch.as_tensor(items[n][0]) for n in range(min(64, count))])
    raw = raw[torch.arange(64) % len(raw)]
    whole = model(task.prepare(raw, dataset.preprocess)).float().numpy()
    for size in _BATCHES:
        parts = [runner(raw[at : at + size].numpy()) for at in range(0, 64, size)]
        logits = np.concatenate([part[runner.signature.outputs[0].name] for part in parts])
        proof.compare(whole, logits, f"batches of {size}")
        _require_probabilities(task, whole, parts)
    for batch in task.eval_batches(view, split):
        inputs = [torch.as_tensor(items[n][0]) for n in range(proof.items, proof.items + len(batch.inputs))]
        ours = model(batch.inputs).float().numpy()
        theirs = [runner.first(torch.stack(inputs[at : at + 64]).numpy()) for at in range(0, len(inputs), 64)]
        answers.add(ours, np.concatenate(theirs))
        proof.compare(ours, np.concatenate(theirs), f"images of the {split} split")
        proof.items += len(ours)
        report(proof.items, count)
    return answers.judged(proof, task.processor.unit(dataset.preprocess))


def _prove_steps(
    runner: Runner,
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    split: Split,
    report: Callable[[int, int], None],
) -> Proof:
    tokens = dataset.split(split)
    if len(tokens) < 2:
        raise DataError(f"the {split} split is empty")
    some = tokens[: ITEMS + 1]
    view = View(
        dims=dataset.dims, preprocess=dataset.preprocess, split=lambda name: some if name == split else []
    )
    proof, answers = Proof(total=len(tokens) - 1), _Answers(task)
    for lanes in _BATCHES:
        for length in _LENGTHS:
            read = some[torch.arange(lanes * length) % len(some)].long().view(length, lanes)
            ours = model(read, None)[0].float().numpy()
            half, state = (length + 1) // 2, None
            theirs: list[NDArray[Any]] = []
            for part in (read[:half], read[half:]):  # two halves are the whole
                logits, state = _stepped(runner, part, state)
                theirs += logits
            proof.compare(ours, np.stack(theirs), f"{lanes} lanes of {length} tokens")
    ours_state = theirs_state = None
    for batch in task.eval_batches(view, split):
        if batch.fresh:
            ours_state = theirs_state = None
        logits, ours_state, *_ = model(batch.inputs, ours_state)
        steps, theirs_state = _stepped(runner, batch.inputs, theirs_state)
        ours, theirs_ = logits.float().flatten(0, 1).numpy(), np.concatenate(steps)
        answers.add(ours, theirs_)
        proof.compare(ours, theirs_, f"tokens of the {split} split")
        proof.items += len(ours)
        report(proof.items, len(some) - 1)
    return answers.judged(proof, task.processor.unit(dataset.preprocess))


def _stepped(runner: Runner, tokens: Tensor, state: Any) -> tuple[list[NDArray[Any]], Any]:
    """Return the logits after each of some tokens (T, B), and the state."""
    logits: list[NDArray[Any]] = []
    for row in tokens.numpy():
        after, state = runner.step(row, state)
        logits.append(after)
    return logits, state


def _require_probabilities(task: Task, logits: NDArray[Any], parts: list[Any]) -> None:
    """Raise WeightsError if the second output is not the probabilities of the first."""
    if task.spec.labels is None:
        return
    ours = task.probabilities(torch.from_numpy(logits)).numpy()
    theirs = np.concatenate([part["probabilities"] for part in parts])
    if not np.abs(ours - theirs).max() <= _MOST:
        raise refused("its probabilities are not those of its logits")


class _Answers:
    """What both answer, and how far from another answer each was."""

    def __init__(self, task: Task) -> None:
        self._labels, self._exclusive = task.spec.labels, task.spec.exclusive
        self._margins: list[NDArray[Any]] = []

    def add(self, ours: NDArray[Any], theirs: NDArray[Any]) -> None:
        """Note the items that are answered differently, each with its widest margin."""
        if self._labels is None or not len(ours):
            return
        if self._exclusive:
            best = np.sort(ours, 1)
            differ = ours.argmax(1) != theirs.argmax(1)
            margins = best[:, -1] - best[:, -2] if best.shape[1] > 1 else np.zeros_like(best[:, 0])
        else:
            differ, margins = (ours >= 0) != (theirs >= 0), np.abs(ours)
        margins = np.where(differ, margins, -1.0).reshape(len(ours), -1).max(1)
        self._margins.append(margins[margins >= 0])

    def judged(self, proof: Proof, unit: str) -> Proof:
        """Return the proof with its disagreements. Raises WeightsError if one is more than rounding."""
        margins = np.concatenate(self._margins) if self._margins else np.zeros(0)
        wrong = int((margins >= proof.largest_difference).sum())
        if wrong:
            raise refused(f"it answers {wrong:,} of {proof.items:,} {unit} differently")
        proof.disagreements = len(margins)
        return proof


def _random(item: Tensor, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(count):
        if item.is_floating_point():
            yield torch.randn(item.shape, generator=generator)
        else:
            yield torch.randint(256, item.shape, generator=generator).to(item.dtype)
