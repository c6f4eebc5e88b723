"""How often the likeliest next token is the right one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["TokenAccuracy"]


class TokenAccuracy:
    """The fraction of tokens that the model predicts as the likeliest."""

    def items(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return whether each token is the likeliest, (T, B), for logits (T, B, V) and tokens (T, B)."""
        return {"right": outputs.argmax(-1) == targets}

    def value(self, sums: Mapping[str, Any], count: int) -> float:
        """Return the fraction of right tokens."""
        return float(sums["right"]) / count
