"""The methods of a sweep: grid, random search, TPE, and successive halving."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from zoo.config import options
from zoo.tools.sweep.search_space import Point, Range, Space, grid, is_listed
from zoo.tools.sweep.study import Study
from zoo.tools.sweep.workers import quiet_optuna


def draw(space: Space, count: int, *, seed: int) -> list[Point]:
    """Return random points, each option independently of the others."""
    asking = _Asking(space, seed=seed, method="random")
    return [point for _, point in asking.ask(count)]


class _Asking:
    """Optuna's samplers, asked for points and told the results, both in the order of the trials."""

    def __init__(self, space: Space, *, seed: int, method: str) -> None:
        self._optuna = quiet_optuna()
        samplers = self._optuna.samplers
        tpe = {"seed": seed, "constant_liar": True}
        sampler = samplers.TPESampler(**tpe) if method == "tpe" else samplers.RandomSampler(seed=seed)
        self._study = self._optuna.create_study(sampler=sampler)
        self._space = space
        self._kinds = distributions(space)

    def ask(self, count: int) -> list[tuple[Any, Point]]:
        """Return the next trials of Optuna with their points."""
        asked = [self._study.ask(self._kinds) for _ in range(count)]
        return [(trial, point_of(trial.params, self._space)) for trial in asked]

    def tell(self, trial: Any, score: float | None) -> None:
        """Tell a result; None for a trial that diverged."""
        failed = self._optuna.trial.TrialState.FAIL
        self._study.tell(trial, score, state=failed if score is None else None)


def distributions(space: Space) -> dict[str, Any]:
    """Return Optuna's distributions of the options; the values of a list become text."""
    kinds = quiet_optuna().distributions
    made: dict[str, Any] = {}
    for name, values in space.items():
        if not isinstance(values, Range):
            made[name] = kinds.CategoricalDistribution([*map(options.text, values)])
        elif values.whole:
            made[name] = kinds.IntDistribution(values.low, values.high, log=values.log)
        else:
            made[name] = kinds.FloatDistribution(values.low, values.high, log=values.log)
    return made


def point_of(params: dict[str, Any], space: Space) -> Point:
    """Return the values for Optuna's parameters; values from ranges have five significant digits."""
    point: Point = {}
    for name, values in space.items():
        if isinstance(values, Range):
            value = params[name]
            point[name] = value if values.whole else float(f"{value:.5g}")
        else:
            point[name] = {options.text(each): each for each in values}[params[name]]
    return point


def search(
    study: Study,
    space: Space,
    *,
    method: str,
    trials: int | None,
    round_size: int,
    seed: int,
    report: Callable[..., None],
) -> None:
    """Add points to a study by one of the methods, and train them."""
    if method == "tpe":
        _search_tpe(study, space, trials=trials or 20, round_size=round_size, seed=seed, report=report)
        return
    listed = method == "grid"
    study.add(itertools.islice(grid(space), trials) if listed else draw(space, trials or 20, seed=seed))
    study.run(range(len(study.points)), report)


def _search_tpe(
    study: Study, space: Space, *, trials: int, round_size: int, seed: int, report: Callable[..., None]
) -> None:
    """Ask for a round of points, train them, tell all results in order, and so on (Bergstra et al. 2011)."""
    asking = _Asking(space, seed=seed, method="tpe")
    while (first := len(study.points)) < trials:
        asked = asking.ask(min(round_size, trials - first))
        study.add(point for _, point in asked)
        study.run(range(first, len(study.points)), report)
        for number, (trial, _) in enumerate(asked, first):
            score = study.score(number)
            asking.tell(trial, score and score[0])


def halve(
    study: Study, space: Space, *, trials: int | None, epochs: int, seed: int, report: Callable[..., None]
) -> None:
    """Train all points for a few epochs, the best half twice as long, and so on until the last epoch.

    Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943). Each run keeps the schedule for all
    epochs, so a surviving run is identical to an uninterrupted run.
    """
    listed = is_listed(space)
    study.add(itertools.islice(grid(space), trials) if listed else draw(space, trials or 27, seed=seed))
    numbers: Sequence[int] = range(len(study.points))
    for until in rungs(len(study.points), epochs):
        study.run(numbers, report, stop_after=until)
        ranked = study.ranked(numbers, epochs=until)
        numbers = ranked[: math.ceil(len(ranked) / 2)]


def rungs(points: int, epochs: int) -> list[int]:
    """Return the epochs at which runs are compared; the last is the last epoch.

    >>> rungs(9, 16)
    [2, 4, 8, 16]
    """
    count = int(min(math.log2(points), math.log2(epochs)))
    return [round(epochs / 2**step) for step in range(count, -1, -1)]
