"""Numbered faults: the n-th call that changes the disk fails, or is the last that the disk ever sees."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Generator
from typing import Any

import pytest

KINDS = ("crash", "ENOSPC", "EIO", "EACCES")


class Crash(BaseException):
    """The process or the machine is gone. No code after it reaches the disk."""


class Disk:
    """Counts the calls that change the disk; the one numbered `at` is hit by `kind`."""

    def __init__(self, at: int = 0, kind: str = "crash") -> None:
        self.at, self.kind = at, kind
        self.calls: list[str] = []

    def hit(self, what: str, before: Callable[[], object] = lambda: None) -> None:
        """Count a call; fail in its place, having done half of it by `before`."""
        if self.kind == "crash" and self.at and len(self.calls) >= self.at:
            raise Crash  # whatever cleans up after the crash did not happen
        self.calls.append(what)
        if len(self.calls) == self.at:
            before()
            if self.kind == "crash":
                raise Crash
            number = getattr(errno, self.kind)
            raise OSError(number, os.strerror(number))


class _File:
    """A file without a buffer whose writes are counted."""

    def __init__(self, disk: Disk, file: Any) -> None:
        self._disk, self._file = disk, file

    def write(self, data: Any) -> int:
        half = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
        self._disk.hit("write", lambda: self._file.write(half))
        return self._file.write(data)

    def flush(self) -> None:
        self._disk.hit("flush")

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def failing(disk: Disk) -> Generator[Disk]:
    """Route what writes through a Disk: open for writing, write, flush, fsync, rename, unlink."""
    real_open = io.open

    def opened(path: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if "b" not in mode or not set(mode) & set("wxa+"):
            return real_open(path, mode, *rest, **named)
        disk.hit("open")
        return _File(disk, real_open(path, mode, 0))

    def counted(what: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            disk.hit(what)
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", opened)
        for name in ("fsync", "replace", "rename", "unlink"):
            patch.setattr(os, name, counted(name, getattr(os, name)))
        yield disk
