"""Which of several processes of a training this one is, by the variables that torchrun sets. Torch-free."""

from __future__ import annotations

import os


def is_one_of_several() -> bool:
    """Return whether torchrun, or something like it, has started this process among others."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def is_first() -> bool:
    """Return whether this process is the one that speaks: the only one, or the first of several."""
    return not is_one_of_several() or os.environ["RANK"] == "0"
