"""Read exported files with the plugins that provide their formats. Torch-free."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zoo.errors import SpecError, WeightsError, ZooError, cause
from zoo.files.downloads import require_sha256
from zoo.files.exported import Exported, Program
from zoo.registry.extras import needing_extra
from zoo.registry.registry import Registry


def read_exported(registry: Registry, path: Path, *, sha256: str = "") -> Exported | None:
    """Return the content of an exported file; None if no format has its suffix.

    Raises:
        WeightsError: zoo can write this format but not read it, or the file is damaged or was not written by
            zoo.
        DataError: the file does not match the given `sha256`.
        SpecError: the reader fails, or it or a package that it needs is not installed.
    """
    entry = registry.exporter_of(path)
    if entry is None:
        return None
    if not entry.spec.reader:
        hint = "reading such a file can run code; if you trust it, open it without zoo"
        raise WeightsError(
            f"{path} is a {entry.spec.suffix} file, which zoo can write but not read", hint=hint
        )
    running = f"running {path.name}"
    with needing_extra(entry, running):
        read = entry.spec.load_reader()
        try:
            found = read(path)
        except (ZooError, ImportError):
            raise
        except Exception as error:
            why = f"the reader of {entry.name} failed: {cause(error)}"
            raise SpecError(f"{path} cannot be read: {why}") from error
    if not isinstance(found, Exported):
        raise SpecError(f"{entry.name}: its reader must return an Exported (got a {type(found).__name__})")
    if sha256:
        require_sha256(path, found.sha256, sha256)

    def start(threads: int) -> Program:
        with needing_extra(entry, running):
            return found.start(threads)

    return replace(found, start=start)
