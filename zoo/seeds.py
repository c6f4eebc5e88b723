"""Randomness by position: every random number is a function of its position.

A run has no generator state. The permutation of an epoch, the crop of a batch and the dropout of a step each
come from a generator seeded with `seed_for(seed, ...position...)`, so resuming a run requires only its
position.
"""

from __future__ import annotations

import hashlib
import operator
import threading

# Held from the seeding of torch's global generator to the last draw that depends on it. Only dropout and the
# initial weights of models need that generator: everything else draws from one of its own.
GLOBAL_GENERATOR = threading.RLock()  # an architecture may build another model


def seed_for(*position: int | str) -> int:
    """Return 63 pseudorandom bits for a position, the same on every machine and in every Python version.

    Raises TypeError for a part that is neither an integer nor a string.

    >>> seed_for(0, "step", 1, 2) == seed_for(0, "step", 1, 2) != seed_for(0, "step", 2, 1)
    True
    """
    position = tuple(part if isinstance(part, str) else operator.index(part) for part in position)
    digest = hashlib.blake2b(repr(position).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
