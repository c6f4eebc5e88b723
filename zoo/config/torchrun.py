"""The rank of this process in distributed training, as set by torchrun. Does not import torch."""

from __future__ import annotations

import os


def is_one_of_several() -> bool:
    """Return whether torchrun, or a similar launcher, started this process."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def is_first() -> bool:
    """Return whether this process prints, because it is the only one or the first of several."""
    return not is_one_of_several() or os.environ["RANK"] == "0"
