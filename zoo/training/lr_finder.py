"""The learning-rate range test: train a copy of a model at ever larger rates, and see where its loss falls.

The rate grows by the same factor at each step, so that every decade takes as many steps. The sweep ends early
once the smoothed loss is four times its lowest, or a loss is not finite. Nothing is left changed: neither the
model, its gradients and its mode, nor the random state.

The steps are those that training would begin with: its batches, optimizer, precision, clipping, label
smoothing and frozen parts. One step is one of the optimizer's, of `accumulate` batches; a sweep longer than
an epoch goes on into the next. The schedule has no say, and weights are not averaged, which changes no step.

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3, arXiv 1506.01186. The
suggestions are named after those of fast.ai's learner.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch
from torch import nn

from zoo.errors import Diverged, OptionError
from zoo.interfaces import Batch, Dataset, Task
from zoo.models.precision import Precision, resolve
from zoo.registry.experiment import Experiment
from zoo.registry.registry import Registry
from zoo.registry.specs import Recipe
from zoo.training.freezing import freeze, train_mode
from zoo.training.loop import train_step
from zoo.training.preparing import prepare
from zoo.training.state import TrainState

__all__ = ["Found", "Report", "Suggestions", "Sweep", "find_lr", "find_lr_for", "suggest"]

Report = Callable[[float, float, float], None]

_SMOOTHING = 0.98
"""Decay of the loss's exponential moving average, its start corrected as Adam's are (Kingma & Ba 2015)."""
_HOPELESS = 4.0
_HIGHEST = 1e38
_MOST_STEPS = 100_000
_FEWEST_STEPS = 10


@dataclass(frozen=True, slots=True)
class Sweep:
    """From which learning rate to which, in how many steps. Raises OptionError for a value out of range."""

    start: float = 1e-6
    stop: float = 10.0
    steps: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.start < math.inf:
            raise OptionError(f"start is {self.start:g}; it is a learning rate above 0")
        if not self.start < self.stop <= _HIGHEST:
            raise OptionError(
                f"stop is {self.stop:g}; it is a learning rate above start, {self.start:g}, and at most "
                f"{_HIGHEST:g}"
            )
        if not _FEWEST_STEPS <= self.steps <= _MOST_STEPS:
            raise OptionError(
                f"steps is {self.steps}; a suggestion takes {_FEWEST_STEPS} or more, {_MOST_STEPS:,} at most"
            )

    def rates(self) -> list[float]:
        """Return the learning rate of each step."""
        factor = self.stop / self.start
        return [self.start * factor ** (step / (self.steps - 1)) for step in range(self.steps)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """Learning rates to try. Where they differ, `valley` is the usual choice and `steep` often the lowest."""

    steep: float
    """Where in the valley the smoothed loss falls fastest per decade, over a tenth of the sweep."""
    valley: float
    """Two thirds along the valley, the longest stretch of losses below those a tenth of the sweep before."""
    minimum: float
    """A tenth of the rate at which the smoothed loss is lowest, the noise before the valley apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a sweep saw."""

    suggestions: Suggestions
    curve: tuple[tuple[float, float], ...]
    """(learning rate, smoothed loss) at each step; the loss is that of the batch before the step is taken."""
    losses: tuple[float, ...]
    """The loss at each step as it was, in nats."""
    diverged: bool
    """Whether the sweep ended early."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return asdict(self)


def find_lr_for(
    experiment: Experiment,
    registry: Registry,
    sweep: Sweep,
    *,
    device: str = "cpu",
    report: Report = lambda share, lr, loss: None,
    notice: Callable[[str], None] = lambda text: None,
) -> Found:
    """Sweep over the first steps of what `zoo.training.train` would run, as `find_lr` does.

    Raises:
        ZooError: see `zoo.errors`; each says what to do.
    """
    made = prepare(experiment, registry, notice=notice)
    return find_lr(
        made.model,
        made.task,
        made.dataset,
        made.recipe,
        sweep,
        seed=experiment.seed,
        device=device,
        report=report,
    )


def find_lr(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    recipe: Recipe,
    sweep: Sweep = Sweep(),
    *,
    seed: int = 0,
    device: str = "cpu",
    report: Report = lambda share, lr, loss: None,
) -> Found:
    """Return the loss of a copy of `model` along a sweep, and learning rates that it suggests.

    Args:
        report: told after each step what share of the sweep is done, its rate, and the smoothed loss.

    Raises:
        Diverged: the loss was hopeless after so few steps that they suggest nothing.
        OptionError: the loss did not fall for long, or the recipe asks for what this device cannot give.
    """
    recipe = recipe.replace({"ema": 0.0, "average_patience": 0})
    precision = resolve(recipe.precision, device)
    ours = copy.deepcopy(model).to(device)
    freeze(ours, recipe.freeze)
    train_mode(ours, recipe.freeze)
    state = TrainState.begin(ours, recipe, precision=precision, device=device)
    batches = _batches(state, task, dataset, recipe, seed, device)
    curve: list[tuple[float, float]] = []
    losses: list[float] = []
    average, lowest, diverged = 0.0, math.inf, False
    with torch.random.fork_rng(range(torch.cuda.device_count())):  # the caller's random state stays
        for lr in sweep.rates():
            try:
                loss = _step(state, task, batches, recipe, lr, precision=precision, device=device)
            except Diverged:
                diverged = True
                break
            losses.append(loss)
            average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
            smoothed = average / (1 - _SMOOTHING ** len(losses))
            curve.append((lr, smoothed))
            report(len(losses) / sweep.steps, lr, smoothed)
            lowest = min(lowest, smoothed)
            if smoothed > _HOPELESS * lowest:
                diverged = True
                break
    if len(curve) < _FEWEST_STEPS:
        raise _hopeless(state.steps, sweep)
    return Found(suggestions=suggest(curve), curve=tuple(curve), losses=tuple(losses), diverged=diverged)


def suggest(curve: Sequence[tuple[float, float]]) -> Suggestions:
    """Return what a curve of (learning rate, smoothed loss) suggests, its first tenth left out.

    Raises OptionError if the loss falls along less than a fifth of it.
    """
    tenth = max(1, len(curve) // 10)
    rates, losses = zip(*curve[tenth:], strict=True)  # an average of few losses is still noise
    first, last = _valley(losses, tenth)
    if last - first < len(curve) / 5:
        raise OptionError(
            f"the loss falls along no fifth of the sweep from {curve[0][0]:.2g} to {rates[-1]:.2g}",
            hint="take more --steps, steadier ones (--train batch_size=...), or another --start and --stop",
        )
    steepest = min(range(first, last - tenth + 1), key=lambda n: losses[n + tenth] - losses[n])
    lowest = min(range(first, len(losses)), key=losses.__getitem__)
    return Suggestions(
        steep=rates[steepest + tenth // 2],
        valley=rates[first + round((last - first) * 2 / 3)],
        minimum=rates[lowest] / 10,
    )


def _valley(losses: Sequence[float], span: int) -> tuple[int, int]:
    """Return where the longest stretch begins and ends whose losses are below those `span` before them."""
    longest, first = (0, 0), 0
    for last in range(span, len(losses)):
        if losses[last] >= losses[last - span]:
            first = last - span + 1
        longest = max(longest, (first, last), key=lambda run: run[1] - run[0])
    return longest


def _batches(
    state: TrainState, task: Task, dataset: Dataset, recipe: Recipe, seed: int, device: str
) -> Iterator[Batch]:
    """Yield the batches of one epoch after another."""
    while True:
        yield from task.train_batches(dataset, recipe, seed=seed, epoch=state.epoch, device=device)
        state.end_epoch({}, recipe)


def _step(
    state: TrainState,
    task: Task,
    batches: Iterator[Batch],
    recipe: Recipe,
    lr: float,
    *,
    precision: Precision,
    device: str,
) -> float:
    """Take one optimizer step, of as many batches as it accumulates, and return their mean loss."""
    losses: list[float] = []
    for batch in batches:
        losses.append(train_step(state, task, batch, recipe, lr, precision=precision, device=device))
        if state.batch % recipe.accumulate == 0 or state.batch == batch.total:
            break
    return fmean(losses)


def _hopeless(steps: int, sweep: Sweep) -> Diverged:
    if not steps:
        return Diverged(
            "the loss is not finite at the first step, before any learning rate has acted",
            hint="the fault is in the model, its data or its precision",
        )
    rate = sweep.rates()[steps - 1]
    return Diverged(
        f"the sweep diverged after {steps} steps, at a learning rate of {rate:.2g}: too few to suggest any",
        hint=f"try a --start below {sweep.start:g}, or more --steps than {sweep.steps}",
    )
