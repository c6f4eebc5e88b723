"""A network made to learn CIFAR-10 in ten epochs: wide early, small soon, no shortcuts."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_convnet.layers import ACTIVATIONS, Activation, Norm, Widths, make_norm, require_size


class Airbench(nn.Module):
    """A convolution of neighbours, three groups of two convolutions, max pooling and a scaled linear layer.

    It has the shape of its source and not all of its tricks: there the first layer is fixed beforehand, to
    whiten the data's patches, BatchNorm has no scale, and biases learn faster.

    Args:
        in_channels: of the images.
        image_size: height and width in pixels; any size works that can be halved once for each group.
        num_classes: labels.
        widths: channels after the first layer and after each group; 24, 64, 256, 256 are 1.97 M parameters.
        scale: of the logits; a small one keeps the first steps calm at a high learning rate.
        norm, activation: see `zoo_convnet.layers.Style`.

    Raises:
        ValueError: for images too small to be halved so often.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, section 3.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        widths: Widths = (24, 64, 256, 256),
        scale: float = 1 / 9,
        norm: Norm = "batchnorm",
        activation: Activation = "gelu",
    ) -> None:
        super().__init__()
        require_size(image_size, len(widths) - 1, lost=1)
        self.stem = nn.Conv2d(in_channels, widths[0], 2)
        self.activation = ACTIVATIONS[activation]
        self.groups = nn.Sequential(
            *(Group(before, after, norm, activation) for before, after in pairwise(widths))
        )
        self.out = nn.Linear(widths[-1], num_classes, bias=False)
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        x = self.groups(self.activation(self.stem(images)))  # (B, W, H / 8, W / 8)
        x = F.adaptive_max_pool2d(x, 1).flatten(1)  # (B, W)
        return self.out(x) * self.scale


class Group(nn.Module):
    """Two 3×3 convolutions, the image halved after the first: (B, in, H, W) to (B, out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm, activation: Activation) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
        self.norm1 = make_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.norm2 = make_norm(norm, out_channels)
        self.activation = ACTIVATIONS[activation]
        for conv in (self.conv1, self.conv2):  # as many filters as fit pass their input on at first
            nn.init.dirac_(conv.weight[: conv.in_channels].data)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return self.activation(self.norm2(self.conv2(x)))
