"""U-Net (Ronneberger et al. 2015, arXiv 1505.04597), small and with batch normalization."""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["UNet"]


class UNet(nn.Module):
    """An encoder and a decoder with skip connections.

    In the encoder, each level halves the image and doubles the channels: it covers a larger context, but
    loses positions. In the decoder, each level also reads the encoder's features of the same size through a
    skip connection, which restores the positions.

    Args:
        width: channels of the first level.
        depth: number of times that the image is halved.

    Raises ValueError if the images are too small for this depth.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        width: Annotated[int, Meta(ge=1, le=512)] = 16,
        depth: Annotated[int, Meta(ge=1, le=6)] = 3,
    ) -> None:
        super().__init__()
        if image_size < 2**depth:
            raise ValueError(f"depth={depth} requires at least {2**depth} pixels (got {image_size})")
        widths = [width * 2**level for level in range(depth)]  # such as 16, 32, 64
        inner = [in_channels, *widths[:-1]]
        self.downs = nn.ModuleList(block(*pair) for pair in zip(inner, widths, strict=True))
        self.bottom = block(widths[-1], 2 * widths[-1])
        self.ups = nn.ModuleList(block(2 * wide + wide, wide) for wide in widths)  # ups[0] comes last
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K, H, W)."""
        x, skips = images, []
        for down in self.downs:
            skips.append(down(x))  # (B, width 2^level, H / 2^level, W / 2^level)
            x = F.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for up, skip in zip(reversed(self.ups), reversed(skips), strict=True):
            x = F.interpolate(x, size=skip.shape[2:])  # by repeating pixels, also to an odd size
            x = up(torch.cat([skip, x], 1))
        return self.head(x)


def block(before: int, after: int) -> nn.Sequential:
    """Return two convolutions that keep the size, each with batch normalization and ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
