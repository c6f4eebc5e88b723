"""A network designed for fast training on CIFAR-10, with wide early layers and no shortcuts."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_convnet.layers import ACTIVATIONS, Activation, Norm, Widths, largest, make_norm, require_size


class Airbench(nn.Module):
    """A whitening layer, three groups of two convolutions, max pooling and a scaled linear layer.

    The first layer is not trained. `fit_inputs` sets its weights to whiten the data: whitening removes the
    correlation of neighboring pixels, so that the later layers learn twice as fast. BatchNorm layers have no
    learned scale.

    Args:
        in_channels: number of channels of the images.
        image_size: height and width in pixels, large enough to be halved once per group.
        num_classes: number of classes.
        widths: channels of the first layer and of each group; the default results in 1.97 million parameters.
        scale: multiplier of the logits; a small value keeps the first steps stable at a high learning rate.
        norm: `batchnorm` (torch), `scratch` (implemented in zoo), or `none`, in which case convolutions have
            a bias.
        activation: activation function.

    Raises:
        ValueError: the images are too small.

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
        self.stem.weight.requires_grad_(False)
        self.activation = ACTIVATIONS[activation]
        self.groups = nn.Sequential(
            *(Group(before, after, norm, activation) for before, after in pairwise(widths))
        )
        self.out = nn.Linear(widths[-1], num_classes, bias=False)
        self.scale = scale

    @torch.no_grad()
    def fit_inputs(self, inputs: Tensor) -> None:
        """Set the first layer's weights to whiten images like `inputs` (B, C, H, W).

        The outputs of the layer then have variance 1.

        Each eigenvector of the covariance of 2×2 patches is a filter, and so is its negative. Additional
        filters stay random; if there are too few filters, the directions of least variance are omitted.
        """
        patches = F.unfold(inputs.float(), 2).transpose(1, 2).flatten(0, 1)  # (B L, 4 C)
        variances, directions = torch.linalg.eigh(torch.cov(patches.T))  # ascending, in columns
        filters = (directions / (variances + 5e-4).sqrt()).T.flip(0)  # (4 C, 4 C), widest first
        weight = self.stem.weight
        filters = filters[: len(weight) // 2].view(-1, *weight.shape[1:])
        weight[: 2 * len(filters)] = torch.cat([filters, -filters]).to(weight)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        x = self.groups(self.activation(self.stem(images)))  # (B, W, H / 8, W / 8)
        x = largest(x)  # (B, W)
        return self.out(x) * self.scale


class Group(nn.Module):
    """Two 3×3 convolutions, with pooling after the first: (B, in, H, W) to (B, out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm, activation: Activation) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
        self.norm1 = make_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.norm2 = make_norm(norm, out_channels)
        self.activation = ACTIVATIONS[activation]
        if norm != "none":
            for layer in (self.norm1, self.norm2):
                layer.weight.requires_grad_(False)  # a scale only changes how fast the next layer learns
        for conv in (self.conv1, self.conv2):  # the first filters start as the identity
            nn.init.dirac_(conv.weight[: conv.in_channels].data)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return self.activation(self.norm2(self.conv2(x)))
