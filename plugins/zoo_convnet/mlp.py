"""The fully connected network at the beginning of the fast.ai lesson."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_convnet.layers import Channels, Share


class MLP(nn.Module):
    """Linear layers with ReLU on the flattened image.

    Args:
        in_channels: number of channels of the images.
        image_size: height and width in pixels; the number of weights depends on this size.
        num_classes: number of classes.
        widths: number of units of each hidden layer.
        dropout: dropout after each hidden layer.

    Source: fast.ai deep learning course, lesson 7 (SimpleNet [3072, 40, 10]: 123,330 parameters).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        widths: Sequence[Channels] = (40,),
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        sizes = [in_channels * image_size**2, *widths]
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(sizes[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        x = images.flatten(1)
        for layer in self.hidden:
            x = self.dropout(F.relu(layer(x)))
        return self.out(x)
