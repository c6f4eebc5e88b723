"""Evaluate an exported file with the code that evaluates a module, so that their metrics are comparable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zoo.interfaces import Batch, ReadsBatches
from zoo.models.runners import Arrays, ProgramRunner


class ProgramModule(nn.Module):
    """The program of an exported file as a module in evaluation mode, for `Task.step`."""

    def __init__(self, runner: ProgramRunner) -> None:
        super().__init__()
        self._runner = runner
        self.eval()

    def forward(self, inputs: Tensor, *state: Arrays | None) -> Any:
        """Map items as in a split, (B, ...), to outputs; or tokens (T, B) and a state to both."""
        name = self._runner.main_output
        if not state:
            return torch.from_numpy(self._runner.run(inputs.numpy())[name])
        outputs, following = self._runner.step(inputs.numpy(), *state)
        return torch.from_numpy(outputs[name]), following


def unprepared(batches: Iterable[Batch], items: Any) -> Iterator[Batch]:
    """Yield the batches of a split with its items as inputs, which an exported program prepares itself."""
    start = 0
    for batch in batches:
        indices = [*range(start, start + len(batch.inputs))]
        if isinstance(items, ReadsBatches):
            inputs, _ = items.read_batch(indices)
        else:
            inputs = torch.stack([torch.as_tensor(items[index][0]) for index in indices])
        yield replace(batch, inputs=inputs)
        start += len(indices)
