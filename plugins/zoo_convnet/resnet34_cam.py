"""ResNet-34 with a final convolution of one channel per class, for the fast.ai lesson's activation maps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet34_Weights, resnet34

from zoo import DataError
from zoo.plugin import hashes_of, is_offline


class ResNet34CAM(nn.Module):
    """torchvision's ResNet-34 up to its last stage, then a 3×3 convolution to one channel per class.

    Args:
        in_channels: number of channels of the images; pretrained weights require 3.
        image_size: height and width in pixels; any size works, and the fast.ai lesson uses 224.
        num_classes: number of classes.
        pretrained: `none`, or torchvision's weights to start training from.

    Source: He et al. 2016, arXiv 1512.03385; fast.ai deep learning course, lesson 7 (CAM).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        pretrained: Literal["none", "IMAGENET1K_V1"] = "none",
    ) -> None:
        super().__init__()
        if pretrained != "none" and in_channels != 3:
            raise ValueError(f"pretrained={pretrained} requires images with 3 channels (got {in_channels})")
        self.pretrained = pretrained
        backbone = resnet34()
        if in_channels != 3:
            backbone.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        parts = list(backbone.named_children())[:-2]  # all but average pooling and the linear layer
        self.features = nn.Sequential()
        for name, part in parts:
            self.features.add_module(name, part)
        self.head = nn.Conv2d(512, num_classes, 3, padding=1)

    def load_pretrained(self) -> dict[str, str]:
        """Load torchvision's weights into the backbone. See `zoo.interfaces.LoadsPretrained`.

        torchvision names a file after the first digits of its sha256. These digits are checked here, since
        torch does not check files that are already in its cache.

        Raises DataError if the weights are missing or damaged.
        """
        if self.pretrained == "none":
            return {}
        weights = ResNet34_Weights[self.pretrained]
        name = weights.url.rpartition("/")[2]
        caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        home = Path(os.environ.get("TORCH_HOME", f"{caches}/torch")).expanduser()
        cached = home / "hub" / "checkpoints" / name
        if is_offline() and not cached.exists():
            raise DataError(
                f"{self.pretrained} is not cached at {cached}, and ZOO_OFFLINE disables downloads"
            )
        try:
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
            (sha256,) = hashes_of([cached])
            if not sha256.startswith(name.partition("-")[2].partition(".")[0]):
                raise ValueError(f"its sha256 is {sha256}")
            self.features.load_state_dict({key: value for key, value in state.items() if key[:3] != "fc."})
        except Exception as error:  # the network's, torch's, or tensors of the wrong shape
            first = str(error).split("\n")[0]
            raise DataError(
                f"{self.pretrained} cannot be read from {cached}: {type(error).__name__}: {first}",
                hint=f"delete the file and try again, or download it from {weights.url}",
            ) from error
        return {"architecture": "torchvision/resnet34", "dataset": self.pretrained, "sha256": sha256}

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        maps = self.head(self.features(images))  # (B, K, H / 32, W / 32)
        return F.adaptive_avg_pool2d(maps, 1).flatten(1)
