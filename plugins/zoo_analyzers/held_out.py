"""Predict the class of each item with classifiers that were fitted without the item."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_STEPS = 200


def held_out_log_probabilities(features: Tensor, labels: Tensor, *, classes: int, folds: int) -> Tensor:
    """Return the log-probabilities of each item's classes, (N, K), by k-fold cross-validation.

    For each part of the items, a multinomial logistic regression is fitted to the standardized features of
    all other parts, with scikit-learn's default penalty, C=1. The parts are always the same random ones.

    Args:
        features: (N, F)
        labels: (N,)
    """
    count = len(features)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    found = torch.zeros(count, classes)
    for part in order.chunk(min(folds, count)):
        others = torch.ones(count, dtype=torch.bool)
        others[part] = False
        mean, sd = features[others].mean(0), features[others].std(0, correction=0)
        scaled = (features - mean) / sd.where(sd > 1e-6, 1)
        scaled = torch.cat([scaled, torch.ones(count, 1)], 1)
        weights = _fitted(scaled[others], labels[others], classes)
        found[part] = (scaled[part] @ weights).log_softmax(1)
    return found


@torch.enable_grad()
def _fitted(inputs: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the weights (F + 1, K) of a logistic regression; those of the last input are not penalized."""
    weights = torch.zeros(inputs.shape[1], classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=_STEPS, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(inputs @ weights, labels) + weights[:-1].square().sum() / (2 * len(labels))
        value.backward()
        return value

    optimizer.step(loss)  # pyright: ignore[reportArgumentType] - a tensor is as good as a float
    return weights.detach()
