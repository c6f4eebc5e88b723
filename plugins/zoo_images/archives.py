"""Unpack archives file by file, and accept each file only if its sha256 matches."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from zoo import DataError
from zoo.plugin import atomic_write, sweep

__all__ = ["tar_members"]

# Bytes that an archive may unpack to by default
_MOST_BYTES = 1 << 30
_BLOCK = 1 << 20
# Bytes that may stand between two members of an archive
_HEADERS = 1 << 24


def tar_members(
    archive: Path, members: Mapping[str, str], folder: Path, *, max_bytes: int = _MOST_BYTES
) -> None:
    """Extract members of a tar archive into `folder`, each under its bare file name.

    A member's path, links and permissions are never used.

    Args:
        members: the sha256 of each file to extract, by name.

    Raises:
        DataError: the archive is damaged, unpacks to more than `max_bytes`, or lacks a member.
    """
    try:
        sweep(folder)
        with archive.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(archive, "rb") as file:
            stream = _Capped(file)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK) as tar:
                unpacked = 0
                for member in tar:
                    unpacked += member.size
                    if unpacked > max_bytes:
                        raise DataError(f"{archive} unpacks to more than {max_bytes:,} bytes")
                    stream.left = member.size + _HEADERS
                    name = Path(member.name).name
                    if name in members and member.isreg() and not (folder / name).exists():
                        _unpack(tar, member, folder / name, members[name], archive)
    except OSError as error:
        message = f"{archive} cannot be unpacked into {folder}: {error.strerror or error}"
        raise DataError(message, hint="free some space, or set $ZOO_CACHE to a different folder") from None
    except (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}") from None
    missing = [name for name in members if not (folder / name).exists()]
    if missing:
        raise DataError(f"{archive} lacks {', '.join(missing)}")


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, sha256: str, archive: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None
    with source, atomic_write(path, mode=0o600) as target:
        digest = hashlib.sha256()
        while block := source.read(_BLOCK):
            digest.update(block)
            target.write(block)
        if digest.hexdigest() != sha256:
            raise DataError(f"{path.name} in {archive} has the wrong sha256")


class _Capped(io.BufferedReader):
    """A stream that returns at most `left` bytes, since a tar header could otherwise have any length."""

    left = _HEADERS

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self.left -= len(block)
        if self.left < 0:
            raise tarfile.ReadError(f"it contains a header longer than {_HEADERS:,} bytes")
        return block
