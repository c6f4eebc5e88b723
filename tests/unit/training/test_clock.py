"""How long a training will still take."""

from __future__ import annotations

import pytest
import torch

from zoo.config.train_config import TrainConfig
from zoo.interfaces import Batch
from zoo.training.clock import Clock
from zoo_text.plugin import LANGUAGE_MODELING


def test_the_time_left_is_that_of_the_batches_and_of_the_evaluations_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch takes a second and an evaluation ten, which nobody knows before the first is over."""
    now, left, clock = 0.0, list[float | None](), None
    monkeypatch.setattr("zoo.training.clock.time.perf_counter", lambda: now)
    tokens = torch.zeros(4, 1, dtype=torch.int64)
    for epoch in (1, 2, 3):
        clock = Clock(epoch, TrainConfig(epochs=3), LANGUAGE_MODELING, before=clock)
        for index in range(4):
            now += 1
            progress = clock.tick(Batch(tokens, tokens, index, 4, 0), 1.0, 0.1)
        left.append(progress.left)
        now += 10
    assert left == [8, 24, 10]
