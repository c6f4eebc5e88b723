"""The learning-rate range test: train a copy of a model at growing learning rates, and watch its loss.

The rate grows by the same factor at each step, so every decade takes equally many steps. The test ends early
once the smoothed loss is four times its lowest, or a loss is not finite. The model, its gradients and modes,
and the random state do not change.

The steps are those that training would start with: its batches, optimizer, precision, clipping, label
smoothing and frozen parts. A step is an optimizer step on `grad_accum_steps` batches; a test longer than an
epoch continues with the next. The schedule does not apply, and weights are not averaged, which has no effect
on the steps.

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3, arXiv 1506.01186. The
suggestions are named after those of fast.ai's learner.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta
from torch import nn

from zoo.config import options
from zoo.config.threads import idle_threads
from zoo.config.training import TrainConfig
from zoo.errors import Diverged, OptionError, ZooError
from zoo.files import style
from zoo.interfaces import Dataset, Task
from zoo.models.building import generator_restored
from zoo.models.precision import resolve
from zoo.models.threads import computing_with
from zoo.registry.registry import Registry
from zoo.runs.lock import alone
from zoo.runs.plots import draw_lr_curve, save_figure
from zoo.runs.resolving import Resolved
from zoo.runs.setup import build
from zoo.training.freezing import freeze, train_mode
from zoo.training.loop import completes_step, train_step
from zoo.training.state import TrainState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Curve", "RangeTest", "Report", "Suggestions", "find_lr", "find_lr_for", "suggest"]

Report = Callable[[int, float, float], None]

# Decay of the loss's exponential moving average, bias-corrected as in Adam (Kingma & Ba 2015)
_SMOOTHING = 0.98
# The test ends once the smoothed loss is this many times its lowest
_DIVERGED = 4.0
_FEWEST_STEPS = 10


@dataclass(frozen=True, slots=True)
class RangeTest:
    """First and last learning rate, and the number of steps. Raises OptionError for a bad value."""

    start: Annotated[float, Meta(gt=0, description="a learning rate above 0")] = 1e-6
    stop: float = 10.0
    steps: Annotated[int, Meta(ge=_FEWEST_STEPS, le=100_000, description="between 10 and 100,000")] = 100

    def __post_init__(self) -> None:
        options.validate(self)
        if not self.start < self.stop <= 1e38:
            raise OptionError(
                f"stop must be above start={self.start:g} and at most 1e+38 (got {self.stop:g})"
            )

    def rates(self) -> list[float]:
        """Return the learning rate of each step."""
        factor = self.stop / self.start
        return [self.start * factor ** (step / (self.steps - 1)) for step in range(self.steps)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """Learning rates to try. If they differ, `valley` is the usual choice and `steep` often the lowest.

    Attributes:
        steep: where the smoothed loss falls fastest within the valley, measured over a tenth of the test.
        valley: two thirds along the valley: the longest stretch of losses lower than a tenth of the test
            earlier.
        minimum: A tenth of the rate at which the smoothed loss is lowest, ignoring noise before the valley.
    """

    steep: float
    valley: float
    minimum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The result of a range test.

    Attributes:
        points: (learning rate, smoothed loss) at each step; the loss is computed before the update.
        losses: the unsmoothed loss at each step.
        diverged: whether the test ended early.
        unit: that of the loss, as the task says it.
    """

    suggestions: Suggestions
    points: tuple[tuple[float, float], ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    diverged: bool
    title: str = ""
    unit: str = ""

    @property
    def fall(self) -> float:
        """The fraction by which the smoothed loss fell."""
        first, lowest = self.points[0][1], min(loss for _, loss in self.points)
        return (first - lowest) / first

    def plot(self) -> Figure:
        """Return a figure of the loss by learning rate, with the suggestions marked."""
        suggestions = asdict(self.suggestions)
        return draw_lr_curve(self.points, self.losses, suggestions, title=self.title, unit=self.unit)

    def save(self, path: Path) -> None:
        """Write the figure as a PNG file. Raises OSError."""
        save_figure(path, self.plot())

    def _repr_png_(self) -> bytes:
        return style.png(self.plot())

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data, the points as `curve`."""
        measured = {"curve": self.points, "losses": self.losses, "diverged": self.diverged}
        return {"suggestions": asdict(self.suggestions), **measured}


@alone()
def find_lr_for(
    resolved: Resolved,
    registry: Registry,
    test: RangeTest,
    *,
    device: str = "cpu",
    report: Report = lambda step, lr, loss: None,
) -> Curve:
    """Run a range test on what `zoo.runs.lifecycle.train` would train; see `find_lr`.

    Raises ZooError; see `zoo.errors`.
    """
    recipe = resolved.recipe
    recipe = replace(recipe, train={**recipe.train, "lr": test.start})  # nobody needs to choose one
    with computing_with(recipe.threads or idle_threads()):
        setup = build(replace(resolved, recipe=recipe), registry, device=device)
        on: Any = {"context": setup.context, "seed": recipe.seed, "device": device}
        curve = find_lr(*setup.parts, test, **on, report=report)
    return replace(curve, title=setup.title, unit=setup.task.spec.units.get("loss", ""))


def find_lr(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    config: TrainConfig,
    test: RangeTest = RangeTest(),
    *,
    context: int = 0,
    seed: int = 0,
    device: str = "cpu",
    report: Report = lambda step, lr, loss: None,
) -> Curve:
    """Run a range test on a copy of `model`; return its losses and the rates they suggest. See also `fit`.

    Args:
        report: called after each step with the number of steps, the rate and the smoothed loss.

    Raises:
        Diverged: the loss diverged after too few steps to suggest anything.
        OptionError: this device does not support an option.
        ZooError: the loss hardly fell.
    """
    config = config.replace({"ema_decay": 0.0, "nonmono": 0})
    how: Any = {"precision": resolve(config.precision, device), "device": device}
    model = copy.deepcopy(model).to(device)
    freeze(model, config.freeze)
    train_mode(model, config.freeze)
    state = TrainState.begin(model, config, **how, context=context)
    epochs = (task.train_batches(dataset, config, seed=seed, epoch=n, device=device) for n in count())
    batches = chain.from_iterable(epochs)
    curve: list[tuple[float, float]] = []
    losses: list[float] = []
    average, lowest, diverged = 0.0, math.inf, False

    def step(lr: float) -> float:  # of the optimizer, on all batches that it accumulates
        accumulated: list[float] = []
        for batch in batches:
            accumulated.append(float(train_step(state, task, batch, config, lr, **how)))
            if completes_step(batch, config):
                break
        return fmean(accumulated)

    with generator_restored():
        for lr in test.rates():
            try:
                losses.append(step(lr))
            except Diverged:
                diverged = True
                break
            average = _SMOOTHING * average + (1 - _SMOOTHING) * losses[-1]
            smoothed = average / (1 - _SMOOTHING ** len(losses))
            curve.append((lr, smoothed))
            report(len(losses), lr, smoothed)
            lowest = min(lowest, smoothed)
            if diverged := smoothed > _DIVERGED * lowest:
                break
    if len(curve) < _FEWEST_STEPS:
        raise _too_early(state.steps, test)
    return Curve(suggestions=suggest(curve), points=tuple(curve), losses=tuple(losses), diverged=diverged)


def suggest(curve: Sequence[tuple[float, float]]) -> Suggestions:
    """Return the learning rates suggested by points (learning rate, smoothed loss), the first tenth ignored.

    Raises ZooError if the loss falls over less than a fifth of them.
    """
    tenth = max(1, len(curve) // 10)
    rates, losses = zip(*curve[tenth:], strict=True)  # the average of a few losses is noise
    first, last = _valley(losses, tenth)
    if last - first < len(curve) / 5:
        message = f"the loss hardly falls between learning rates {curve[0][0]:.2g} and {rates[-1]:.2g}"
        hint = "try more --steps, larger batches (--batch-size), or another --start and --stop"
        raise ZooError(message, hint=hint)
    steepest = min(range(first, last - tenth + 1), key=lambda n: losses[n + tenth] - losses[n])
    lowest = min(range(first, len(losses)), key=losses.__getitem__)
    return Suggestions(
        steep=rates[steepest + tenth // 2],
        valley=rates[first + round((last - first) * 2 / 3)],
        minimum=rates[lowest] / 10,
    )


def _valley(losses: Sequence[float], span: int) -> tuple[int, int]:
    """Return start and end of the longest stretch of losses below those `span` steps earlier."""
    longest, first = (0, 0), 0
    for last in range(span, len(losses)):
        if losses[last] >= losses[last - span]:
            first = last - span + 1
        longest = max(longest, (first, last), key=lambda run: run[1] - run[0])
    return longest


def _too_early(steps: int, test: RangeTest) -> Diverged:
    if not steps:
        message = "the loss is not finite at the first step, before any update"
        return Diverged(message, hint="check the model, its data and its precision")
    rate = test.rates()[steps - 1]
    hint = f"try a --start below {test.start:g}, or more --steps than {test.steps}"
    message = f"the loss diverged after only {steps} steps, at a learning rate of {rate:.2g}"
    return Diverged(message, hint=hint)
