"""A module of models that replaces a method of torch for everybody."""

from torch.optim import AdamW

from zoo.testing._tiny import TinyImages

step = AdamW.step
AdamW.step = lambda self, *given: step(self, *given)
__all__ = ["TinyImages"]
