"""The log of a run's steps: rows are appended during training, and later rows are removed on resume."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from zoo.errors import RunError, first_line, warn
from zoo.files.atomic import atomic_write
from zoo.files.canonical import canonical_json
from zoo.files.regular import read_regular
from zoo.training.saved import Row, StepRow

# The most that a log may have: a thousand rows of steps take a hundredth of it, and a hundred thousand epochs
_MOST_BYTES = 1 << 25


class StepLog:
    """`steps.jsonl`, open for appending. Every method may raise OSError, or RunError for an old log.

    Each row is passed to the operating system at once, so it survives if the process is killed; `sync` writes
    it to disk.

    Args:
        path: path of the file, which is created if it does not exist; a link is replaced by a file with the
            same rows.
        steps: last step to keep; rows after it, or after an invalid line, are removed.
        folder: descriptor of the open folder of `path`.
    """

    def __init__(self, path: Path, *, steps: int, folder: int | None = None) -> None:
        with atomic_write(path, folder=folder) as file:
            file.write(_rows(path, steps))
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        opened = os.open(path if folder is None else path.name, flags, dir_fd=folder)
        self._path = path
        self._file = os.fdopen(opened, "ab", buffering=0)
        self._unsynced = False

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row."""
        rest = canonical_json(row).encode() + b"\n"
        while rest:  # a disk that is nearly full takes a part of it
            rest = rest[self._file.write(rest) :]
        self._unsynced = True

    def sync(self) -> None:
        """Wait until all rows are on disk."""
        if self._unsynced:
            os.fsync(self._file.fileno())
            self._unsynced = False

    def close(self) -> None:
        """Close the file; warn if it was deleted."""
        if not os.fstat(self._file.fileno()).st_nlink:
            warn(f"{self._path} was deleted during the run, so its rows are lost")
        self._file.close()


def read_rows(path: Path, kind: type[Row] | type[StepRow]) -> list[dict[str, Any]]:
    """Return the rows of a file that may still grow; an empty list if the file does not exist yet.

    Raises RunError if the file cannot be read or a row is invalid.
    """
    content = _content(path)
    whole = content[: content.rfind(b"\n") + 1]  # the last row may be half written
    try:
        return [dict(row) for row in msgspec.json.Decoder(kind).decode_lines(whole)]
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {first_line(error)}") from None


def _content(path: Path) -> bytes:
    """Return the content of a file; empty if the file does not exist."""
    try:
        return read_regular(path, most=_MOST_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from None


def _rows(path: Path, steps: int) -> bytes:
    """Return the rows up to a step; empty if the file does not exist."""
    content, length = _content(path), 0
    for line in content.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n") or json.loads(line)["step"] > steps:
                break
        except (ValueError, TypeError, KeyError, RecursionError):
            break
        length += len(line)
    return content[:length]
