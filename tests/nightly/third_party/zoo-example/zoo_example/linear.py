"""One matrix from pixels to logits."""

from torch import Tensor, nn


class Linear(nn.Module):
    """Flatten and multiply."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(in_channels * image_size**2, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        return self.out(images.flatten(1))
