"""The index of a zoo: a registry.toml that lists every version of its weights.

`[weights.ID]` is the newest version of an id, and `[[older.ID]]` are the versions before it, the newest
first. A version is never changed: other bytes under an id are a new version, in a file whose name has its
sha256. A withdrawn version keeps its entry, which then states the reason. `serial` grows with every change.

The signatures of an index lie in a file that has the sha256 of the index in its name. They are written before
the index is replaced, so a reader always finds those of the index that it read.

An index comes from elsewhere, so it is not trusted: it cannot load code or set plugins, and its files lie in
the folder `weights` beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import rtoml

from zoo.config.near_names import did_you_mean
from zoo.config.recipe import Recipe
from zoo.errors import CatalogError, WeightsError
from zoo.registry.catalog import SCHEMA, catalog_of
from zoo.registry.published import WEIGHTS_ID, WeightsSpec

# The files of a zoo
INDEX, FOLDER, SIGNATURES = "registry.toml", "weights", "signatures"
# The most bytes of an index, which takes a few seconds to read
MOST_BYTES = 1 << 22
# How many digits of a sha256 name a version, at least
DIGITS = 16
_HEAD = b"# The index of a zoo, which `zoo publish` writes. README.md explains how to use the zoo.\n"
_VERSION = re.compile(rf"({WEIGHTS_ID.pattern})(?:@(.+))?")


class ZooVersion(msgspec.Struct, frozen=True):
    """A version of weights: its entry, in which `file` is relative to the zoo's folder, and its recipe."""

    spec: WeightsSpec
    recipe: Recipe

    @property
    def digits(self) -> str:
        """The first digits of the sha256, as in the name of the file."""
        return Path(self.spec.file).stem.rpartition("-")[2]


class ZooIndex(msgspec.Struct, frozen=True):
    """The content of a zoo.

    Attributes:
        serial: the number of changes since the zoo was created; 0 for a zoo that is not yet written.
        versions: the versions of each id, the newest first.
    """

    serial: int = 0
    versions: Mapping[str, tuple[ZooVersion, ...]] = {}

    def all(self) -> Iterator[tuple[str, ZooVersion]]:
        """Yield every version with its id."""
        for id_, versions in sorted(self.versions.items()):
            for version in versions:
                yield id_, version

    def find(self, id_: str, sha256: str = "") -> ZooVersion:
        """Return the newest version of an id, or the version whose sha256 starts with some digits.

        Raises WeightsError if there is no such version, if several fit, or if it was withdrawn.
        """
        version = self.any(id_, sha256)
        if not version.spec.withdrawn:
            return version
        usable = self.newest(id_)
        hint = f"the newest version that is not withdrawn is {id_}@{usable.digits}" if usable else None
        name = f"{id_}@{version.digits}"
        raise WeightsError(f"{name} was withdrawn by its publisher: {version.spec.withdrawn}", hint=hint)

    def newest(self, id_: str) -> ZooVersion | None:
        """Return the newest version of an id that was not withdrawn; None if all were."""
        return next((version for version in self.versions[id_] if not version.spec.withdrawn), None)

    def any(self, id_: str, sha256: str = "") -> ZooVersion:
        """Return a version as `find` does, even if it was withdrawn."""
        if id_ not in self.versions:
            nearest = did_you_mean(id_, self.versions)
            listed = ", ".join(sorted(self.versions)[:10]) or "none"
            raise WeightsError(f"the zoo has no weights {id_!r}{nearest}", hint=f"its weights: {listed}")
        versions = self.versions[id_]
        if not sha256:
            return versions[0]
        known = ", ".join(f"{id_}@{version.digits}" for version in versions[:5])
        if not re.fullmatch(rf"[0-9a-f]{{{DIGITS},64}}", sha256):
            message = (
                f"a version must be {DIGITS} to 64 hexadecimal digits of its sha256 (got {sha256!r:.80})"
            )
            raise WeightsError(message, hint=f"versions: {known}")
        fitting = [version for version in versions if version.spec.sha256.startswith(sha256)]
        if len(fitting) != 1:
            what = "several versions fit" if fitting else "the zoo has no version"
            raise WeightsError(f"{what} {id_}@{sha256}", hint=f"versions: {known}")
        return fitting[0]

    def to_toml(self) -> bytes:
        """Return the content of the registry.toml; equal indexes give equal bytes."""
        recipes: dict[str, Any] = {}
        weights: dict[str, Any] = {}
        older: dict[str, Any] = {}
        for id_, (newest, *others) in sorted(self.versions.items()):
            for version in (newest, *others):
                same = version.recipe == newest.recipe
                name = id_ if same else f"{id_}.{version.digits}"  # no id has a dot
                recipes[name] = _changed(asdict(version.recipe))
                table = _changed(asdict(replace(version.spec, recipe=name)))
                older.setdefault(id_, []).append(table)
            weights[id_] = older[id_].pop(0)
        top = {"schema": SCHEMA, "serial": self.serial, "recipes": recipes, "weights": weights}
        if earlier := {id_: tables for id_, tables in older.items() if tables}:
            top["older"] = earlier
        return _HEAD + rtoml.dumps(top, none_value=None).encode()


def read_index(content: bytes, path: Path) -> ZooIndex:
    """Return the index in the bytes of a registry.toml.

    Args:
        path: the path of the file, for messages.

    Raises CatalogError if it is not the index of a zoo, or names a file outside the zoo's folder.
    """
    catalog = catalog_of(path, content)
    if not catalog.serial:
        raise CatalogError(
            f"{path} is not the index of a zoo: it has no serial", hint="see `zoo publish --help`"
        )
    if catalog.disabled:
        raise CatalogError(f"{path}: the index of a zoo cannot contain [plugins]")
    if lost := ", ".join(sorted(catalog.older.keys() - catalog.weights.keys())):
        raise CatalogError(f"{path}: older versions of {lost}, but no [weights] of that name")
    versions: dict[str, tuple[ZooVersion, ...]] = {}
    for id_, newest in catalog.weights.items():
        every = (newest, *catalog.older.get(id_, ()))
        versions[id_] = tuple(_version(path, id_, spec, catalog.recipes) for spec in every)
        if len({version.spec.sha256 for version in versions[id_]}) < len(every):
            raise CatalogError(f"{path}: two versions of {id_} have the same sha256")
    return ZooIndex(catalog.serial, versions)


def signature_file(content: bytes) -> str:
    """Return the path of the signatures of an index, relative to the zoo's folder."""
    return f"{SIGNATURES}/{hashlib.sha256(content).hexdigest()[:DIGITS]}.sig"


def _version(path: Path, id_: str, spec: WeightsSpec, recipes: Mapping[str, Recipe]) -> ZooVersion:
    """Return one version of an index, checked."""
    relative = spec.file.removeprefix(f"{path.parent.absolute()}/")
    named = re.fullmatch(rf"{FOLDER}/{re.escape(id_)}-([0-9a-f]{{{DIGITS},64}})\.safetensors", relative)
    if spec.url or not named or not spec.sha256.startswith(named[1]):
        message = f"{path}: the file of {id_} must be {FOLDER}/{id_}-{spec.sha256[:DIGITS]}.safetensors"
        raise CatalogError(f"{message} (got {spec.url or relative!r:.80})")
    if spec.recipe not in recipes:
        raise CatalogError(f"{path}: {id_} has the recipe {spec.recipe!r:.80}, which the index does not have")
    recipe = recipes[spec.recipe]
    if recipe.from_weights and not _VERSION.fullmatch(recipe.from_weights):
        message = f"{path}: the recipe of {id_} starts from {recipe.from_weights!r:.80}, which is not an id"
        raise CatalogError(message)
    return ZooVersion(replace(spec, file=relative), recipe)


def parsed_version(name: str) -> tuple[str, str] | None:
    """Split `ID` or `ID@SHA256` into the id and the digits; return None for any other text.

    >>> parsed_version("shapes@0123456789abcdef")
    ('shapes', '0123456789abcdef')
    """
    found = _VERSION.fullmatch(name)
    return (found[1], found[2] or "") if found else None


def _changed(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe or of weights that are not empty, which is also their default."""
    return {
        key: value for key, value in table.items() if value not in ("", 0, {}, [], ()) or key == "metrics"
    }
