"""A network whose last convolution has one channel per class: high values are evidence for the class."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_convnet.layers import (
    Activation,
    ConvLayer,
    LayerStyle,
    Norm,
    Order,
    Residual,
    Share,
    Widths,
    require_size,
)


class CAMNet(nn.Module):
    """Residual stages, a 3×3 convolution to one channel per class, and the mean of each channel.

    Args:
        in_channels: number of channels of the images.
        image_size: height and width in pixels, large enough to be halved once per stage.
        num_classes: number of classes.
        widths: channels of the stem and of each stage; each stage halves the image.
        norm: `batchnorm` (torch), `scratch` (implemented in zoo), or `none`, in which case convolutions have
            a bias.
        order: whether a layer normalizes before its activation (`conv-bn-relu`, as most networks do) or after
            it (`conv-relu-bn`, as in the fast.ai lesson).
        activation: activation function.
        dropout: dropout of whole channels before the last convolution.

    Raises:
        ValueError: the images are too small.

    Source: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", arXiv 1512.04150;
    fast.ai deep learning course, lesson 7 (CAM).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        widths: Widths = (32, 64, 128),
        norm: Norm = "batchnorm",
        order: Order = "conv-bn-relu",
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        require_size(image_size, len(widths) - 1)
        style = LayerStyle(norm, order, activation)
        self.stem = ConvLayer(in_channels, widths[0], style)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    ConvLayer(before, after, style, stride=2), Residual(ConvLayer(after, after, style))
                )
                for before, after in pairwise(widths)
            )
        )
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(widths[-1], num_classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        x = self.stages(self.stem(images))
        maps = self.head(self.dropout(x))  # (B, K, H / 2^stages, ...)
        return F.adaptive_avg_pool2d(maps, 1).flatten(1)
