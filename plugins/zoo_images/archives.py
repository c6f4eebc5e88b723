"""Read archives member by member, and accept each member only if its sha256 matches."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from zoo import DataError

# Bytes that an archive may unpack to by default
_MOST_BYTES = 1 << 30
_BLOCK = 1 << 20
# Bytes that may stand between two members of an archive
_HEADERS = 1 << 24


def tar_members(
    archive: Path, members: Mapping[str, str], *, max_bytes: int = _MOST_BYTES
) -> Iterator[tuple[str, bytes]]:
    """Yield members of a tar archive, each with its bare file name and its content.

    A member's path, links and permissions are never used.

    Args:
        members: the sha256 of each member to read, by name.

    Raises:
        DataError: the archive is damaged, unpacks to more than `max_bytes`, or lacks a member, or a member
            has the wrong sha256.
    """
    missing = {**members}
    try:
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
                    if name in missing and member.isreg():
                        yield name, _content(tar, member, missing.pop(name), archive)
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}") from None
    if missing:
        raise DataError(f"{archive} lacks {', '.join(missing)}")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, sha256: str, archive: Path) -> bytes:
    source = tar.extractfile(member)
    assert source is not None
    with source:
        content = source.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{Path(member.name).name} in {archive} has the wrong sha256")
    return content


class _Capped(io.BufferedReader):
    """A stream that returns at most `left` bytes, since a tar header could otherwise have any length."""

    left = _HEADERS

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self.left -= len(block)
        if self.left < 0:
            raise tarfile.ReadError(f"it contains a header longer than {_HEADERS:,} bytes")
        return block
