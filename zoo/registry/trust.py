"""One-file plugins that a registry.toml names, and whether they may run: only what the user has trusted.

A record in the user's configuration holds the path of a registry.toml, its sha256 and those of the files it
names. If a byte or the path differs, nothing of it runs. `ZOO_TRUST=1` trusts everything, as CI needs it.

A file is read once: the bytes that were hashed are those that run.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zoo.errors import OutputError, warn
from zoo.files.regular import read_regular

__all__ = [
    "MOST_BYTES",
    "LocalFile",
    "Record",
    "barred",
    "forget",
    "holds",
    "judged",
    "recorded",
    "records",
    "remember",
    "sha256_of_bytes",
    "trust_command",
]

# The most that a one-file plugin may have: it is not data
MOST_BYTES = 1 << 18

Hash = Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]


class LocalFile(msgspec.Struct, frozen=True, kw_only=True):
    """A one-file plugin.

    Attributes:
        path: absolute, links resolved.
        source: its content, which runs if it is trusted.
        problem: why it cannot be read or is not trusted; empty if it may run.
    """

    path: Path
    source: bytes = b""
    trusted: bool = True
    problem: str = ""

    @classmethod
    def read(cls, path: Path) -> LocalFile:
        """Read a file that the user names as a plugin, and so trusts."""
        try:
            return cls(path=path, source=read_regular(path, most=MOST_BYTES))
        except FileNotFoundError:
            return cls(path=path, problem=f"no such file: {path}")
        except OSError as error:
            return cls(path=path, problem=f"{path} cannot be read: {error.strerror}")

    @property
    def sha256(self) -> str:
        """The sha256 of its content; empty if it cannot be read."""
        return "" if self.problem else sha256_of_bytes(self.source)


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the user has trusted: a registry.toml, and the files it names with the sha256 of each."""

    schema: Literal[1]
    path: str
    sha256: Hash
    files: dict[str, Hash]


def judged(path: Path, data: bytes, local: Sequence[Path]) -> tuple[LocalFile, ...]:
    """Return the one-file plugins that a registry.toml names, each with whether it may run.

    The files of one that is not trusted are not even opened.

    Args:
        path: of the registry.toml.
        data: its content.
        local: the files, absolute and resolved.
    """
    if not local:
        return ()
    if os.environ.get("ZOO_TRUST") == "1":
        return tuple(map(LocalFile.read, local))
    record = recorded(path)
    if record is None:
        return barred(local, f"not trusted; read its code, then run {trust_command(path)}")
    if record.sha256 == sha256_of_bytes(data):
        files = tuple(map(LocalFile.read, local))
        if holds(record, data, files):
            return files
    return barred(local, f"changed since it was trusted; read its code, then run {trust_command(path)}")


def barred(local: Sequence[Path], problem: str = "not loaded") -> tuple[LocalFile, ...]:
    """Return one-file plugins that may not run."""
    return tuple(LocalFile(path=file, trusted=False, problem=problem) for file in local)


def remember(path: Path, data: bytes, files: Sequence[LocalFile]) -> None:
    """Trust a registry.toml and the files it names, as they were read.

    Raises OutputError if the user's configuration cannot be written.
    """
    from zoo.files.atomic import atomic_write  # only here

    hashes = {str(file.path): file.sha256 for file in files}
    place = _place(path)
    try:
        record = Record(1, str(_real(path)), sha256_of_bytes(data), hashes)
        for folder in (place.parent.parent, place.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_write(place, mode=0o600) as file:
            file.write(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    except UnicodeEncodeError:
        raise OutputError(f"the path of {path} is not valid UTF-8 and cannot be remembered") from None
    except OSError as error:
        hint = "set $ZOO_CONFIG to a folder that can be written"
        raise OutputError(f"{place} cannot be written: {error.strerror}", hint=hint) from None


def forget(path: Path) -> bool:
    """Trust a registry.toml no longer, and return whether it was. Raises OutputError."""
    place = _place(path)
    try:
        place.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"{place} cannot be removed: {error.strerror}") from None
    return True


def holds(record: Record, data: bytes, files: Sequence[LocalFile]) -> bool:
    """Return whether the content of a registry.toml and of the files it names is what a record says."""
    hashes = {str(file.path): file.sha256 for file in files}
    return (record.sha256, record.files) == (sha256_of_bytes(data), hashes)


def recorded(path: Path) -> Record | None:
    """Return what is trusted of a registry.toml; a damaged record is a warning and trusts nothing."""
    try:
        record = _read(_place(path))
    except OutputError:
        return None
    return record if record is not None and record.path == str(_real(path)) else None


def records() -> Iterator[Record]:
    """Yield everything that the user has trusted, in the order of the paths."""
    found = filter(None, map(_read, _place(Path()).parent.glob("*.json")))
    yield from sorted(found, key=lambda record: record.path)


def trust_command(path: Path) -> str:
    """Return the command that trusts a registry.toml, as one types it."""
    here = path == Path("registry.toml")
    return "`zoo trust`" if here else f"`zoo trust {shlex.quote(str(path))}`"


def sha256_of_bytes(data: bytes) -> str:
    """Return the sha256 of some bytes."""
    import hashlib  # not needed without one-file plugins

    return hashlib.sha256(data).hexdigest()


def _place(path: Path) -> Path:
    """Return the file of the record of a registry.toml: one for each, so that two writers do not meet.

    Raises OutputError if the user has no configuration folder.
    """
    from zoo.files.cache import users_folder  # not needed without one-file plugins

    try:
        home = users_folder("config")
    except OSError as error:
        hint = "set $ZOO_CONFIG to a folder of yours, with its full path"
        raise OutputError(f"nothing can be trusted: {error.strerror}", hint=hint) from None
    return home / "trusted" / f"{sha256_of_bytes(os.fsencode(_real(path)))}.json"


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve, without an error for links in a circle


def _read(place: Path) -> Record | None:
    try:
        if place.stat().st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to another account")
        return msgspec.json.decode(read_regular(place, most=MOST_BYTES), type=Record)
    except FileNotFoundError:
        return None
    except OSError as error:
        warn(f"{place} cannot be read ({error.strerror}), so nothing that it records is trusted")
    except (msgspec.DecodeError, ValueError, RecursionError):
        warn(f"{place} is damaged, so nothing that it records is trusted; `zoo trust` writes it anew")
    return None
