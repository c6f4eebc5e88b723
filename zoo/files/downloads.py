"""Find data files in the user's folders, or download them; use them only if their sha256 matches.

A download has a unique temporary name and is renamed once its hash has been verified, so any number of
processes may download a file. The lock only prevents downloading a file twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Generator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import DataError, first_line, warn
from zoo.files.atomic import atomic_write, sweep
from zoo.files.cache import data_home, private, private_folder
from zoo.files.hashes import hashes_of
from zoo.files.work import report_work

if TYPE_CHECKING:
    import requests
    from requests.adapters import HTTPAdapter

# The most that is downloaded or unpacked by default: a hash is known only at the end
MAX_BYTES = 1 << 30
# Seconds to wait for a server to respond, or to go on
TIMEOUT = 30.0
_REDIRECTS = 10
_BLOCK = 1 << 20

_OFFLINE: ContextVar[bool] = ContextVar("offline", default=False)


@contextlib.contextmanager
def offline() -> Generator[None]:
    """Forbid downloads by this thread in the `with` block; `ZOO_OFFLINE=1` forbids them everywhere."""
    token = _OFFLINE.set(True)
    try:
        yield
    finally:
        _OFFLINE.reset(token)


def is_offline() -> bool:
    """Return whether downloads are forbidden: by `$ZOO_OFFLINE`, or by `offline()` in this thread.

    `data_file` checks this itself. Call this function before a library downloads anything.
    """
    return _OFFLINE.get() or bool(os.environ.get("ZOO_OFFLINE"))


def data_file(
    name: str, *, url: str, sha256: str, root: str | None = None, max_bytes: int = MAX_BYTES
) -> Path:
    """Return the path of a pinned file, downloading it into the cache if it is not found.

    Args:
        name: its path inside the folders that `data_home(root)` returns.
        root: the only folder to search; if it is given, the file is not downloaded.

    Raises:
        DataError: the file has the wrong hash, or it is missing and cannot be downloaded: downloads are
            forbidden (`$ZOO_OFFLINE`), or the server cannot be reached, stalls or is too slow, truncates the
            file, sends a different file or more than `max_bytes`, or redirects to a URL that does not use
            https.
    """
    homes = data_home(root)
    for home in homes:
        if (home / name).is_file():
            return verified(home / name, sha256)
    if root is not None or is_offline():
        places = " or ".join(map(str, homes))
        by_user = bool(os.environ.get("ZOO_OFFLINE"))
        why = ", and ZOO_OFFLINE disables downloads" if by_user else ", and downloads are disabled here"
        why = "" if root is not None else why
        raise DataError(f"{name} is not in {places}{why}", hint=f"download it from {url}")
    if not homes[0].is_dir() and len(homes) > 1:
        warn(f"the folder $ZOO_DATA, {homes[0]}, does not exist")
    return _fetch(homes[-1] / name, url, sha256, max_bytes)


def small_file(url: str, *, max_bytes: int, seconds: float) -> bytes:
    """Download a file without a pinned sha256 into memory.

    Raises DataError if downloads are forbidden, if the file is too large or takes too long, and for the
    reasons that `data_file` lists.
    """
    import requests

    from zoo.files.transport import Limits, limited_adapter

    if is_offline():
        raise DataError(f"{url} cannot be downloaded: downloads are disabled", hint="unset ZOO_OFFLINE")
    limits = Limits(seconds=seconds)
    try:
        with (
            requests.Session() as session,
            _respond(session, limited_adapter(limits), url) as response,
        ):
            response.raise_for_status()
            limits.most += 2 * max_bytes  # chunks may be small
            content = bytearray()
            for block in response.iter_content(_BLOCK):
                content += block
                if len(content) > max_bytes:
                    raise OSError(f"the server sent more than {max_bytes:,} bytes")
            return bytes(content)
    except (OSError, ValueError) as error:
        raise DataError(f"{url} could not be downloaded: {_reason(error)}") from None


def verified(path: Path, sha256: str) -> Path:
    """Return `path` if the file has the pinned hash. Otherwise, raise DataError with both hashes."""
    (found,) = hashes_of([path])
    require_sha256(path, found, sha256)
    return path


def require_sha256(path: Path, actual: str, expected: str) -> None:
    """Raise DataError with both hashes unless they are equal."""
    if actual != expected:
        raise DataError(
            f"{path} has the wrong content: expected sha256 {expected}, got {actual}",
            hint="copy the file again; if it is in zoo's cache, delete it so that zoo downloads it again",
        )


def _fetch(path: Path, url: str, sha256: str, max_bytes: int) -> Path:
    if not url.startswith("https://"):
        raise DataError(f"{path.name} cannot be downloaded from {url!r}: only https URLs are allowed")
    try:
        private_folder(path.parent)
        sweep(path.parent)
        with _lock(path):
            if not path.is_file():  # whoever held the lock may have downloaded it
                _download(path, url, sha256, max_bytes)
    except (OSError, ValueError) as error:  # requests raises both, some for invalid headers and addresses
        raise DataError(
            f"{path.name} could not be downloaded from {url}: {_reason(error)}",
            hint=f"download the file manually to {path} or to the folder $ZOO_DATA",
        ) from None
    return verified(path, sha256)


@contextlib.contextmanager
def _lock(path: Path) -> Generator[None]:
    """Wait for other processes that are downloading the same file, if the file system supports locks."""
    place = path.with_name(f".{path.name}.lock")
    with open(place, "a", opener=private) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            warn(f"waiting for another process to download {path.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # no locks here
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def _download(path: Path, url: str, sha256: str, max_bytes: int) -> None:
    """Download a file. Raises OSError with the problem if that fails."""
    import requests

    from zoo.files.transport import Limits, limited_adapter

    digest = hashlib.sha256()
    begins, limits = b"", Limits()
    with (
        requests.Session() as session,
        _respond(session, limited_adapter(limits), url) as response,
        atomic_write(path, mode=0o600) as file,
    ):
        response.raise_for_status()
        limits.most += 2 * max_bytes  # chunks may be small
        length = response.headers.get("content-length", "")
        total = int(length) if length.isdecimal() and len(length) < 16 else 0
        warn(f"downloading {path.name}{f' ({total / 1e6:,.1f} MB)' if total else ''}")
        for block in response.iter_content(_BLOCK):
            begins = begins or block[:64]
            digest.update(block)
            if file.tell() + len(block) > max_bytes:
                raise OSError(f"the server sent more than {max_bytes:,} bytes")
            file.write(block)
            report_work(f"downloading {path.name}", file.tell(), total, "bytes")
        if digest.hexdigest() != sha256:
            is_page = begins.lstrip().lower().startswith((b"<!doctype", b"<html"))
            what = f"the server sent {'a web page, ' if is_page else ''}{file.tell():,} bytes"
            raise OSError(f"{what} with sha256 {digest.hexdigest()}, expected {sha256}")


def _respond(session: requests.Session, adapter: HTTPAdapter, url: str) -> requests.Response:
    """Return the response after all redirects, which must use https."""
    from requests.exceptions import InvalidSchema

    session.headers["Accept-Encoding"] = "identity"
    session.max_redirects = _REDIRECTS
    del session.adapters["http://"]
    session.mount("https://", adapter)
    try:
        return session.get(url, stream=True, timeout=TIMEOUT)
    except InvalidSchema:
        raise OSError("the server redirected to a URL that does not use https") from None


def _reason(error: OSError | ValueError) -> str:
    """Return why a download failed, on one line and without class names."""
    if isinstance(error, OSError):
        return error.strerror or _innermost(error)
    return f"the server sent an invalid response ({_innermost(error)})"


def _innermost(error: Exception) -> str:
    while isinstance(inner := error.__cause__ or error.__context__, Exception):
        if error.__suppress_context__ and error.__cause__ is None:  # raised from None
            break
        error = inner
    system = error.strerror if isinstance(error, OSError) else ""  # without "[Errno -2]"
    return system or first_line(error) or type(error).__name__
