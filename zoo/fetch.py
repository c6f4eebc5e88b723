"""Data files: found where the user keeps them, or downloaded; believed only if their sha256 is right."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Generator, Mapping
from pathlib import Path

from zoo.errors import DataError
from zoo.storage import atomic_write

__all__ = ["cache_home", "data_file", "data_home", "offline", "sha256_of", "tar_members", "verified"]


def cache_home() -> Path:
    """Return the folder for downloads and encoded texts: `$ZOO_CACHE`, or zoo's place in the user's cache."""
    import pooch

    return Path(os.environ.get("ZOO_CACHE") or pooch.os_cache("zoo"))


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


def data_file(name: str, *, url: str, sha256: str, root: str | None = None) -> Path:
    """Return the path of a pinned file, downloading it into the cache where it is nowhere else.

    Raises DataError where a file is found whose hash is wrong, or none is found and fetching is forbidden
    (`$ZOO_OFFLINE`), was given a `root`, or fails.
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
    return _download(homes[-1] / name, url, sha256)


def verified(path: Path, sha256: str) -> Path:
    """Return `path` if its hash is the pinned one. Raises DataError naming both hashes."""
    found = sha256_of(path)
    if found != sha256:
        raise DataError(
            f"{path} is not the file it should be: sha256 {found}, expected {sha256}",
            hint="copy it again; one in the cache may be deleted, and is then fetched again",
        )
    return path


def tar_members(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Write the named members of a tar archive into `folder`, each under our own name and checked by sha256.

    Nothing else is extracted: a member's own path, links and permissions are never used.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            if name not in members or not member.isfile() or (folder / name).exists():
                continue
            source = tar.extractfile(member)
            assert source is not None
            with source, atomic_write(folder / name) as target:
                digest = hashlib.sha256()
                while block := source.read(1 << 20):
                    digest.update(block)
                    target.write(block)
                if digest.hexdigest() != members[name]:
                    raise DataError(f"{name} in {archive} is not the file it should be: its sha256 is wrong")
    missing = [name for name in members if not (folder / name).exists()]
    if missing:
        raise DataError(f"{archive} does not hold {', '.join(missing)}")


def _download(path: Path, url: str, sha256: str) -> Path:
    import pooch

    if not url.startswith("https://"):
        raise DataError(f"{path.name} cannot be fetched from {url!r}: only https addresses are used")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:
        first = str(error).split("\n")[0]
        raise DataError(
            f"{path.name} could not be fetched from {url}: {first}",
            hint=f"put the file at {path}, or in the folder that $ZOO_DATA names",
        ) from None
    return path
