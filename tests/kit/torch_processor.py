"""A processor whose module imports torch at once."""

import torch

from zoo_images.processors import ClassProcessor


class TorchProcessor(ClassProcessor):
    device = torch.device("cpu")
