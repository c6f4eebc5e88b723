"""Files that are made once and then read from the cache, such as decoded images."""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from zoo.errors import DataError, cause
from zoo.files.atomic import sweep, temporary_folder
from zoo.files.cache import MORE_SPACE, cache_home, is_ours, make_private, private_folder
from zoo.files.faults import collected_faults
from zoo.files.hashes import remembered, sha256_of

# The sha256 of each file in a folder, as JSON
_SUMS = "sha256.json"
# Bytes of a file that is read into memory each time; larger files are mapped, and verified once
_SMALL = 1 << 20
# MAP_NORESERVE, which Python names from 3.13 on
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


def cached_files(
    place: str, source: object, make: Callable[[Path], None], *, what: str
) -> dict[str, bytearray | mmap.mmap]:
    """Return the content of the files that `make` writes into a folder, by file name.

    The next call with the same `place` and `source` returns the content from the cache, without calling
    `make`. The content can be passed to `torch.frombuffer`. Large files are memory-mapped, so they may be
    larger than memory, and processes share the parts that they have read. Writing to the content does not
    change the files. Each file is verified by its sha256 when it is opened, and large files only if they have
    changed since; damaged files are made again. While `zoo data check` collects faults, the files are made
    each time and not stored.

    Only this user can access the folder. It is put in place by a single rename, so it is complete or absent,
    even if several processes create it. A folder that another user can write to is not used.

    Args:
        place: the folder in the cache, `decoded/NAME` or `synthesized/NAME`; `zoo cache` lists it by this
            name.
        source: everything that determines the files, such as the sha256 of the files that they are made from,
            options, and a version of your format. Its repr is hashed.
        make: writes the files into an empty folder, without subfolders.
        what: description of the files for messages, such as `the encoded text`.

    Raises:
        DataError: the files cannot be made or written.
    """
    home = cache_home() / place / hashlib.sha256(repr(source).encode()).hexdigest()[:32]
    make_private(home.parent)
    partial = collected_faults() is not None  # what is made lacks the files that cannot be read
    for _ in range(5):  # another process that replaces a damaged folder may remove ours with it
        if not partial:
            content = _verified(home) if is_ours(home) else None
            if content is not None:
                return content
            shutil.rmtree(home, ignore_errors=True)
            if home.exists():  # another process has made it in the meantime, or it cannot be removed
                continue
        try:
            private_folder(home.parent)
            sweep(home.parent)
            with temporary_folder(home) as folder:
                _make(folder, make, what)
                if partial:  # what is mapped stays readable without its file
                    return {path.name: _content(path) for path in folder.iterdir()}
                _seal(folder)
                folder.rename(home)
        except OSError as error:
            if home.is_dir() and not partial:  # another process was faster
                continue
            message = f"{what} cannot be written to {home.parent}: {error.strerror or error}"
            raise DataError(message, hint=MORE_SPACE) from None
    hint = "delete it, or set $ZOO_CACHE to a different folder"
    raise DataError(f"{home} ({what}) is damaged and cannot be replaced", hint=hint)


def _make(folder: Path, make: Callable[[Path], None], what: str) -> None:
    """Call `make`. Raises OSError if the folder cannot be written to, and DataError for other errors."""
    try:
        make(folder)
    except OSError as error:
        if error.errno is not None and Path(os.fsdecode(error.filename or folder)).is_relative_to(folder):
            raise
        raise DataError(f"{what} cannot be made: {cause(error)}") from error


def _seal(folder: Path) -> None:
    """Write the sha256 of each file beside them, and all files to the disk."""
    sums = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    (folder / _SUMS).write_bytes(msgspec.json.encode(sums))
    for path in folder.iterdir():
        path.chmod(0o600)
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _verified(home: Path) -> dict[str, bytearray | mmap.mmap] | None:
    """Return the content of a folder's files; None if the folder is missing or damaged."""
    try:
        sums = msgspec.json.decode((home / _SUMS).read_bytes(), type=dict[str, str])
        content = {name: _content(home / name) for name in sums}
    except (OSError, msgspec.MsgspecError):
        return None
    large = [home / name for name, each in content.items() if isinstance(each, mmap.mmap)]
    with remembered(large) as known:
        found = {path.name: known.of(path, final=True) for path in large}
    for name, each in content.items():
        if sums[name] != (found.get(name) or hashlib.sha256(each).hexdigest()):
            return None
    return content


def _content(path: Path) -> bytearray | mmap.mmap:
    """Return the content of a file as writable memory, which torch expects, without reserving it."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= _SMALL:
            return bytearray(file.read())
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | _NO_RESERVE, prot=protection)
