"""Batch normalization, implemented with basic tensor operations."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Normalize each channel to mean 0 and variance 1 over the batch, then apply a learned scale and shift.

    In evaluation, the result for an image must not depend on the rest of its batch, so training keeps moving
    averages of the mean and the variance. They are buffers: saved, moved and averaged with the model, but
    without gradients. Parameters, buffers and results equal those of `nn.BatchNorm2d`.

    Args:
        channels: C of the inputs (B, C, H, W).
        eps: added to the variance, so that a constant channel is not divided by zero.
        momentum: weight of each batch's statistics in the moving averages.

    Raises:
        ValueError: there is only one value per channel in training, so the variance is undefined.

    Source: Ioffe & Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2; fast.ai deep learning course, lesson 7
    (BnLayer, which does not save its statistics and has no eps).
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (B, C, H, W), in fp32 for half-precision inputs; the result has the input's dtype."""
        values = x.to(self.weight.dtype)
        if self.training:
            mean, var = self._update(values)
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight / (var + self.eps).sqrt()
        return ((values - _spatial(mean)) * _spatial(scale) + _spatial(self.bias)).to(x.dtype)

    def _update(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch's mean and variance (C,), and update the moving averages."""
        count = x.numel() // x.shape[1]
        if count < 2:
            raise ValueError("batch normalization requires at least 2 values per channel to train (got 1)")
        mean = x.mean((0, 2, 3))
        var = x.var((0, 2, 3), unbiased=False)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)  # unbiased
            self.num_batches_tracked += 1
        return mean, var


def _spatial(channels: Tensor) -> Tensor:
    """Reshape (C,) to (C, 1, 1), to broadcast over (B, C, H, W)."""
    return channels[:, None, None]
