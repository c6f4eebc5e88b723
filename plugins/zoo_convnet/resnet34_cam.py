"""ResNet-34 with a last convolution of one channel per class, for the lesson's class activation maps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet34_Weights, resnet34

from zoo import DataError


class ResNet34CAM(nn.Module):
    """torchvision's ResNet-34 up to its last stage, then a 3×3 convolution to one channel per class.

    Args:
        in_channels: of the images; pretrained weights want 3.
        image_size: height and width in pixels; any size works, and the lesson has 224.
        num_classes: labels.
        weights: `none`, or weights of torchvision that a training starts from.

    Source: He et al. 2016, arXiv 1512.03385; fast.ai deep learning course, lesson 7 (CAM).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        weights: Literal["none", "IMAGENET1K_V1"] = "none",
    ) -> None:
        super().__init__()
        if weights != "none" and in_channels != 3:
            raise ValueError(f"the {weights} weights are for 3 channels, and the images have {in_channels}")
        self.weights = weights
        backbone = resnet34()
        if in_channels != 3:
            backbone.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        parts = list(backbone.named_children())[:-2]  # all but average pooling and the linear layer
        self.features = nn.Sequential()
        for name, part in parts:
            self.features.add_module(name, part)
        self.head = nn.Conv2d(512, num_classes, 3, padding=1)

    def load_pretrained(self) -> None:
        """Fill the backbone from torchvision, which checks the hash of what it downloads.

        Raises DataError where the weights are not in torch's cache and cannot be fetched.
        """
        if self.weights == "none":
            return
        found = ResNet34_Weights[self.weights]
        caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        home = Path(os.environ.get("TORCH_HOME", f"{caches}/torch")).expanduser()
        cached = home / "hub" / "checkpoints" / found.url.rpartition("/")[2]
        if os.environ.get("ZOO_OFFLINE") and not cached.exists():
            raise DataError(f"weights={self.weights} are not at {cached}, and ZOO_OFFLINE forbids fetching")
        try:
            state = found.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"weights={self.weights} could not be had from {found.url}: {error}") from error
        self.features.load_state_dict({name: value for name, value in state.items() if name[:3] != "fc."})

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        maps = self.head(self.features(images))  # (B, K, H / 32, W / 32)
        return F.adaptive_avg_pool2d(maps, 1).flatten(1)
