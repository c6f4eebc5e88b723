"""Learning rates at known positions."""

from __future__ import annotations

import math

import pytest

from tests.configs import configured
from zoo.training.schedules import make_schedule


def rates(positions: list[float], **config: object) -> list[float]:
    made = configured().replace({"lr": 2.0, "epochs": 10} | config)
    return [*map(make_schedule(made), positions)]


def restarts(**options: float) -> dict[str, object]:
    return {"schedule": "cosine-restarts", "schedule_options": options}


@pytest.mark.parametrize(
    ("config", "positions", "expected"),
    [
        ({"schedule": "constant"}, [0, 5, 10], [2, 2, 2]),
        ({"schedule": "constant", "warmup_epochs": 2}, [0, 1, 2, 10], [0, 1, 2, 2]),
        ({"schedule": "cosine"}, [0, 2.5, 5, 10], [2, 1 + math.sqrt(0.5), 1, 0]),
        ({"schedule": "cosine", "warmup_epochs": 2}, [0, 0.5, 2, 6, 10], [0, 0.5, 2, 1, 0]),
        ({"schedule": "one-cycle"}, [0, 1.5, 3, 6.5, 10], [0.08, 1.04, 2, 1, 0]),
        ({"schedule": "one-cycle", "warmup_epochs": 5}, [0, 2.5, 5, 7.5, 10], [0.08, 1.04, 2, 1, 0]),
        (restarts(cycle_length=2), [0, 1, 2, 3, 4], [2, 1, 2, 1, 2]),
        (restarts(cycle_length=1, cycle_multiplier=2), [0, 0.5, 1, 2, 3, 5, 7], [2, 1, 2, 1, 2, 1, 2]),
        (restarts(cycle_length=3) | {"warmup_epochs": 1}, [0.5, 1, 2.5, 4], [1, 2, 1, 2]),
    ],
)
def test_a_schedule_has_its_known_values(
    config: dict[str, object], positions: list[float], expected: list[float]
) -> None:
    assert rates(positions, **config) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("config", "end"),
    [({"schedule": "cosine"}, 10.0), ({"schedule": "one-cycle"}, 10.0), (restarts(cycle_length=2), 6.0)],
)
def test_a_cycle_ends_near_0(config: dict[str, object], end: float) -> None:
    (last,) = rates([end - 0.01], **config)
    assert 0 < last < 2e-3


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle", "cosine-restarts"])
@pytest.mark.parametrize("warmup_epochs", [0.0, 0.5, 10.0, 20.0])
def test_a_rate_is_never_negative_nor_above_the_peak(schedule: str, warmup_epochs: float) -> None:
    course = rates([step / 37 for step in range(371)], schedule=schedule, warmup_epochs=warmup_epochs)
    assert all(0 <= rate <= 2.0 for rate in course)
