"""Remember the sha256 of files: a file that has not changed is not read again.

A file counts as unchanged if its path, size, modification time and status-change time are the same. Programs
cannot set the status-change time, so it also reveals a file that was replaced by an older one. If a file was
written less than two seconds before it is read, its hash is not remembered, since a later write could have
the same times.

With `zoo --verify` or `ZOO_VERIFY=1`, all files are read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from zoo.errors import DataError
from zoo.files.private_store import recalled, remember
from zoo.files.regular import open_regular
from zoo.files.work import report_work

# Nanoseconds in which a file system may give two writes one time: FAT has steps of two seconds
_TOO_RECENT = 2_000_000_000
# Files that are hashed one after another; more are hashed by threads
_FEW = 8
_MAX_THREADS = 8
_BLOCK = 1 << 20


def is_verifying() -> bool:
    """Return whether `$ZOO_VERIFY` is set, so that files are read again."""
    return bool(os.environ.get("ZOO_VERIFY"))


def sha256_of(path: Path) -> str:
    """Return a file's sha256. Raises DataError if the file cannot be read, or is a pipe or a device."""
    digest, done = hashlib.sha256(), 0
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            while block := file.read(_BLOCK):
                digest.update(block)
                done += len(block)
                report_work(f"hashing {path.name}", done, size, "bytes")
            return digest.hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


class _Known(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The remembered state of a file: the result of `_seen`, and its sha256."""

    seen: tuple[int, int, int]
    sha256: str


class Hashes:
    """The sha256 hashes of files, which several threads may use.

    Args:
        before: the remembered state of each path.

    Attributes:
        found: the state of each path to remember.
    """

    def __init__(self, before: Mapping[bytes, _Known]) -> None:
        self._before = before
        self.found: dict[bytes, _Known] = {}

    def known(self, path: Path) -> str | None:
        """Return a file's sha256 if it is remembered, without reading the file."""
        known = self._before.get(_name(path))
        return known.sha256 if known is not None and known.seen == _seen(path) else None

    def of(self, path: Path, *, final: bool = False) -> str:
        """Return a file's sha256. Raises DataError if the file cannot be read, or is a pipe or a device.

        Args:
            final: the file will not be written again, so its hash is remembered at once.
        """
        if (known := self.known(path)) is not None:
            return known
        before, now = _seen(path), time.time_ns()
        sha256 = sha256_of(path)
        if before == _seen(path) and (final or max(before[1:]) < now - _TOO_RECENT):
            self.found[_name(path)] = _Known(before, sha256)
        return sha256


@contextlib.contextmanager
def remembered(paths: Sequence[Path]) -> Generator[Hashes]:
    """Yield the hashes of some files, which the cache stores by the files' common folder."""
    parents = {path.parts[:-1] for path in paths}
    folder = os.path.commonpath([_name(Path(*parent)) for parent in parents] or [b"/"])
    key = hashlib.sha256(folder).hexdigest()[:32]
    before = _decoded(recalled("hashes", key) or b"")
    hashes = Hashes({} if is_verifying() else before)
    yield hashes
    if hashes.found:
        kept = {name: known for name, known in (before | hashes.found).items() if os.path.lexists(name)}
        remember("hashes", key, msgspec.msgpack.encode(kept))


def hashes_of(paths: Sequence[Path]) -> list[str]:
    """Return the sha256 of each file, in hexadecimal and in the order of `paths`.

    A file that has not changed since it was last hashed is not read again, even by a different process. Many
    files are read by several threads.

    Raises DataError if a file cannot be read, or is a pipe or a device.
    """
    with remembered(paths) as known:
        found = {path: known.known(path) for path in paths}
        new = sorted(path for path, sha256 in found.items() if sha256 is None)
        if len(new) <= _FEW:  # each of them may be large, and reports its own progress
            return [found[path] or known.of(path) for path in paths]
        with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:  # hashlib releases the GIL
            for done, (path, sha256) in enumerate(zip(new, pool.map(known.of, new), strict=True), start=1):
                found[path] = sha256
                report_work("hashing files", done, len(new), "files")
    return [found[path] or "" for path in paths]


def _decoded(content: bytes) -> dict[bytes, _Known]:
    try:
        return msgspec.msgpack.decode(content, type=dict[bytes, _Known])
    except msgspec.MsgspecError:  # none, or of another version
        return {}


def _name(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 - which would follow links


def _seen(path: Path) -> tuple[int, int, int]:
    """Return a file's size and its two times in nanoseconds; zeros if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
