"""What a task counts, over batches, splits and epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo import Registry
from zoo.evaluation.measure import measure
from zoo.interfaces import Batch, State, Step, Task, make_task
from zoo.training.loop import fit


class Counting:
    """A classification whose metrics are made from a sum that is no scalar: the number of images by label."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def step(self, model: nn.Module, batch: Batch, state: State = None, **settings: Any) -> Step:
        done = self._task.step(model, batch, state, **settings)
        by_label = torch.bincount(batch.targets, minlength=4)
        return Step(done.loss, {**done.sums, "by_label": by_label}, done.count)

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        by_label: Tensor = sums["by_label"]
        assert by_label.dtype == torch.float64
        assert isinstance(sums["loss"], float)
        return {**self._task.metrics(sums, count, preprocess), "most": float(by_label.max() / count)}


def test_metrics_are_made_from_every_sum_of_a_split_and_of_an_epoch(images: Any) -> None:
    task: Any = Counting(make_task(Registry.discover(), "classification"))
    data, model = images(20), nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    model(next(task.eval_batches(data, "train")).inputs)
    labels = torch.cat([batch.targets for batch in task.eval_batches(data, "train")])
    expected = float(labels.bincount().max() / len(labels))
    assert measure(model, task, data, "train").metrics["most"] == expected
    (row,) = fit(model, task, data, configured(batch_size=8)).history
    assert row["train"]["most"] == expected


def test_an_item_counts_once_whatever_is_predicted_of_it_and_each_token_counts() -> None:
    images, masks = torch.zeros(3, 1, 4, 4), torch.zeros(3, 4, 4, dtype=torch.int64)
    assert Batch(images, masks, 0, 1, 0).count == 3
    assert Batch(torch.zeros(5, 2), torch.zeros(5, 1), 0, 1, 0).count == 5
    tokens = torch.zeros(7, 2, dtype=torch.int64)
    assert Batch(tokens, tokens, 0, 1, 0).count == 14
    assert Batch(tokens, tokens[-1:], 0, 1, 0).count == 2
