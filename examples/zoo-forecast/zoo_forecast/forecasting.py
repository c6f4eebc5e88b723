"""The task."""

import math

import torch

from zoo.interfaces import Step
from zoo.plugin import ItemTask


def pinball_losses(outputs, targets, quantiles):
    """Return the pinball loss of each item, (B,), for quantiles (B, H, Q) of targets (B, H).

    It is smallest if a fraction q of the targets lies below the forecast of the quantile q.
    """
    q = outputs.new_tensor(quantiles)
    errors = targets[..., None] - outputs  # (B, H, Q)
    return torch.maximum(q * errors, (q - 1) * errors).mean((1, 2))


class Forecasting(ItemTask):
    """A model maps scaled histories (B, T) to quantiles (B, H, Q) of the next values, also scaled."""

    def prepare_targets(self, targets, preprocess):
        """Return targets on the scale of the histories."""
        return self.prepare(targets, preprocess)

    def step(self, model, batch, state=None, *, config=None):
        """Return the mean pinball loss, and its sum over the items."""
        losses = pinball_losses(model(batch.inputs).float(), batch.targets, batch.preprocess["quantiles"])
        each = losses.detach()
        return Step(losses.mean(), {"loss": each.sum()}, len(each), items=lambda: {"loss": each})

    def metrics(self, sums, count, preprocess):
        """Return the loss, on the scale of the model."""
        return {"loss": sums["loss"] / count}

    def baseline(self, preprocess):
        """Return the loss of always forecasting the mean of normally distributed values."""
        return {"loss": 1 / math.sqrt(2 * math.pi)}
