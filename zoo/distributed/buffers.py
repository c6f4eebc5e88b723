"""Keep buffers that change during training identical in all processes.

Examples are moving averages of any kind, and the running statistics of layers that see only one process's
part of a batch. Synchronized BatchNorm (see `zoo.distributed.synced_norm`) does not need this.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.distributed.ranks import Ranks


class ChangedBuffers:
    """A model's buffers, with a record of which have changed since they were last averaged.

    Args:
        model: the model being trained, including any synchronized layers.
    """

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        self._model, self._ranks = model, ranks
        self._before = self._now()

    def all_reduce(self) -> None:
        """Set each buffer that changed in any process to its mean over all processes.

        An integer buffer is set to the first process's value. Unchanged buffers are not sent.
        """
        now = self._now()
        if not now:
            return
        flags = self._ranks.all_max(*(self._has_changed(name, buffer) for name, buffer in now.items()))
        changed = [_numbers(buffer) for (buffer, _), flag in zip(now.values(), flags, strict=True) if flag]
        if changed:
            parts = [self._part(each).reshape(-1) for each in changed]
            means = self._ranks.all_reduce(torch.cat(parts)).split([len(part) for part in parts])
            for each, mean in zip(changed, means, strict=True):
                each.copy_(mean.view_as(each))
        self._before = self._now()

    def _now(self) -> dict[str, tuple[Tensor, int | None]]:
        """Return each buffer by name, with the number of writes to it, if known."""
        if self._ranks.world_size == 1:
            return {}
        return {
            f"{place}.{name}": (buffer, _times_written(buffer, name, module))
            for place, module in self._model.named_modules()
            if not hasattr(module, "of_the_whole_batch")
            for name, buffer in module.named_buffers(recurse=False)
        }

    def _has_changed(self, name: str, now: tuple[Tensor, int | None]) -> bool:
        buffer, times = self._before.get(name, (None, None))
        return now[1] is None or now[0] is not buffer or now[1] != times

    def _part(self, numbers: Tensor) -> Tensor:
        """Return this process's term of the sum in double precision, for an exact mean of equal numbers."""
        if numbers.is_floating_point():
            return numbers.double() / self._ranks.world_size
        return numbers.double() * self._ranks.first


def _times_written(buffer: Tensor, name: str, module: nn.Module) -> int | None:
    """Return the number of writes to a buffer; None for running statistics, which PyTorch does not count."""
    if module.training and name in ("running_mean", "running_var"):
        return None
    return 0 if buffer.is_inference() else buffer._version


def _numbers(buffer: Tensor) -> Tensor:
    """Return a detached view of a buffer as real numbers."""
    return torch.view_as_real(buffer.detach()) if buffer.is_complex() else buffer.detach()
