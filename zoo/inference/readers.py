"""A language model that reads tokens, whatever computes it: arrays of numpy in and out. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Numbers", "Read", "Reader", "Tokens"]

Tokens = NDArray[np.int64]
Numbers = NDArray[np.floating[Any]]
# Maps tokens (T, B) and a state, None at the start, to the logits after the last ones, (B, V), and the state
Read = Callable[[Tokens, Any], tuple[Numbers, Any]]


class Reader(Protocol):
    """What text is sampled from: `zoo.inference.modules.ModuleReader`, or an exported file."""

    def reading(self) -> AbstractContextManager[Read]:
        """Return a function that reads tokens, as a context manager: within it the model computes."""
        ...
