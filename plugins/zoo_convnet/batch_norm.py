"""Batch normalisation, written out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Give each channel mean 0 and deviation 1 over the batch, then a scale and a shift that are learnt.

    One image in evaluation has no batch to compare itself with, so training keeps moving averages of the mean
    and the variance. They are buffers: part of what is saved, moved and averaged with the model, but nothing
    that gradients reach. Parameters, buffers and results are those of `nn.BatchNorm2d`.

    Args:
        channels: C of the images (B, C, H, W) it takes.
        eps: added to the variance, so that a constant channel is not divided by zero.
        momentum: how much of each batch's statistics goes into the averages.

    Raises:
        ValueError: in training, for one value per channel, which has no variance.

    Source: Ioffe & Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2; fast.ai deep learning course, lesson 7
    (BnLayer, which forgets its statistics when it is saved and has no eps).
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
        """Normalise (B, C, H, W), half precision in fp32; the result has the dtype of the input."""
        values = x.to(self.weight.dtype)
        if self.training:
            mean, var = self._learn(values)
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight / (var + self.eps).sqrt()
        return ((values - _each(mean)) * _each(scale) + _each(self.bias)).to(x.dtype)

    def _learn(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch's mean and variance (C,), and move the averages towards them."""
        count = x.numel() // x.shape[1]
        if count < 2:
            raise ValueError("batch normalisation learns from two values per channel or more, and got one")
        mean = x.mean((0, 2, 3))
        var = x.var((0, 2, 3), unbiased=False)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)  # unbiased
            self.num_batches_tracked += 1
        return mean, var


def _each(channel: Tensor) -> Tensor:
    """(C,) to (C, 1, 1), to go with (B, C, H, W)."""
    return channel[:, None, None]
