"""Remotes: zoos of others, by the names that this user gave them, so that `team:shapes` means weights.

They are listed in remotes.toml, which only the user or `zoo remote` writes, a table for each name::

    [team]
    address = "https://zoo.example.org/team"
    signers = "/home/ada/team-keys"

The index of a zoo is read again whenever a name of it is used, and a copy is kept in the cache. Lists and
completion read only the copy. Every file is checked against the index before it is used.

If the remote has signers, an index without a good signature by one of them is refused before it is parsed. A
copy is written only after that check, and its place depends on the content of the file with the signers, so a
copy that other signers allowed is never read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import rtoml

from zoo.config.arguments import checked, is_url
from zoo.config.near_names import did_you_mean
from zoo.config.recipe import Recipe
from zoo.errors import CatalogError, DataError, OptionError, UnknownName, WeightsError, ZooError, warn
from zoo.files.atomic import atomic_write, write_output
from zoo.files.cache import cache_home, private_folder
from zoo.files.downloads import is_offline, small_file
from zoo.files.regular import read_regular
from zoo.files.signatures import allowed_signers
from zoo.registry.catalog import Catalog
from zoo.registry.hub_weights import HUB
from zoo.registry.index_checks import remember_index, require_newest, require_signed
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo.registry.zoo_index import INDEX, MOST_BYTES, ZooIndex, ZooVersion, parsed_version, read_index

# Seconds that the download of an index may take
_SECONDS = 60.0
_NAME = r"[a-z0-9][a-z0-9_-]*"


class Remote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The zoo behind a name: the address of its folder and, optionally, a file with allowed signers."""

    address: str
    signers: str = ""


@checked
def add_remote(name: str, address: str, *, signers: str | Path = "") -> dict[str, Any]:
    """Give a zoo a name, so that `NAME:ID` means its weights.

    A remote of that name is replaced, but not one with signers by one without. The index of the zoo is read
    once, and nothing is stored if that fails. An older index than the last one is accepted.

    Args:
        address: a folder, or an https address. Credentials belong in `~/.netrc`.
        signers: file with allowed signers (see `man ssh-keygen`); the key of one of them must have signed the
            index.

    Returns the remote, as `list_remotes` does.

    Raises:
        OptionError: the name or the address is invalid, or signers are missing.
        CatalogError, DataError: there is no zoo at the address, it cannot be read, or none of the signers has
            signed it.
    """
    if not re.fullmatch(_NAME, name) or name == HUB:
        why = (
            "is reserved for the Hugging Face Hub"
            if name == HUB
            else "must be lowercase letters, digits, - and _"
        )
        raise OptionError(f"the name of a remote {why} (got {name!r:.80})")
    remote = Remote(_checked_address(address), str(Path(signers).expanduser().absolute()) if signers else "")
    known = read_remotes()
    before = known.get(name, remote)
    if before.signers and not signers:
        hint = f"pass them with --signers; to add it without signers, run `zoo remote remove {name}` first"
        raise OptionError(f"{name} has the signers {before.signers}, which must be given again", hint=hint)
    index = fetch_index(name, remote, accept_older=True)
    if before.address != remote.address:
        warn(f"{name} was the name of the zoo at {before.address} before")
    _write(known | {name: remote})
    return _row(name, remote, index)


@checked
def list_remotes() -> list[dict[str, Any]]:
    """Return a dict `{name, address, signers, serial, weights}` for each remote, without using the network.

    `serial` and `weights`, the number of ids, are those of the last use; they are None for a remote that was
    never used.
    """
    return [_row(name, remote, cached_index(remote)) for name, remote in read_remotes().items()]


@checked
def remove_remote(name: str) -> dict[str, Any]:
    """Remove the name of a zoo, and return it as `list_remotes` does. Raises UnknownName."""
    known = read_remotes()
    if name not in known:
        raise UnknownName(
            f"unknown remote {name!r}{did_you_mean(name, known)}", hint="`zoo remote list` shows all"
        )
    remote = known[name]
    _write({key: other for key, other in known.items() if key != name})
    return _row(name, remote, cached_index(remote))


def _row(name: str, remote: Remote, index: ZooIndex | None) -> dict[str, Any]:
    facts = {"serial": index and index.serial, "weights": None if index is None else len(index.versions)}
    return {"name": name, **msgspec.structs.asdict(remote), **facts}


def remotes_path() -> Path:
    """Return the path of remotes.toml: `$ZOO_REMOTES`, or in the user's configuration folder for zoo."""
    import platformdirs

    named = os.environ.get("ZOO_REMOTES")
    path = Path(named).expanduser() if named else platformdirs.user_config_path("zoo") / "remotes.toml"
    if not path.is_absolute():  # the current folder may belong to anyone
        raise CatalogError(f"$ZOO_REMOTES must be an absolute path (got {named})")
    return path


def read_remotes() -> dict[str, Remote]:
    """Return the remotes by name. Raises CatalogError if remotes.toml is invalid."""
    path = remotes_path()
    try:
        remotes = msgspec.convert(rtoml.loads(read_regular(path, most=1 << 20).decode()), dict[str, Remote])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path} cannot be read: {getattr(error, 'strerror', '') or error}") from None
    for name, remote in remotes.items():
        if not re.fullmatch(_NAME, name) or name == HUB:
            raise CatalogError(f"{path}: a remote cannot be called {name!r:.80}")
        if remote.signers and not Path(remote.signers).is_absolute():  # as for $ZOO_REMOTES
            raise CatalogError(f"{path}: [{name}] signers must be an absolute path (got {remote.signers!r})")
        try:
            _checked_address(remote.address)
        except OptionError as error:
            raise CatalogError(f"{path}: [{name}] {error}", hint=error.hint) from None
    return remotes


def _write(remotes: dict[str, Remote]) -> None:
    path = remotes_path()
    tables = {name: {k: v for k, v in msgspec.structs.asdict(remotes[name]).items() if v} for name in remotes}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, rtoml.dumps(tables).encode())


def _checked_address(address: str) -> str:
    """Return an absolute folder or an https address. Raises OptionError, which never repeats credentials."""
    if not is_url(address):
        return str(Path(address).expanduser().absolute())
    try:
        parts = urlsplit(address)
        named = bool(parts.hostname) and (parts.port or True)
    except ValueError:
        parts, named = urlsplit(""), False
    if "@" in parts.netloc:
        message = "an address must not contain a user name or a password"
        raise OptionError(message, hint="put them into ~/.netrc, which is read for each download")
    if parts.scheme != "https" or not named or parts.query or parts.fragment:
        raise OptionError(
            f"address must be a folder, or begin with https:// and have no query (got {address!r:.200})"
        )
    return address.rstrip("/")


def parsed(name: str) -> tuple[str, str, str] | None:
    """Split `NAME:ID` or `NAME:ID@SHA256`; return None for any other text, such as a path.

    An existing file of that name is a path.

    >>> parsed("team:shapes")
    ('team', 'shapes', '')
    """
    remote, colon, rest = name.partition(":")
    version = parsed_version(rest) if colon and re.fullmatch(_NAME, remote) and remote != HUB else None
    if version is None:
        return None
    if os.path.lexists(name):
        warn(f"{name} is a file in the current folder, which is used instead of the weights of a zoo")
        return None
    return remote, *version


def find(name: str) -> tuple[WeightsSpec, Recipe] | None:
    """Return the weights and the recipe that a name such as `team:shapes` means, after reading the index.

    The weights have an absolute path or a URL. The recipe starts from weights of the same zoo, if it starts
    from any. Returns None if the name has a different form.

    Raises:
        UnknownName: there is no such remote.
        WeightsError: the zoo has no such version, or it was withdrawn.
        CatalogError, DataError: the index or the file is missing, invalid or not as the index states.
    """
    split = parsed(name)
    if split is None:
        return None
    prefix, id_, sha256 = split
    remote = _remote(prefix, read_remotes())
    try:
        version = fetch_index(prefix, remote).find(id_, sha256)
    except WeightsError as error:
        raise WeightsError(f"{prefix}: {error}", hint=error.hint) from None
    spec = _placed(remote, version.spec)
    if spec.file:
        require_intact(name, spec)
    return spec, _recipe(prefix, version)


def remote_signers(name: str | Path) -> str:
    """Return the path of the signers of the remote in a name such as `team:shapes`; empty for none."""
    split = parsed(name) if isinstance(name, str) else None
    return _remote(split[0], read_remotes()).signers if split else ""


def _recipe(prefix: str, version: ZooVersion) -> Recipe:
    """Return the recipe of a version; a base `ID@SHA256` is in the same zoo, and an `ID` is one of zoo's."""
    base = version.recipe.from_weights
    return replace(version.recipe, from_weights=f"{prefix}:{base}") if "@" in base else version.recipe


def _placed(remote: Remote, spec: WeightsSpec) -> WeightsSpec:
    """Return weights with the place of their file: an absolute path or a URL."""
    place = f"{remote.address}/{spec.file}"
    return replace(spec, file="", url=place) if is_url(remote.address) else replace(spec, file=place)


def require_intact(name: str, spec: WeightsSpec) -> None:
    """Raise DataError unless the file of a folder's weights is there, in the folder, with the right size.

    The path in `spec` is absolute.
    """
    path = Path(spec.file)
    if path.is_symlink() or path.parent.is_symlink():
        raise DataError(f"the file of {name} is a link, which zoo does not follow: {path}")
    size = path.stat().st_size if path.is_file() else -1
    if size != spec.bytes:
        what = f"has {size:,} bytes instead of {spec.bytes:,}" if size >= 0 else "is missing"
        raise DataError(
            f"the file of {name} {what}: {path}", hint="ask the publisher, who can publish it again"
        )


def _remote(name: str, known: dict[str, Remote]) -> Remote:
    if name not in known:
        hint = f"`zoo remote add {name} ADDRESS` gives a zoo this name; `zoo remote list` shows all"
        raise UnknownName(f"unknown remote {name!r}{did_you_mean(name, known)}", hint=hint)
    return known[name]


def fetch_index(name: str, remote: Remote, *, accept_older: bool = False) -> ZooIndex:
    """Read the index of a zoo from its address, and keep a copy in the cache.

    Without network (`$ZOO_OFFLINE`), the copy is read.

    Args:
        accept_older: accept an index that is older than the last one.

    Raises CatalogError or DataError, also for an index that the remote's signers have not signed.
    """
    if is_url(remote.address):
        if is_offline() and (copy := cached_index(remote)) is not None:
            return copy
        content = small_file(f"{remote.address}/{INDEX}", max_bytes=MOST_BYTES, seconds=_SECONDS)
    else:
        content = read_folder(Path(remote.address))
    allowed = _allowed(remote)
    if remote.signers:
        require_signed(name, remote.address, remote.signers, content, allowed, seconds=_SECONDS)
    index = _index(remote, content)
    if not accept_older:
        require_newest(name, remote.address, remote.signers, content, index.serial)
    remember_index(name, remote.address, remote.signers, content, index.serial)
    _keep(remote, allowed, content)
    return index


def _allowed(remote: Remote) -> bytes:
    return allowed_signers(remote.signers) if remote.signers else b""


def read_folder(folder: Path) -> bytes:
    """Return the content of the index in a folder. Raises CatalogError if there is none."""
    try:
        return read_regular(folder / INDEX, most=MOST_BYTES)
    except OSError as error:
        if not folder.exists():
            hint = "check the path, and whether the disk is connected"
            raise CatalogError(f"the folder {folder} does not exist", hint=hint) from None
        message = f"{folder} is not a zoo: {INDEX} cannot be read ({error.strerror})"
        raise CatalogError(message, hint="`zoo publish RUN... FOLDER` creates a zoo") from None


def cached_index(remote: Remote) -> ZooIndex | None:
    """Return the index of a zoo when it was last used, without network; None if there is no intact copy."""
    with contextlib.suppress(OSError, ZooError):
        content = read_regular(_copy(remote, _allowed(remote)), most=MOST_BYTES)
        return _index(remote, content)
    return None


def _keep(remote: Remote, allowed: bytes, content: bytes) -> None:
    """Keep a copy of an index in the cache, if it can be written to."""
    with contextlib.suppress(OSError, DataError):
        place = _copy(remote, allowed)
        if not place.is_file() or place.read_bytes() != content:
            private_folder(place.parent)
            with atomic_write(place, mode=0o600) as file:
                file.write(content)


def _copy(remote: Remote, allowed: bytes) -> Path:
    """Return the place of the copy of an index that some signers allowed."""
    by = hashlib.sha256(allowed).hexdigest() if remote.signers else ""
    key = hashlib.sha256(f"{remote.address}\n{by}".encode()).hexdigest()[:32]
    return cache_home() / "downloads" / "zoos" / key / INDEX


def _index(remote: Remote, content: bytes) -> ZooIndex:
    """Return the index of a zoo from its content. Raises CatalogError with its address."""
    place = f"{remote.address}/{INDEX}"
    try:
        return read_index(content, Path(place))
    except CatalogError as error:  # a path has no two slashes in succession
        raise CatalogError(str(error).replace(str(Path(place)), place), hint=error.hint) from None


def with_zoos(registry: Registry, *names: str | Path) -> Registry:
    """Return the registry with the weights and recipes that names such as `team:shapes` mean.

    Other names have no effect. Raises the same errors as `find`.
    """
    found = {name: pair for name in names if isinstance(name, str) and (pair := find(name))}
    return registry.with_catalog(_catalog(found)) if found else registry


def with_known_zoos(registry: Registry) -> Registry:
    """Return the registry with the weights of all remotes as they were last used, without network."""
    found: dict[str, tuple[WeightsSpec, Recipe]] = {}
    for name, remote in read_remotes().items():
        found |= _newest(f"{name}:", remote, cached_index(remote) or ZooIndex())
    return registry.with_catalog(_catalog(found)) if found else registry


def zoo_at(registry: Registry, remote: str) -> Registry:
    """Return a registry with the weights and recipes of only one zoo, after reading its index.

    Args:
        remote: the name of a remote, or the address of a zoo.
    """
    known = read_remotes()
    is_name = re.fullmatch(_NAME, remote) is not None and (remote in known or not Path(remote).is_dir())
    zoo = _remote(remote, known) if is_name else Remote(_checked_address(remote))
    index = fetch_index(remote, zoo, accept_older=not is_name)
    for id_, version in index.all():
        if version.spec.withdrawn:
            warn(f"{id_}@{version.digits} was withdrawn: {version.spec.withdrawn}")
    found = _newest(f"{remote}:" if is_name else "", zoo, index)
    return registry.with_catalog(_catalog(found), alone=True)


def _newest(prefix: str, remote: Remote, index: ZooIndex) -> dict[str, tuple[WeightsSpec, Recipe]]:
    """Return the newest version of each id that is not withdrawn, by the name to use."""
    return {
        f"{prefix}{id_}": (_placed(remote, newest.spec), newest.recipe)
        for id_, (newest, *_) in index.versions.items()
        if not newest.spec.withdrawn
    }


def _catalog(found: dict[str, tuple[WeightsSpec, Recipe]]) -> Catalog:
    return Catalog(
        weights={name: replace(spec, recipe=name) for name, (spec, _) in found.items()},
        recipes={name: recipe for name, (_, recipe) in found.items()},
    )
