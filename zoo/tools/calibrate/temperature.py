"""Fit a temperature to logits, and divide the logits of a model by it.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2, arXiv 1706.04599.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import WeightsError, ZooError

# If no temperature in this range is best, the logits do not depend on the labels
_RANGE = 0.01, 100.0


@torch.inference_mode(False)
@torch.enable_grad()
def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature T that minimizes the cross-entropy of `logits / T`.

    Args:
        logits: (N, K)
        labels: (N,)

    Raises ZooError if there is no minimum, because all predictions are correct or no better than random.
    """
    if bool((logits.argmax(1) == labels).all()):
        raise ZooError("no temperature minimizes the loss: all predictions are correct")
    logits = logits.double()
    log = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [log], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    temperature = float(log.detach().exp())
    lowest, highest = _RANGE
    if not lowest < temperature < highest:
        message = f"no temperature between {lowest:g} and {highest:g} minimizes the loss"
        raise ZooError(message, hint="the predictions may be no better than random")
    return temperature


@torch.no_grad()
def divide_logits(model: nn.Module, head: str, temperature: float) -> None:
    """Divide the weight and the bias of a model's last layer by a temperature.

    Args:
        head: path of the last layer, or of a module whose last linear layer or convolution it is.

    Raises WeightsError if there is no such layer.
    """
    modules = model.get_submodule(head).modules()
    layers = [layer for layer in modules if isinstance(layer, nn.Linear | nn.Conv2d)]
    if not layers:
        raise WeightsError("the model cannot be calibrated: its head has no linear layer or convolution")
    for parameter in layers[-1].parameters():
        parameter /= temperature
