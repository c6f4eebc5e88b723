"""Faults by number: the n-th call that changes the disk fails, or is the last one that reaches the disk."""

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
    """The process or the machine has died: no code that runs afterwards reaches the disk."""


class Disk:
    """Count the calls that change the disk, and make call number `at` fail as `kind` says.

    Attributes:
        calls: the name of each call so far, such as `write`.
    """

    def __init__(self, at: int = 0, kind: str = "crash") -> None:
        self.at, self.kind = at, kind
        self.calls: list[str] = []

    def count(self, name: str, half: Callable[[], object] = lambda: None) -> None:
        """Count a call. If it must fail, do half of its work by `half` and raise."""
        if self.kind == "crash" and self.at and len(self.calls) >= self.at:
            raise Crash  # the clean-up after a crash never happens
        self.calls.append(name)
        if len(self.calls) == self.at:
            half()
            if self.kind == "crash":
                raise Crash
            number = getattr(errno, self.kind)
            raise OSError(number, os.strerror(number))


class _File:
    """An unbuffered file whose writes are counted."""

    def __init__(self, disk: Disk, file: Any) -> None:
        self._disk, self._file = disk, file

    def write(self, data: Any) -> int:
        half = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
        self._disk.count("write", lambda: self._file.write(half))
        return self._file.write(data)

    def flush(self) -> None:
        self._disk.count("flush")

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def failing(disk: Disk) -> Generator[Disk]:
    """Count opening for writing, write, flush, fsync, rename and unlink with `disk`, which may fail them."""
    real_open = io.open

    def opened(path: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if "b" not in mode or not set(mode) & set("wxa+"):
            return real_open(path, mode, *rest, **named)
        disk.count("open")
        return _File(disk, real_open(path, mode, 0))

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            disk.count(name)
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", opened)
        for name in ("fsync", "replace", "rename", "unlink"):
            patch.setattr(os, name, counted(name, getattr(os, name)))
        yield disk
