"""Find published weights, and check their hash first."""

from __future__ import annotations

from pathlib import Path

from zoo.files import downloads
from zoo.registry.registry import Registry
from zoo.registry.weights_files import locate_weights


def find_weights(registry: Registry, name: str | Path) -> Path:
    """Return the file that a name refers to; the sha256 of a published file is checked.

    Raises the errors of `locate_weights`, and DataError if a published file is damaged.
    """
    path, sha256 = locate_weights(registry, name)
    return downloads.verified(path, sha256) if sha256 else path
