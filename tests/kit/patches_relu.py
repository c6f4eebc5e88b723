"""A module of models that replaces a function of torch for everybody."""

from torch.nn import functional as F

from zoo_images.tiny import TinyImages

relu = F.relu
F.relu = lambda *given, **named: relu(*given, **named)
__all__ = ["TinyImages"]
