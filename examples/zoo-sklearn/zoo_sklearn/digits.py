"""Handwritten digits."""

import hashlib
from typing import Annotated

import torch
from msgspec import Meta
from sklearn.datasets import load_digits

from zoo.interfaces import Dataset

SPLITS = {"train": slice(0, 1437), "val": slice(1437, 1617), "test": slice(1617, 1797)}


class Digits(Dataset):
    """Grayscale digits, split 80 / 10 / 10 in a fixed order.

    Args:
        scale: factor by which the 8×8 pixels are enlarged.
    """

    def __init__(self, *, scale: Annotated[int, Meta(ge=1, le=28)] = 4) -> None:
        images, labels = load_digits(return_X_y=True)  # (N, 64) from 0 to 16, (N,)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        pixels = torch.from_numpy(images)[order].view(-1, 1, 8, 8)
        pixels = pixels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        self.images = (pixels * 255 / 16).round().to(torch.uint8)
        self.labels = torch.from_numpy(labels)[order]
        pixels = self.images[SPLITS["train"]] / 255
        self.mean, self.std = round(pixels.mean().item(), 4), round(pixels.std().item(), 4)

    @property
    def dims(self):
        """Return the channels, size and classes of the images."""
        return {"in_channels": 1, "image_size": self.images.shape[-1], "num_classes": 10}

    @property
    def preprocess(self):
        """Return the normalization and the names of the classes."""
        size, classes = self.images.shape[-1], [str(digit) for digit in range(10)]
        return {"size": size, "mean": [self.mean], "std": [self.std], "classes": classes}

    @property
    def fingerprint(self):
        """Return the sha256 of images and labels."""
        return hashlib.sha256(self.images.numpy().tobytes() + self.labels.numpy().tobytes()).hexdigest()

    def split(self, name):
        """Return the images and labels of a split."""
        return torch.utils.data.TensorDataset(self.images[SPLITS[name]], self.labels[SPLITS[name]])
