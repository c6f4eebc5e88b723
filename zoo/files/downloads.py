"""Data files: found where the user keeps them, or downloaded; believed only if their sha256 is right.

What is made of them, such as an encoded text, is kept in the cache by `made_once`.

A download goes to a temporary name of its own and is renamed once its hash is right, so any number of
processes may fetch one file. The lock only spares them doing it twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar, cast
from urllib.parse import urljoin

from zoo.errors import DataError
from zoo.files.storage import atomic_write, sweep, sync_folder, temporary_beside

if TYPE_CHECKING:
    import requests

__all__ = [
    "cache_home",
    "data_file",
    "data_home",
    "made_once",
    "offline",
    "sha256_of",
    "tar_members",
    "verified",
]

T = TypeVar("T")
MAX_BYTES = 1 << 30
"""What is downloaded or unpacked at most, unless told otherwise: a hash is known only at the end."""
TIMEOUT = 30.0
"""Seconds to wait for a server to answer, or to go on."""
_REDIRECTS = 10
_ELSEWHERE = "make room or mend it, or let $ZOO_CACHE name another folder"
_BLOCK = 1 << 20
_HEADERS = 1 << 24
"""Bytes that may stand between two members of an archive."""


def cache_home() -> Path:
    """Return the folder for downloads and what is made of them: `$ZOO_CACHE`, or zoo's own in the user's."""
    import platformdirs

    return Path(os.environ.get("ZOO_CACHE") or platformdirs.user_cache_dir("zoo"))


def data_home(root: str | None) -> list[Path]:
    """Return the folders data is looked for in: `root`, else `$ZOO_DATA`, else the cache."""
    if root is not None:
        return [Path(root).expanduser()]
    named = os.environ.get("ZOO_DATA")
    return [*([Path(named).expanduser()] if named else []), cache_home()]


@contextlib.contextmanager
def offline() -> Generator[None]:
    """Forbid fetching inside, as `ZOO_OFFLINE=1` does."""
    before = os.environ.get("ZOO_OFFLINE")
    os.environ["ZOO_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["ZOO_OFFLINE"]
        else:
            os.environ["ZOO_OFFLINE"] = before


def sha256_of(path: Path) -> str:
    """Return a file's sha256. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def data_file(
    name: str, *, url: str, sha256: str, root: str | None = None, max_bytes: int = MAX_BYTES
) -> Path:
    """Return the path of a pinned file, downloading it into the cache where it is nowhere else.

    Raises DataError where a file is found whose hash is wrong, or none is found and fetching is forbidden
    (`$ZOO_OFFLINE`), was given a `root`, or fails: the server cannot be reached, stalls, cuts the file short,
    answers with something else, leads away from https, or sends more than `max_bytes`.
    """
    homes = data_home(root)
    for home in homes:
        path = home / name
        if path.is_file():
            return verified(path, sha256)
    places = " or ".join(str(home) for home in homes)
    if root is not None or os.environ.get("ZOO_OFFLINE"):
        why = "" if root is not None else ", and ZOO_OFFLINE forbids fetching it"
        raise DataError(f"{name} is not in {places}{why}", hint=f"it can be had from {url}")
    return _fetch(homes[-1] / name, url, sha256, max_bytes)


def verified(path: Path, sha256: str) -> Path:
    """Return `path` if its hash is the pinned one. Raises DataError naming both hashes."""
    found = sha256_of(path)
    if found != sha256:
        raise DataError(
            f"{path} is not the file it should be: sha256 {found}, expected {sha256}",
            hint="copy it again; one in the cache may be deleted, and is then fetched again",
        )
    return path


def tar_members(
    archive: Path, members: Mapping[str, str], folder: Path, *, max_bytes: int = MAX_BYTES
) -> None:
    """Write the named members of a tar archive into `folder`, each under our own name and checked by sha256.

    Nothing else is extracted: a member's own path, links and permissions are never used. Raises DataError for
    an archive that is damaged, unpacks to more than `max_bytes`, or lacks a member.
    """
    try:
        sweep(folder)
        with archive.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(archive, "rb") as file:
            stream = _Capped(cast("IO[bytes]", file))
            with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=_BLOCK) as tar:
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
        told = f"{archive} cannot be unpacked into {folder}: {error.strerror or error}"
        raise DataError(told, hint=_ELSEWHERE) from None
    except (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}") from None
    missing = [name for name in members if not (folder / name).exists()]
    if missing:
        raise DataError(f"{archive} does not hold {', '.join(missing)}")


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, sha256: str, archive: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None
    with source, atomic_write(path) as target:
        digest = hashlib.sha256()
        while block := source.read(_BLOCK):
            digest.update(block)
            target.write(block)
        if digest.hexdigest() != sha256:
            raise DataError(f"{path.name} in {archive} is not the file it should be: its sha256 is wrong")


class _Capped:
    """A stream of which no more than what is `left` can be read: only a header itself says where it ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.left = _HEADERS

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self.left -= len(block)
        if self.left < 0:
            raise tarfile.ReadError(f"a header of more than {_HEADERS:,} bytes")
        return block


def made_once(home: Path, make: Callable[[Path], None], read: Callable[[Path], T | None], *, what: str) -> T:
    """Return what `read` finds in a folder of the cache, which `make` fills first if need be.

    The folder appears in one rename, so it is there whole or not at all, however many make it at once.

    Args:
        make: is given a new folder to write into.
        read: is given `home`, and returns None where nothing is there or it is not as it was written.
        what: the folder's content, for messages, such as `the encoded text`.

    Raises DataError where the folder cannot be written.
    """
    for _ in range(5):  # others who make the same may take a damaged one away, and ours with it
        found = read(home)
        if found is not None:
            return found
        shutil.rmtree(home, ignore_errors=True)
        if home.exists():  # another has made it in the meantime, or it is not ours to remove
            continue
        try:
            with _whole_folder(home) as folder:
                make(folder)
        except OSError as error:
            raise DataError(
                f"{what} cannot be kept in {home.parent}: {error.strerror or error}",
                hint=_ELSEWHERE,
            ) from None
    raise DataError(
        f"{home}, which holds {what}, is damaged and cannot be replaced",
        hint="remove it, or let $ZOO_CACHE name another folder",
    )


@contextlib.contextmanager
def _whole_folder(path: Path) -> Generator[Path]:
    """Give a new folder to write into that becomes `path` when the block ends well, and vanishes otherwise.

    If someone made `path` in the meantime, theirs stays. What the dead left in its place is swept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    temporary = temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fetch(path: Path, url: str, sha256: str, max_bytes: int) -> Path:
    if not url.startswith("https://"):
        raise DataError(f"{path.name} cannot be fetched from {url!r}: only https addresses are used")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        with _lock(path):
            if not path.is_file():  # whoever held the lock may have fetched it
                _download(path, url, sha256, max_bytes)
    except OSError as error:
        raise _failed(path, url, error.strerror or str(error).split("\n")[0]) from None
    return verified(path, sha256)


@contextlib.contextmanager
def _lock(path: Path) -> Generator[None]:
    """Wait for others who fetch the same file, where the file system knows locks."""
    place = path.with_name(f".{path.name}.lock")
    with place.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"zoo: another process is fetching {path.name}; waiting for it", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # no locks here
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def _download(path: Path, url: str, sha256: str, max_bytes: int) -> None:
    import requests

    digest = hashlib.sha256()
    begins = b""
    try:
        with requests.Session() as session, atomic_write(path) as file:
            with _answer(session, url, path) as answer:
                for block in _shown(path.name, answer):
                    begins = begins or block[:64]
                    digest.update(block)
                    if file.tell() + len(block) > max_bytes:
                        raise _failed(path, url, f"the server sends more than {max_bytes:,} bytes")
                    file.write(block)
            if digest.hexdigest() != sha256:
                page = begins.lstrip().lower().startswith((b"<!doctype", b"<html"))
                what = f"the server sent {'a web page, ' if page else ''}{file.tell():,} bytes"
                raise _failed(path, url, f"{what} of sha256 {digest.hexdigest()}, expected {sha256}")
    except requests.RequestException as error:
        raise _failed(path, url, _reason(error)) from None


def _answer(session: requests.Session, url: str, path: Path) -> requests.Response:
    """Return the answer at the end of all redirections, each of them over https."""
    address = url
    for _ in range(_REDIRECTS):
        answer = session.get(
            address,
            stream=True,
            timeout=TIMEOUT,
            allow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        )
        if answer.ok and not answer.is_redirect:
            return answer
        answer.close()
        answer.raise_for_status()
        address = urljoin(address, answer.headers["location"])
        if not address.startswith("https://"):
            raise _failed(path, url, f"the server leads to {address!r}, and only https addresses are used")
    raise _failed(path, url, f"the server leads on more than {_REDIRECTS} times")


def _shown(name: str, answer: requests.Response) -> Iterator[bytes]:
    """Yield the blocks of an answer and show on stderr how many there were."""
    total = int(answer.headers.get("content-length", 0) or 0)
    of = f" of {total / 1e6:,.1f}" if total else ""
    terminal = sys.stderr.isatty()
    print(f"zoo: fetching {name}{f', {total / 1e6:,.1f} MB' if total else ''}", file=sys.stderr)
    done = 0
    for block in answer.iter_content(_BLOCK):
        done += len(block)
        if terminal:
            print(f"\r  {done / 1e6:,.1f}{of} MB", end="", file=sys.stderr, flush=True)
        yield block
    if terminal:
        print(file=sys.stderr)


def _reason(error: Exception) -> str:
    """Return the innermost cause of a failed request, in one line and without the names of classes."""
    while (inner := error.__cause__ or error.__context__) is not None and isinstance(inner, Exception):
        error = inner
    return str(error).split("\n")[0] or type(error).__name__


def _failed(path: Path, url: str, why: str) -> DataError:
    return DataError(
        f"{path.name} could not be fetched from {url}: {why}",
        hint=f"put the file at {path}, or in the folder that $ZOO_DATA names",
    )
