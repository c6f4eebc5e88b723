"""Further metrics for classifiers, and the focal loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F


class MacroF1:
    """The mean F1 score of the classes that have images or predictions, as in scikit-learn."""

    def items(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return each image's class, predicted class, and class if both agree, as one-hot rows (B, K)."""
        return one_hot(outputs, targets)

    def value(self, sums: Mapping[str, Any], count: int) -> float:
        """Return the mean over classes of 2 right / (true + predicted)."""
        total = sums["true"] + sums["predicted"]  # (K,)
        found = total > 0
        return float((2 * sums["right"][found] / total[found]).mean())


class MatthewsCorrelation:
    """The correlation of labels and predictions, from -1 to 1; 0 for guesses, regardless of class sizes.

    Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient".
    """

    def items(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return each image's class, predicted class, and class if both agree, as one-hot rows (B, K)."""
        return one_hot(outputs, targets)

    def value(self, sums: Mapping[str, Any], count: int) -> float:
        """Return the covariance of labels and predictions over the product of their standard deviations."""
        true, predicted = sums["true"], sums["predicted"]  # (K,)
        covariance = count * sums["right"].sum() - (true * predicted).sum()
        deviations = ((count**2 - (true**2).sum()) * (count**2 - (predicted**2).sum())) ** 0.5
        return float(covariance / deviations) if deviations else 0.0


class FocalLoss:
    """Cross-entropy in which images that are already classified well count less.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv 1708.02002.

    Args:
        gamma: exponent of 1 - p, where p is the probability of the label; 0 gives the cross-entropy.
    """

    def __init__(self, *, gamma: Annotated[float, Meta(ge=0, le=1e38)] = 2.0) -> None:
        self._gamma = gamma

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each image, (B,), for logits (B, K) and labels (B,) or probabilities (B, K)."""
        entropy = F.cross_entropy(outputs, targets, reduction="none")
        return (1 - (-entropy).exp()) ** self._gamma * entropy


def one_hot(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return one-hot labels, predictions, and labels that are predicted, (B, K), int64."""
    true, predicted = (F.one_hot(each, outputs.shape[1]) for each in (targets, outputs.argmax(1)))
    return {"true": true, "predicted": predicted, "right": true * predicted}
