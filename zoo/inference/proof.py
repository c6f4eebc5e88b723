"""The proof of an exported program: the answers of the model that it was made from, item by item."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Subset

from zoo.data.views import View
from zoo.errors import DataError, OptionError, WeightsError
from zoo.files.exported import FEATURES
from zoo.inference.programs import Arrays, Runner
from zoo.interfaces import CarriesState, Dataset, PreparesInputs, Split, State, Task
from zoo.models.features import Features, features_of, pooled
from zoo.models.hooks import evaluating
from zoo.processors import TakesItems
from zoo.seeds import seed_for

__all__ = ["ITEMS", "Proof", "drawn", "prove"]

# Items of a split that are tried, if it has as many
ITEMS = 2_000
# Sizes of batches that are tried, and numbers of tokens
_BATCHES, _LENGTHS = (1, 2, 5, 64), (1, 3, 100)
# Differences of the logits, relative to the largest of them, that rounding cannot explain; where a network
# amplifies it from step to step, it explains so many times what the model itself, up to a step, differs by in
# float64: the first differences may be that far apart, and all grow alike
_MOST, _TIMES = 1e-3, 100


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
    _largest: dict[str, float] = field(default_factory=dict[str, float])

    def compare(
        self, ours: Arrays, theirs: Arrays, what: str, exact: Callable[[], Arrays] | None = None
    ) -> None:
        """Compare the outputs of the model with those of the program, whose names they have.

        Args:
            exact: returns the outputs of the model in float64, if rounding can grow from step to step.

        Raises WeightsError if rounding cannot explain a difference.
        """
        for name, wanted in ours.items():
            differences = _largest(wanted - theirs[name])
            difference = float(differences.max(initial=0.0))
            largest = max(self._largest.get(name, 1.0), float(np.abs(wanted).max(initial=0.0)))
            self._largest[name] = largest
            if name != FEATURES:
                self.largest_difference = max(self.largest_difference, difference)
            allowed: Any = _MOST * largest
            if exact and difference > allowed:
                own = _largest(wanted - exact()[name])
                allowed = np.maximum(allowed, _TIMES * np.maximum.accumulate(own))
            if not (differences <= allowed).all():  # nor if it is not a number
                raise refused(f"its {name} for {what} differ by {difference:.2g} from the model's")


def _largest(differences: NDArray[Any]) -> NDArray[Any]:
    """Return the largest difference of each item or step, the first dimension."""
    return np.abs(differences).max(axis=tuple(range(1, differences.ndim)), initial=0.0)


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
    landmarks: Mapping[str, str],
    task: Task,
    dataset: Dataset,
    split: Split,
    *,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Proof:
    """Compare a program with its model, on a split as `zoo eval` reads it, and in batches of several sizes.

    Args:
        landmarks: where the model's features are, if the program has features.

    Raises:
        DataError: the split is empty.
        WeightsError: the program answers otherwise.
    """
    with evaluating(model):
        reference = _Reference(model, landmarks, runner.outputs)
        prove_all = _prove_steps if isinstance(task, CarriesState) else _prove_items
        return prove_all(runner, reference, task, dataset, split, report)


class _Reference:
    """The model that a program was made from, with the names of the program's outputs.

    Args:
        landmarks: where its features are.
    """

    def __init__(self, model: nn.Module, landmarks: Mapping[str, str], outputs: Sequence[str]) -> None:
        self._model, self._outputs, self._name = model, outputs, outputs[0]
        self._landmarks = landmarks if FEATURES in outputs else {}

    def __call__(self, inputs: Tensor) -> Arrays:
        """Return the answers to a batch and, if the program has them, the features of each item, (B, F)."""
        with self._watched(time_first=False) as features:
            answers = self._model(inputs)
        found = {FEATURES: pooled(features.output).numpy()} if features else {}
        return {self._name: answers.float().numpy(), **found}

    def read(self, tokens: Tensor, state: State) -> tuple[Arrays, State]:
        """Return the logits (T, B, V) after tokens (T, B), perhaps the features (T, B, F), and the state."""
        with self._watched(time_first=True) as features:
            logits, state, *_ = self._model(tokens, state)
        found = {FEATURES: features.output.float().numpy()} if features else {}
        return {self._name: logits.float().numpy(), **found}, state

    def exactly(self, pieces: Sequence[Tensor]) -> Arrays:
        """Return what `read` returns for the last of several pieces of text, computed in float64.

        In float32 if a layer cannot compute in float64.
        """
        double = _Reference(copy.deepcopy(self._model).double(), self._landmarks, self._outputs)
        try:
            return double._after(pieces)
        except RuntimeError:
            return self._after(pieces)

    def _after(self, pieces: Sequence[Tensor]) -> Arrays:
        state, outputs = None, dict[str, NDArray[Any]]()
        for tokens in pieces:
            outputs, state = self.read(tokens, state)
        return outputs

    def _watched(self, *, time_first: bool) -> AbstractContextManager[Features | None]:
        if not self._landmarks:
            return nullcontext()
        return features_of(self._model, self._landmarks, time_first=time_first)


def _prove_items(
    runner: Runner,
    model: _Reference,
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
    proof, answers, logits = Proof(total=len(items)), _Answers(task), runner.outputs[0]
    raw = torch.stack([torch.as_tensor(items[n][0]) for n in range(min(64, count))])
    raw = raw[torch.arange(64) % len(raw)]
    whole = model(task.prepare(raw, dataset.preprocess))
    for size in _BATCHES:
        found = _in_parts(runner, raw, size)
        proof.compare(whole, found, f"batches of {size}")
        _require_probabilities(task, whole[logits], found)
    for batch in task.eval_batches(view, split):
        inputs = [torch.as_tensor(items[n][0]) for n in range(proof.items, proof.items + len(batch.inputs))]
        ours, theirs = model(batch.inputs), _in_parts(runner, torch.stack(inputs), 64)
        answers.add(ours[logits], theirs[logits])
        proof.compare(ours, theirs, f"images of the {split} split")
        proof.items += len(inputs)
        report(proof.items, count)
    return answers.judged(proof, task.processor.unit(dataset.preprocess))


def _in_parts(runner: Runner, items: Tensor, size: int) -> Arrays:
    """Return what a program gives for items in batches of a size, put together."""
    parts = [runner(items[at : at + size].numpy()) for at in range(0, len(items), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in runner.outputs}


def _prove_steps(
    runner: Runner,
    model: _Reference,
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
    proof, answers, logits = Proof(total=len(tokens) - 1), _Answers(task), runner.outputs[0]
    for lanes in _BATCHES:
        for length in _LENGTHS:
            read = some[torch.arange(lanes * length) % len(some)].long().view(length, lanes)
            ours, _ = model.read(read, None)
            half, state, theirs = (length + 1) // 2, None, list[Arrays]()
            for part in (read[:half], read[half:]):  # two halves are the whole
                found, state = _stepped(runner, part, state)
                theirs += found
            exact = partial(model.exactly, [read])
            proof.compare(ours, _over_time(theirs, ours), f"{lanes} lanes of {length} tokens", exact)
    ours_state, theirs_state, pieces = None, None, list[Tensor]()
    for batch in task.eval_batches(view, split):
        if batch.fresh:
            ours_state, theirs_state, pieces = None, None, []
        pieces.append(batch.inputs)
        ours, ours_state = model.read(batch.inputs, ours_state)
        found, theirs_state = _stepped(runner, batch.inputs, theirs_state)
        theirs = _over_time(found, ours)
        answers.add(*(outputs[logits].reshape(-1, outputs[logits].shape[-1]) for outputs in (ours, theirs)))
        proof.compare(ours, theirs, f"tokens of the {split} split", partial(model.exactly, pieces))
        proof.items += batch.inputs.numel()
        report(proof.items, len(some) - 1)
    return answers.judged(proof, task.processor.unit(dataset.preprocess))


def _stepped(runner: Runner, tokens: Tensor, state: Arrays | None) -> tuple[list[Arrays], Arrays | None]:
    """Return what a program gives after each of some tokens (T, B), and the state."""
    found: list[Arrays] = []
    for row in tokens.numpy():
        found.append(runner(row, runner.zeros(len(row)) if state is None else state))
        state = runner.following(found[-1])
    return found, state


def _over_time(found: list[Arrays], names: Iterable[str]) -> Arrays:
    """Return outputs after each token as arrays (T, B, ...)."""
    return {name: np.stack([outputs[name] for outputs in found]) for name in names}


def _require_probabilities(task: Task, logits: NDArray[Any], found: Arrays) -> None:
    """Raise WeightsError if the second output is not the probabilities of the first."""
    if task.spec.labels is None:
        return
    ours = task.probabilities(torch.from_numpy(logits)).numpy()
    if not np.abs(ours - found["probabilities"]).max() <= _MOST:
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
