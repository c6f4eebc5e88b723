"""The residual network of the fast.ai lesson: each residual layer is a single convolution."""

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
    Residual,
    Share,
    Widths,
    largest,
    require_size,
)


class ResNetLite(nn.Module):
    """A stem, a stage for each remaining width, adaptive max pooling, dropout and a linear layer.

    Args:
        in_channels: number of channels of the images.
        image_size: height and width in pixels, large enough to be halved once per stage.
        num_classes: number of classes.
        widths: channels of the stem and of each stage.
        extra: number of residual layers in each stage, after the layer that halves the image.
        skip: whether a residual layer adds its input to its output; without it, the layers only follow one
            another.
        stem: `conv5`, a plain 5×5 convolution, or `bn7`, a 7×7 layer with BatchNorm and padding 1.
        norm: `batchnorm` (torch), `scratch` (implemented in zoo), or `none`, in which case convolutions have
            a bias.
        order: whether a layer normalizes before its activation (`conv-bn-relu`, as most networks do) or after
            it (`conv-relu-bn`, as in the fast.ai lesson).
        activation: activation function.
        dropout: dropout before the linear layer.

    Raises:
        ValueError: the images are too small.

    Source: fast.ai deep learning course, lesson 7 (Resnet: 769,170 parameters; Resnet2, with `bn7`, widths
        [16, 32, 64, 128, 256] and dropout 0.2: 1,966,234).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        widths: Widths = (10, 20, 40, 80, 160),
        extra: Annotated[int, Meta(ge=0)] = 2,
        skip: bool = True,
        stem: Literal["conv5", "bn7"] = "conv5",
        norm: Norm = "batchnorm",
        order: Order = "conv-relu-bn",
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        require_size(image_size, len(widths) - 1)
        style = LayerStyle(norm, order, activation)
        if stem == "conv5":
            self.stem: nn.Module = nn.Conv2d(in_channels, widths[0], 5, padding=2)
        else:
            self.stem = ConvLayer(in_channels, widths[0], style, kernel_size=7)
        self.stages = nn.Sequential(
            *(_stage(before, after, style, extra, skip=skip) for before, after in pairwise(widths))
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(widths[-1], num_classes)
        nn.init.normal_(self.out.weight, std=0.01)  # the maxima are large: keep the first logits small

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        x = self.stages(self.stem(images))  # (B, W, H / 16, W / 16)
        x = largest(x)  # (B, W)
        return self.out(self.dropout(x))


def _stage(
    in_channels: int, out_channels: int, style: LayerStyle, extra: int, *, skip: bool
) -> nn.Sequential:
    """Halve the image, then refine it `extra` times: (B, in, H, W) to (B, out, H / 2, W / 2)."""
    halve = ConvLayer(in_channels, out_channels, style, stride=2)
    layers = [ConvLayer(out_channels, out_channels, style) for _ in range(extra)]
    return nn.Sequential(halve, *(Residual(layer, skip=skip) for layer in layers))
