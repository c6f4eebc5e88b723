"""Exported files, read by whoever provides their format. Torch-free."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zoo.errors import SpecError, WeightsError
from zoo.files.downloads import require_sha256
from zoo.files.exported import Exported, Program
from zoo.registry.extras import needing_extra
from zoo.registry.registry import Registry


def read_exported(registry: Registry, path: Path, *, sha256: str = "") -> Exported | None:
    """Return what an exported file holds; None if its suffix is that of no format.

    Raises:
        WeightsError: its format is only written, or it is damaged or none of zoo's.
        DataError: it does not have the `sha256` that it must have.
        SpecError: what reads it is not installed.
    """
    entry = registry.exporter_of(path)
    if entry is None:
        return None
    if not entry.spec.reader:
        hint = "reading one can run code; what you trust can be read without zoo"
        raise WeightsError(
            f"{path} is a {entry.spec.suffix} file, which zoo writes but does not read", hint=hint
        )
    running = f"running {path.name}"
    with needing_extra(entry, running):
        found = entry.spec.load_reader()(path)
    if not isinstance(found, Exported):
        raise SpecError(f"{entry.name}: its reader must return an Exported (got a {type(found).__name__})")
    if sha256:
        require_sha256(path, found.sha256, sha256)

    def start(threads: int) -> Program:
        with needing_extra(entry, running):
            return found.start(threads)

    return replace(found, start=start)
