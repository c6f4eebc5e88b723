"""How often the most likely next token is the correct one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class TokenAccuracy:
    """The fraction of tokens that the model predicts correctly."""

    def items(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return whether each token is the most likely, (T, B), for logits (T, B, V) and tokens (T, B)."""
        return {"right": outputs.argmax(-1) == targets}

    def value(self, sums: Mapping[str, Any], count: int) -> float:
        """Return the fraction of correct tokens."""
        return float(sums["right"]) / count
