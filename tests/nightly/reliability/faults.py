"""Faults by number: the n-th call that changes the disk fails, or is the last one that reaches the disk."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

# `kill` is for processes of their own
KINDS = ("crash", "ENOSPC", "EIO", "EACCES")


class Crash(BaseException):
    """The process or the machine has died: no code that runs afterwards reaches the disk."""


class Disk:
    """Count the calls that change the disk, and make call number `at` fail as `kind` says.

    Attributes:
        calls: the name of each call so far and its file, such as `write model.safetensors`.
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
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.kind == "crash":
                raise Crash
            number = getattr(errno, self.kind)
            raise OSError(number, os.strerror(number))


class _File:
    """An unbuffered file whose writes are counted."""

    def __init__(self, disk: Disk, file: Any, name: str) -> None:
        self._disk, self._file, self._name = disk, file, name

    def write(self, data: Any) -> int:
        half = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
        self._disk.count(f"write {self._name}", lambda: self._file.write(half))
        return self._file.write(data)

    def flush(self) -> None:
        self._disk.count(f"flush {self._name}")

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _target(file: Any) -> str:
    """Return the name of the file that a path, a descriptor or a temporary file stands for."""
    path = Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else Path(file)
    if temporary := re.fullmatch(r"\.(.+)\.[^.]+\.[0-9a-f]{8}\.tmp", path.name):
        return temporary[1]
    return "the folder" if path.is_dir() else path.name


@contextlib.contextmanager
def failing(disk: Disk) -> Generator[Disk]:
    """Count opening for writing, write, flush, fsync, rename and unlink with `disk`, which may fail them."""
    real_open = io.open

    def opened(path: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if "b" not in mode or not set(mode) & set("wxa+"):
            return real_open(path, mode, *rest, **named)
        name = _target(path)
        disk.count(f"open {name}")
        return _File(disk, real_open(path, mode, 0, **named), name)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            disk.count(f"{name} {_target(arguments[-1])}")
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", opened)
        for name in ("fsync", "replace", "rename", "unlink"):
            patch.setattr(os, name, counted(name, getattr(os, name)))
        yield disk
