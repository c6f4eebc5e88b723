"""The learning-rate range test: train for a few steps at increasing learning rates, and record the loss.

The rate grows by the same factor at each step, so every decade takes the same number of steps. The test ends
early once the smoothed loss is four times its minimum, or a loss is not finite. The trained weights are
discarded.

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3, arXiv 1506.01186. The
    suggestions are named as in fast.ai's learner, whose `minimum` is a tenth of the rate at which the loss is
    lowest. Here, the fraction depends on the optimizer and the schedule, since it does so in the trainings
    that `benchmarks/lr_find_regret.py` compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from zoo.config import options
from zoo.config.arguments import checked
from zoo.config.recipe import Recipe
from zoo.errors import Diverged, OptionError, ZooError, warn
from zoo.files import style
from zoo.files.atomic import write_output
from zoo.registry.registry import Registry, default_registry
from zoo.runs.trial_training import trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.training.trial_steps import TrialSteps

# Called after each step with the number of steps, the rate and the smoothed loss
Report = Callable[[int, float, float], None]

# Decay of the loss's exponential moving average, bias-corrected as in Adam (Kingma & Ba 2015)
_SMOOTHING = 0.98
# The test ends once the smoothed loss is this many times its lowest
_DIVERGED = 4.0
_FEWEST_STEPS = 10
# The number of steps by default: a quarter of an epoch, within these bounds
_LEAST, _MOST = 100, 1_000
# The rate to train with, as a fraction of the rate at which the loss of the test is lowest: with SGD, with
# optimizers that divide by the size of gradients, and the part of this for a constant rate or fine-tuning
_OF_SGD, _OF_OTHERS, _LOWER = 1 / 2, 1 / 8, 0.4


@dataclass(frozen=True, slots=True)
class RangeTest:
    """The first and last learning rates and the number of steps. Raises OptionError for an invalid value."""

    start: Annotated[float, Meta(gt=0, description="a learning rate greater than 0")] = 1e-6
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
    """Suggested learning rates. Try `minimum` first; the others are often too low.

    Attributes:
        minimum: a fraction of the rate at which the smoothed loss is lowest, ignoring noise before the
            valley: a half with SGD, and an eighth with other optimizers; 0.4 times that for a constant
            schedule, or if the model starts with trained weights.
        valley: two thirds of the way through the valley, which is the longest range in which each loss is
            lower than the loss a tenth of the test earlier.
        steep: where the smoothed loss falls fastest within the valley, measured over a tenth of the test.
    """

    minimum: float
    valley: float
    steep: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The result of a range test.

    Attributes:
        points: (learning rate, smoothed loss) at each step; the loss is computed before the update.
        losses: the unsmoothed loss at each step.
        diverged: whether the test ended early.
        unit: unit of the loss, from the task.
    """

    suggestions: Suggestions
    points: tuple[tuple[float, float], ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    diverged: bool
    title: str = ""
    unit: str = ""

    @property
    def fall(self) -> float:
        """The relative decrease of the smoothed loss."""
        first, lowest = self.points[0][1], min(loss for _, loss in self.points)
        return (first - lowest) / first

    def plot(self) -> Figure:
        """Plot the loss against the learning rate, with the suggestions marked; return the figure."""
        figure = style.figure(7, 3.8, title=self.title, subtitle="learning-rate range test")
        axes = figure.subplots()
        style.tidy(axes, grid="both", frame=True)
        rates, smoothed = zip(*self.points, strict=True)
        axes.plot(rates, self.losses, color=style.MUTED, alpha=0.5, linewidth=1, label="loss")
        axes.plot(rates, smoothed, color=style.INK, label="smoothed")
        colors = (style.ORANGE, style.BLUE, style.GREEN)
        for color, (name, lr) in zip(colors, asdict(self.suggestions).items(), strict=True):
            axes.axvline(lr, color=color, linestyle="--", label=f"{name} {lr:.2g}")
        lowest, highest = min(smoothed), max(smoothed[: smoothed.index(min(smoothed)) + 1])
        margin = 0.3 * (highest - lowest)  # a diverging loss leaves through the top
        label = f"loss ({self.unit})" if self.unit else "loss"
        axes.set(xscale="log", xlabel="learning rate", ylabel=label)
        axes.set_ylim(min(self.losses) - margin, highest + margin)
        style.legend(axes)
        return figure

    def save(self, path: Path) -> None:
        """Write the figure as a PNG file. Raises OutputError."""
        write_output(path, style.png(self.plot()))

    def _repr_png_(self) -> bytes:
        return style.png(self.plot())

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data, with the points as `curve`."""
        measured = {"curve": self.points, "losses": self.losses, "diverged": self.diverged}
        return {"suggestions": asdict(self.suggestions), **measured}


@checked
def lr_find(
    name: str | Recipe,
    dataset: str | None = None,
    *,
    start: float = 1e-6,
    stop: float = 10.0,
    steps: int = 0,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
    **training: Any,
) -> Curve:
    """Suggest learning rates for a call to `train` with the same arguments, without saving anything.

    Warns if the loss hardly decreases.

    Args:
        name: as in `train`.
        dataset: as in `train`.
        start: learning rate of the first step.
        stop: learning rate of the last step.
        steps: number of optimizer steps; 0 for a quarter of an epoch, but at least 100 and at most 1,000.
        device: as in `train`.
        progress: as in `train`.
        registry: as in `train`.
        training: `architecture`, `model`, `data`, `from_weights`, `seed`, `threads` and the training options,
            as in `train`.

    Returns:
        A curve with `suggestions` (`minimum`, `valley`, `steep`) and `points`. A notebook displays the curve.

    Raises:
        Diverged: the loss diverges too early to suggest a learning rate.
        ZooError: see `zoo.errors` for its subclasses.
    """
    registry = default_registry() if registry is None else registry
    test = RangeTest(start, stop, steps or _LEAST)
    about = f"trying learning rates from {test.start:g} to {test.stop:g}"
    training["lr"] = test.start  # so that none is chosen
    with trial(
        name, dataset, registry=registry, about=about, device=device, progress=progress, **training
    ) as (taking, report):
        if not steps:
            from zoo.training.defaults import steps_in_epoch

            quarter = steps_in_epoch(taking.task, taking.dataset, taking.config) // 4
            test = RangeTest(start, stop, min(max(quarter, _LEAST), _MOST))
        curve = range_test(
            taking,
            test,
            report=lambda done, lr, loss: report(
                "lr-find", done, test.steps, "steps", f"lr {lr:.1e}  loss {loss:.4f}"
            ),
        )
    if curve.fall < 0.05:
        warn(f"the loss fell by only {curve.fall:.1%}; treat the suggestions with caution, or run more steps")
    return curve


def range_test(
    training: TrialSteps, test: RangeTest, *, report: Report = lambda step, lr, loss: None
) -> Curve:
    """Run a range test; return its losses and the suggested rates.

    Raises:
        Diverged: the loss diverges too early to suggest a learning rate.
        ZooError: the loss hardly decreases.
    """
    points: list[tuple[float, float]] = []
    losses: list[float] = []
    average, lowest, diverged = 0.0, math.inf, False
    for lr in test.rates():
        try:
            losses.append(training.step(lr))
        except Diverged:
            diverged = True
            break
        average = _SMOOTHING * average + (1 - _SMOOTHING) * losses[-1]
        smoothed = average / (1 - _SMOOTHING ** len(losses))
        points.append((lr, smoothed))
        report(len(losses), lr, smoothed)
        lowest = min(lowest, smoothed)
        if smoothed > _DIVERGED * lowest:
            diverged = True
            break
    if len(points) < _FEWEST_STEPS:
        raise _too_early(training.steps, test)
    return Curve(
        suggestions=suggest(points, share=_share(training)),
        points=tuple(points),
        losses=tuple(losses),
        diverged=diverged,
        title=training.title,
        unit=training.task.spec.units.get("loss", ""),
    )


def _share(training: TrialSteps) -> float:
    """Return the rate to train with as a fraction of the rate at which the loss of the test is lowest."""
    share = _OF_SGD if training.config.optimizer == "sgd" else _OF_OTHERS
    return share * (_LOWER if training.fine_tuned or training.config.schedule == "constant" else 1.0)


def suggest(curve: Sequence[tuple[float, float]], *, share: float = 1.0) -> Suggestions:
    """Return the learning rates suggested by points (learning rate, smoothed loss), ignoring the first tenth.

    Args:
        share: `minimum` as a fraction of the rate at which the loss is lowest.

    Raises ZooError if the loss falls over less than a fifth of the points.
    """
    tenth = max(1, len(curve) // 10)
    rates, losses = zip(*curve[tenth:], strict=True)  # the average of a few losses is noise
    first, last = _valley(losses, tenth)
    if last - first < len(curve) / 5:
        message = f"the loss hardly decreases between learning rates {curve[0][0]:.2g} and {rates[-1]:.2g}"
        hint = "raise --steps or --batch-size, or change --start and --stop"
        raise ZooError(message, hint=hint)
    steepest = min(range(first, last - tenth + 1), key=lambda n: losses[n + tenth] - losses[n])
    lowest = min(range(first, len(losses)), key=losses.__getitem__)
    return Suggestions(
        minimum=share * rates[lowest],
        valley=rates[first + round((last - first) * 2 / 3)],
        steep=rates[steepest + tenth // 2],
    )


def _valley(losses: Sequence[float], span: int) -> tuple[int, int]:
    """Return the start and end of the longest stretch of losses below the loss `span` steps earlier."""
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
    hint = f"set --start below {test.start:g}, or --steps above {test.steps}"
    message = f"the loss diverged after only {steps} steps, at a learning rate of {rate:.2g}"
    return Diverged(message, hint=hint)
