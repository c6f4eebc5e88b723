"""Verify an exported program: compare its outputs with the model's, item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import DataError, OptionError, WeightsError
from zoo.files.exported import FEATURES
from zoo.interfaces import CarriesState, Task
from zoo.models.runners import Arrays, Runner
from zoo.processors import TakesItems
from zoo.seeds import seed_for
from zoo.tools.export.exportable import CLASS_MAPS, FEATURE_MAPS

# Items of a split that are tried, if it has as many
ITEMS = 2_000
# Sizes of batches that are tried, and numbers of tokens
_BATCHES, _LENGTHS = (1, 2, 5, 64), (1, 3, 100)
# Lanes in which the tokens of a split are read
_LANES = 16
# Differences of the logits, relative to the largest of them, that rounding cannot explain
TOLERANCE = 1e-3
# Where a network amplifies rounding from step to step, it explains so many times what the model itself, up
# to a step, differs by in float64: the first differences may be that far apart, and all grow alike
_TIMES = 100


@dataclass(slots=True)
class Verification:
    """The result of comparing a program with its model on the same items.

    Attributes:
        items: number of items compared one by one.
        total: number of items in the split.
        disagreements: number of items that are predicted differently, but whose two largest logits differ by
            less than `largest_difference`.
        largest_difference: largest difference between the program's logits and the model's.
        tolerance: largest difference that may be due to rounding, relative to the largest logit.
    """

    tolerance: float
    total: int = 0
    items: int = 0
    disagreements: int = 0
    largest_difference: float = 0.0
    _largest: dict[str, float] = field(default_factory=dict[str, float])

    def compare(
        self, ours: Arrays, theirs: Arrays, what: str, exact: Callable[[], Arrays] | None = None
    ) -> None:
        """Compare the outputs of the model with the program's outputs of the same names.

        Args:
            exact: returns the outputs of the model in float64, if rounding can grow from step to step.

        Raises WeightsError if rounding cannot explain a difference.
        """
        for name, wanted in ours.items():
            differences = _largest(wanted - theirs[name])
            difference = float(differences.max(initial=0.0))
            largest = max(self._largest.get(name, 1.0), float(np.abs(wanted).max(initial=0.0)))
            self._largest[name] = largest
            if name not in (FEATURES, CLASS_MAPS, FEATURE_MAPS):
                self.largest_difference = max(self.largest_difference, difference)
            allowed: Any = self.tolerance * largest
            if exact and difference > allowed:
                own = _largest(wanted - exact()[name])
                allowed = np.maximum(allowed, _TIMES * np.maximum.accumulate(own))
            if not (differences <= allowed).all():  # nor if it is not a number
                raise refused(f"its {name} for {what} differ from the model's by {difference:.2g}")


def _largest(differences: NDArray[Any]) -> NDArray[Any]:
    """Return the largest difference for each item or step, the first dimension."""
    return np.abs(differences).max(axis=tuple(range(1, differences.ndim)), initial=0.0)


def refused(why: str) -> WeightsError:
    """Return the error for a program that differs from its model."""
    hint = "no file was written; the exporter has a bug, or does not support one of the layers"
    return WeightsError(f"the exported program is wrong: {why}", hint=hint)


def synthetic_items(task: Task, arguments: Mapping[str, Any], count: int) -> Any:
    """Return random items in the form of a split, for a model whose data is not available."""
    generator = torch.Generator().manual_seed(seed_for(0, "export"))
    if isinstance(task, CarriesState):
        if task.spec.labels is None:
            raise OptionError(
                f"cannot generate synthetic inputs for {task.name}: the task's spec has no labels"
            )
        return torch.randint(arguments[task.spec.labels[0]], (count + 1,), generator=generator)
    assert isinstance(task.processor, TakesItems)
    item = torch.from_numpy(task.processor.item(arguments))
    return [(item, -1) for item in _random(item, count, generator)]


def verify(
    model: Runner,
    program: Runner,
    task: Task,
    items: Any,
    *,
    exact: Callable[[], Runner],
    unit: str,
    head: NDArray[Any] | None = None,
    tolerance: float = TOLERANCE,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Compare a program with its model on the items of a split, and in batches of several sizes.

    Args:
        items: a split of data, as `Dataset.split` returns it.
        exact: returns the model in float64.
        unit: name of the items.
        head: the weights (K, F) that turn feature maps into class maps, if the program has class maps; the
            model's features must then not be pooled.
        tolerance: see `Verification`.

    Raises:
        DataError: there are no items.
        WeightsError: the program's predictions differ.
    """
    pair = _Pair(model, program, task, exact, Verification(tolerance), head)
    if isinstance(task, CarriesState):
        pair.read(items, report)
    else:
        pair.run(items, report)
    return pair.judged(unit)


class _Pair:
    """A model, the program made from it, and the results of their comparison so far.

    The margin of each item that they predict differently is recorded.
    """

    def __init__(
        self,
        model: Runner,
        program: Runner,
        task: Task,
        exact: Callable[[], Runner],
        found: Verification,
        head: NDArray[Any] | None,
    ) -> None:
        self._model, self._program, self._task, self._exact = model, program, task, exact
        self._head = head
        self._margins: list[NDArray[Any]] = []
        self.found = found

    def run(self, items: Any, report: Callable[[int, int], None]) -> None:
        """Compare the outputs item by item, and the first items in batches of several sizes."""
        count = min(len(items), ITEMS)
        if count == 0:
            raise DataError("the file cannot be verified: the split has no items")
        self.found.total = len(items)
        first = np.stack([np.asarray(items[n][0]) for n in range(min(64, count))])
        first = first[np.arange(64) % len(first)]
        whole = self._of_model(first)
        for size in _BATCHES:
            parts = [self._program.run(first[at : at + size]) for at in range(0, len(first), size)]
            found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            self.found.compare(whole, found, f"batches of {size}")
            self._require_probabilities(whole[self._model.main_output], found)
        for start in range(0, count, 64):
            some = np.stack([np.asarray(items[n][0]) for n in range(start, min(start + 64, count))])
            ours, theirs = self._of_model(some), self._program.run(some)
            self._note(ours, theirs)
            self.found.compare(ours, theirs, f"items {start} to {start + len(some) - 1}")
            self.found.items += len(some)
            report(self.found.items, count)

    def _of_model(self, items: NDArray[Any]) -> Arrays:
        """Return the outputs of the model, with class maps computed from feature maps if there is a head."""
        outputs = self._model.run(items)
        if self._head is None:
            return outputs
        features = outputs[FEATURES]  # (B, F, h, w)
        maps = np.einsum("kf,bfhw->bkhw", self._head, features)
        return {**outputs, FEATURES: features.mean((2, 3)), CLASS_MAPS: maps, FEATURE_MAPS: features}

    def read(self, tokens: Any, report: Callable[[int, int], None]) -> None:
        """Compare the model and the program token by token, with several batch sizes and lengths.

        Then compare them on the whole text.
        """
        if len(tokens) < 2:
            raise DataError("the file cannot be verified: the split has no tokens")
        self.found.total = len(tokens) - 1
        some = torch.as_tensor(tokens[: ITEMS + 1]).long().numpy()
        for lanes in _BATCHES:
            for length in _LENGTHS:
                read = some[np.arange(lanes * length) % len(some)].reshape(length, lanes)
                self._read(read, f"{length} tokens in a batch of {lanes}")
        count = len(some) - 1
        lanes = min(_LANES, count)
        whole = count // lanes * lanes
        for columns in (some[:whole].reshape(lanes, -1).T, some[whole:count, None]):
            if columns.size:
                self._note(*self._read(columns, "the text"))
                self.found.items += columns.size
                report(self.found.items, count)

    def _read(self, tokens: NDArray[np.int64], what: str) -> tuple[Arrays, Arrays]:
        """Compare the outputs after each token of texts (T, B); the program reads them in two halves."""
        ours, theirs = _outputs(self._model, [tokens]), _outputs(self._program, np.array_split(tokens, 2))
        self.found.compare(ours, theirs, what, lambda: self._exactly(tokens))
        return ours, theirs

    def _exactly(self, tokens: NDArray[np.int64]) -> Arrays:
        """Return the outputs of the model in float64; in float32 if a layer cannot compute in float64."""
        try:
            return _outputs(self._exact(), [tokens])
        except RuntimeError:
            return _outputs(self._model, [tokens])

    def _note(self, ours: Arrays, theirs: Arrays) -> None:
        """Record the items that are predicted differently, each with its widest margin."""
        if self._task.spec.labels is None:
            return
        one, other = (_rows(outputs[self._model.main_output], self._task) for outputs in (ours, theirs))
        if self._task.spec.exclusive:
            best = np.sort(one, 1)
            differ = one.argmax(1) != other.argmax(1)
            margins = best[:, -1] - best[:, -2] if best.shape[1] > 1 else np.zeros_like(best[:, 0])
        else:
            differ, margins = (one >= 0) != (other >= 0), np.abs(one)
        margins = np.where(differ, margins, -1.0).reshape(len(one), -1).max(1)
        self._margins.append(margins[margins >= 0])

    def judged(self, unit: str) -> Verification:
        """Return the result with the disagreements.

        Raises WeightsError if rounding cannot explain a disagreement.
        """
        margins = np.concatenate(self._margins) if self._margins else np.zeros(0)
        wrong = int((margins >= self.found.largest_difference).sum())
        if wrong:
            raise refused(
                f"its predictions differ from the model's for {wrong:,} of {self.found.items:,} {unit}"
            )
        self.found.disagreements = len(margins)
        return self.found

    def _require_probabilities(self, logits: NDArray[Any], found: Arrays) -> None:
        """Raise WeightsError if the second output is not the probabilities of the first."""
        if self._task.spec.labels is None:
            return
        ours = self._task.probabilities(torch.from_numpy(logits)).numpy()
        if not np.abs(ours - found["probabilities"]).max() <= self.found.tolerance:
            raise refused("its probabilities do not match its logits")


def _outputs(runner: Runner, pieces: list[NDArray[np.int64]]) -> Arrays:
    """Return the outputs of a runner after each token of several pieces of text, (T, B, ...)."""
    state, found = None, list[Arrays]()
    with runner.reading() as step:
        for tokens in pieces:
            if len(tokens):
                outputs, state = step(tokens, state)
                found.append(outputs)
    return {name: np.concatenate([outputs[name] for outputs in found]) for name in found[0]}


def _rows(logits: NDArray[Any], task: Task) -> NDArray[Any]:
    """Reshape logits to a row for each item or token."""
    return logits.reshape(-1, logits.shape[-1]) if isinstance(task, CarriesState) else logits


def _random(item: Tensor, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(count):
        if item.is_floating_point():
            yield torch.randn(item.shape, generator=generator)
        else:
            yield torch.randint(256, item.shape, generator=generator).to(item.dtype)
