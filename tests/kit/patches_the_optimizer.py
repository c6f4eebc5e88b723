"""A module of models that replaces a method of torch for everybody."""

from torch.optim import AdamW

from zoo_images.tiny import TinyImages

step = AdamW.step
AdamW.step = lambda self, closure=None: step(self, closure)
__all__ = ["TinyImages"]
