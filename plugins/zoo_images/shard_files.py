"""Find shards: files, folders, patterns, and addresses whose shards are downloaded once."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from zoo import DataError
from zoo.plugin import data_file, hashes_of, open_regular

SUFFIXES = (".tar", ".parquet")
# The most shards of a range
_MOST = 1_000_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_LINE = re.compile(r"([0-9a-f]{64}) [ *]?(\S.*)")
_GB = 10**9
# Bytes of a list of checksums
_LIST_BYTES = 1 << 28


class Shard(NamedTuple):
    """A shard.

    Attributes:
        name: its path or address, as users know it.
        path: the file, which may be in the cache.
        sha256: the checksum of the file, which has been checked.
    """

    name: str
    path: Path
    sha256: str


def read_checksums(path: str) -> dict[str, str]:
    """Return the sha256 of each name in a list such as that of `sha256sum`; empty for an empty path.

    Raises DataError if the file cannot be read, or has a line of another form.
    """
    if not path:
        return {}
    try:
        with open_regular(Path(path).expanduser()) as file:
            lines = file.read(_LIST_BYTES).decode().splitlines()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", "") or "it is not UTF-8 text"
        raise DataError(f"the checksums {path} cannot be read: {why}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line.strip())
        if match is None or found.get(match[2], match[1]) != match[1]:
            why = "has a second sha256 for its name" if match else "must be a sha256 and a name"
            raise DataError(f"line {number} of {path} {why}", hint="write the file with `sha256sum *.tar`")
        found[match[2]] = match[1]
    return found


class Finder:
    """Finds shards, and downloads those at addresses.

    Args:
        checksums: the sha256 of shards, by address, or by the file name at its end.
        download_gb: what all downloads may take, in GB.
    """

    def __init__(self, checksums: Mapping[str, str], download_gb: int) -> None:
        self._checksums = checksums
        self._download_gb = download_gb
        self._left = download_gb * _GB
        self._seen: dict[str, str] = {}

    def find(self, given: str) -> list[Shard]:
        """Return the shards of a file, a folder, a pattern or an https address; none for an empty string.

        Raises DataError if there are none, if one is missing, has no or a different checksum, or is in two
        places.
        """
        names = [*_names(given)] if given else []
        for name in names:
            if not name.endswith(SUFFIXES):
                hint = "unpack a compressed shard first, such as x.tar.gz"
                raise DataError(f"{name} is not a shard: expected a .tar or .parquet file", hint=hint)
        if names and "://" in given:
            shards = [Shard(name, *self._download(name)) for name in names]
        else:
            paths = [*map(Path, names)]
            found = zip(names, paths, hashes_of(paths), strict=True)
            shards = [Shard(name, path, self._checked(name, sha256)) for name, path, sha256 in found]
        for shard in shards:
            if other := self._seen.get(shard.sha256):
                raise DataError(
                    f"{other} and {shard.name} have the same content", hint="list each shard once"
                )
            self._seen[shard.sha256] = shard.name
        return shards

    def _checked(self, name: str, sha256: str) -> str:
        expected = self._expected(name) or sha256
        if expected != sha256:
            raise DataError(f"{name} has the wrong sha256: expected {expected}, got {sha256}")
        return sha256

    def _expected(self, name: str) -> str | None:
        return self._checksums.get(name, self._checksums.get(_file_name(name)))

    def _download(self, url: str) -> tuple[Path, str]:
        sha256 = self._expected(url)
        if sha256 is None:
            hint = "set checksums to a file with its sha256 and its name, as `sha256sum *.tar` writes it"
            raise DataError(f"{url} has no checksum", hint=hint)
        if self._left <= 0:
            raise DataError(f"the shards take more than download_gb={self._download_gb}")
        place = f"shards/{sha256}/{_file_name(url)}"
        path = data_file(place, url=url, sha256=sha256, max_bytes=self._left)
        self._left -= path.stat().st_size
        return path, sha256


def _file_name(name: str) -> str:
    return urlsplit(name).path.rpartition("/")[2] if "://" in name else Path(name).name


def _names(given: str) -> Iterator[str]:
    """Yield the paths or addresses that the user's value stands for."""
    if "://" in given:
        yield from _expanded(given)
        return
    home = str(Path(given).expanduser())
    for name in [home] if Path(home).exists() else _expanded(home):
        if Path(name).is_dir():
            inside = sorted(str(path) for path in Path(name).iterdir() if path.name.endswith(SUFFIXES))
        elif Path(name).exists():
            inside = [name]
        else:
            inside = sorted(glob.glob(name)) if glob.has_magic(name) else []  # noqa: PTH207 - absolute too
        if not inside:
            what = "contains no shards" if Path(name).is_dir() else "does not exist"
            hint = (
                "expected a .tar or .parquet file, a folder of them, or a pattern such as imgs-{000..099}.tar"
            )
            raise DataError(f"{name} {what}", hint=hint)
        yield from inside


def _expanded(pattern: str) -> list[str]:
    """Expand the braces of a pattern: `{000..099}`, or `{a,b}`.

    >>> _expanded("{a,b}-{08..10}.tar")[:4]
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar']
    """
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    words = match[1].split(",")
    if ends := re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", match[1]):
        first, last = map(int, ends.groups())
        if not first <= last < first + _MOST:
            raise DataError(f"{match[0]} in {pattern} must count up, by less than {_MOST:,}")
        words = [f"{number:0{len(ends[1])}}" for number in range(first, last + 1)]
    rest = _expanded(pattern[match.end() :])
    return [pattern[: match.start()] + word + each for word in words for each in rest]
