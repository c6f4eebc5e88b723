"""The plain convolutional networks of the fast.ai lesson: every stage halves the image and adds channels."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn

from zoo_convnet.layers import (
    Activation,
    ConvLayer,
    LayerStyle,
    Norm,
    Order,
    Share,
    Widths,
    largest,
    require_size,
)


class ConvNet(nn.Module):
    """Stages of 3×3 convolutions with stride 2, adaptive max pooling, dropout and a linear layer.

    Args:
        in_channels: number of channels of the images.
        image_size: height and width in pixels, large enough to be halved once per stage.
        num_classes: number of classes.
        widths: channels of the stem, if there is one, and of each stage.
        stem: `none`, or `conv5`, a plain 5×5 convolution at full size.
        extra: number of stride-1 layers in each stage, after the stride-2 layer.
        norm: `batchnorm` (torch), `scratch` (implemented in zoo), or `none`, in which case convolutions have
            a bias.
        order: whether a layer normalizes before its activation (`conv-bn-relu`, as most networks do) or after
            it (`conv-relu-bn`, as in the fast.ai lesson).
        activation: activation function.
        dropout: dropout before the linear layer.

    Raises:
        ValueError: the images are too small.

    Source: fast.ai deep learning course, lesson 7 (ConvNet: 37,490 parameters; ConvBnNet: 155,970;
    ConvBnNet2: 462,570).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        widths: Widths = (10, 20, 40, 80, 160),
        stem: Literal["none", "conv5"] = "conv5",
        extra: Annotated[int, Meta(ge=0)] = 0,
        norm: Norm = "batchnorm",
        order: Order = "conv-relu-bn",
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        require_size(image_size, len(widths) - (stem == "conv5"))
        style = LayerStyle(norm, order, activation)
        self.stem = nn.Conv2d(in_channels, widths[0], 5, padding=2) if stem == "conv5" else nn.Identity()
        sizes = widths if stem == "conv5" else (in_channels, *widths)
        self.stages = nn.Sequential(
            *(_stage(before, after, style, extra) for before, after in pairwise(sizes))
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        x = self.stages(self.stem(images))  # (B, W, H / 2^stages, ...)
        x = largest(x)  # (B, W)
        return self.out(self.dropout(x))


def _stage(in_channels: int, out_channels: int, style: LayerStyle, extra: int) -> nn.Sequential:
    halve = ConvLayer(in_channels, out_channels, style, stride=2)
    return nn.Sequential(halve, *(ConvLayer(out_channels, out_channels, style) for _ in range(extra)))
