"""Collect the faults of a dataset's files, such as unreadable images, instead of stopping at the first.

A dataset is opened by its name, so the collection is a context variable rather than an argument.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from zoo.errors import DataError

_FAULTS: ContextVar[dict[Path, DataError] | None] = ContextVar("faults", default=None)


@contextmanager
def collecting_faults() -> Generator[dict[Path, DataError]]:
    """Yield a dict to which datasets that are opened in the `with` block add the files that they skip."""
    faults: dict[Path, DataError] = {}
    token = _FAULTS.set(faults)
    try:
        yield faults
    finally:
        _FAULTS.reset(token)


def collected_faults() -> dict[Path, DataError] | None:
    """Return the dict to which a dataset adds each file or folder that it skips, with the error.

    Return None unless `zoo data check` collects them; the dataset then raises the first error.
    """
    return _FAULTS.get()
