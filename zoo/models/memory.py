"""Keep freed memory for the next training step."""

from __future__ import annotations

import ctypes
import functools
import os
import sys

# The variables that set what is set here, or that switch off that glibc adapts it
_CHOICES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")
# What mallopt(3) calls M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, and the most bytes that blocks may have
_TRIM, _MMAP = -1, -3
_MOST = 1 << 30
_MOST_OF_OLD_GLIBC = 1 << 25


@functools.cache
def keep_freed_memory() -> None:
    """With glibc, let this process keep the memory that it frees, in blocks of up to 1 GiB.

    Each training step allocates and frees the same few megabytes. By default, glibc returns such blocks to
    the system and requests them again, and the system fills them with zeros, page by page, which takes up to
    a third of a step. glibc's environment variables for this behavior take precedence.
    """
    chosen = "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "") or any(map(os.environ.get, _CHOICES))
    if chosen or not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None and (mallopt(_MMAP, _MOST) or mallopt(_MMAP, _MOST_OF_OLD_GLIBC)):
        mallopt(_TRIM, _MOST)
