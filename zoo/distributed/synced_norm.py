"""BatchNorm with the statistics of the whole batch in distributed training.

torch's SyncBatchNorm works only on GPUs. If synchronization is off, and in other kinds of layers, each
process normalizes its own part of the batch; see `zoo.distributed.buffers` for the running statistics.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.distributed.ranks import Ranks

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@contextmanager
def synced_norms(model: nn.Module, ranks: Ranks, *, wanted: bool = True) -> Generator[None]:
    """Make every torch BatchNorm normalize with the statistics of all processes in the `with` block."""
    several = wanted and ranks.world_size > 1
    norms = [each for each in model.modules() if several and type(each) in _KINDS]
    kinds = {kind: _synced(kind, ranks) for kind in {type(norm) for norm in norms}}
    for norm in norms:
        norm.__class__ = kinds[type(norm)]
    try:
        yield
    finally:
        for norm in norms:
            norm.__class__ = type(norm).__base__ or type(norm)


def unsynced_norms(model: nn.Module) -> list[str]:
    """Return the names of modules with running statistics that `synced_norms` cannot synchronize."""
    return [
        name
        for name, module in model.named_modules()
        if hasattr(module, "running_mean") and type(module) not in _KINDS
    ]


def _synced(kind: Any, ranks: Ranks) -> Any:
    """Return a subclass of a BatchNorm class that uses the statistics of all processes during training."""

    def forward(norm: Any, x: Tensor) -> Tensor:
        evaluating = torch.is_inference_mode_enabled()  # in which each process has whole batches
        if evaluating or (not norm.training and norm.running_mean is not None):
            return kind.forward(norm, x)
        y, mean, var = _WholeBatch.apply(x, norm.weight, norm.bias, norm.eps, ranks)
        if norm.training and norm.running_mean is not None:
            with torch.no_grad():
                norm.num_batches_tracked += 1
                weight = norm.momentum
                weight = 1 / float(norm.num_batches_tracked) if weight is None else weight
                norm.running_mean.lerp_(mean, weight)
                norm.running_var.lerp_(var, weight)
        return y

    return type(f"Synced{kind.__name__}", (kind,), {"forward": forward, "of_the_whole_batch": True})


class _WholeBatch(torch.autograd.Function):
    """Normalize with statistics over the values of all processes."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalized x (B, C, ...), the mean (C,) and the unbiased variance (C,)."""
        channels = x.shape[1]
        # As torch's own BatchNorm takes them, which would keep running statistics in these
        dtype = torch.promote_types(x.dtype, torch.float32)
        unused = x.new_zeros(channels, dtype=dtype)
        mean, var = torch.batch_norm_update_stats(x, unused, unused, 0.0)
        # The variance of all is a difference of numbers that may be much larger
        mean, var = mean.double(), var.double()
        means = torch.cat([mean, torch.addcmul(var, mean, mean), mean.new_ones(1)])
        *sums, count = ranks.all_reduce(means.mul_(x.numel() // channels)).split([channels, channels, 1])
        mean, square = (each.div_(count) for each in sums)
        var = torch.addcmul(square, mean, mean, value=-1).clamp_min_(0)
        unbiased = (var * count).div_((count - ranks.copies).clamp_min_(1)).to(dtype)
        mean, var = mean.to(dtype), var.to(dtype)
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.ranks = eps, ranks
        ctx.mark_non_differentiable(mean, unbiased)
        return F.batch_norm(x, mean, var, weight, bias, eps=eps), mean, unbiased

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        """Return the gradients for x, weight and bias; the last two cover only this process's part."""
        (x, weight, mean, var, count), dy = ctx.saved_tensors, gradients[0]
        none = mean.new_empty(0)  # a GPU's kernel refuses None here, which a CPU's takes
        ones = torch.ones_like(mean) if weight is None else weight
        _, dw, db = torch.ops.aten.native_batch_norm_backward(
            dy, x, ones, mean, var, none, none, False, ctx.eps, [False, True, True]
        )
        means = ctx.ranks.all_reduce(torch.stack([dw, db]).double()).div_(count)
        scale = (var + ctx.eps).rsqrt_()
        scale = scale if weight is None else scale.mul_(weight)
        # scale * (dy - normalized x * the mean of (dy * normalized x) - the mean of dy)
        dx = F.batch_norm(x.to(mean.dtype), mean, var, *means.mul_(-scale).to(mean.dtype), eps=ctx.eps)
        dx = dx.addcmul_(dy, scale.view(1, -1, *[1] * (x.ndim - 2))).to(x.dtype)
        return dx, None if weight is None else dw, None if weight is None else db, None, None
