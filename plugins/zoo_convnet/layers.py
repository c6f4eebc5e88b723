"""Layers that the networks share: a convolution with normalization and activation, and a residual layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_convnet.batch_norm import BatchNorm

Norm = Literal["batchnorm", "scratch", "none"]
Order = Literal["conv-bn-relu", "conv-relu-bn"]
Activation = Literal["relu", "gelu", "silu"]
Channels = Annotated[int, Meta(ge=1)]
Widths = Annotated[Sequence[Channels], Meta(min_length=1)]
Share = Annotated[float, Meta(ge=0, lt=1)]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


@dataclass(frozen=True, slots=True)
class LayerStyle:
    """The options that all layers of a network share.

    Attributes:
        norm: `batchnorm` (torch), `scratch` (implemented in zoo), or `none`, in which case convolutions have
            a bias.
        order: `conv-relu-bn` normalizes after the activation, as in the fast.ai lesson; `conv-bn-relu`
            normalizes before it, as in Ioffe & Szegedy 2015 and most networks.
    """

    norm: Norm = "batchnorm"
    order: Order = "conv-relu-bn"
    activation: Activation = "relu"


def require_size(image_size: int, halvings: int, *, lost: int = 0) -> None:
    """Raise ValueError if images are too small to be halved this many times after losing `lost` pixels."""
    least = 2**halvings + lost
    if image_size < least:
        raise ValueError(
            f"image_size must be at least {least} to be halved {halvings} times (got {image_size})"
        )


def largest(x: Tensor) -> Tensor:
    """Return the largest value of each channel, (B, C, H, W) to (B, C): global max-pooling.

    On a GPU, the gradients of pooling are added in an arbitrary order, so `--deterministic` uses `max`
    instead; on a CPU, pooling is up to twenty times as fast as `max`.
    """
    if torch.are_deterministic_algorithms_enabled():
        return x.flatten(2).max(2).values
    return F.adaptive_max_pool2d(x, 1).flatten(1)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return a normalization layer for inputs (B, C, H, W)."""
    if norm == "none":
        return nn.Identity()
    return nn.BatchNorm2d(channels) if norm == "batchnorm" else BatchNorm(channels)


class ConvLayer(nn.Module):
    """Convolution, activation and normalization: (B, in, H, W) to (B, out, H / stride, W / stride)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style: LayerStyle,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
    ) -> None:
        super().__init__()
        bias = style.norm == "none"
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        self.norm = make_norm(style.norm, out_channels)
        self.activation = ACTIVATIONS[style.activation]
        self.normalize_first = style.order == "conv-bn-relu"

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.normalize_first:
            return self.activation(self.norm(x))
        return self.norm(self.activation(x))


class Residual(nn.Module):
    """A residual layer, which learns the change to add to its input; without `skip`, only the layer."""

    def __init__(self, layer: nn.Module, *, skip: bool = True) -> None:
        super().__init__()
        self.layer = layer
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x) if self.skip else self.layer(x)
