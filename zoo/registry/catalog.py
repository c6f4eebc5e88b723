"""`registry.toml`: settings, recipes and published weights. The user's file takes precedence over zoo's."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from zoo.config import options
from zoo.config.recipe import Recipe
from zoo.errors import CatalogError, OptionError

__all__ = ["Catalog", "PluginSettings", "WeightsEntry", "shipped_path", "user_path"]

SCHEMA = 1
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PluginSettings:
    """`[plugins]`: names to disable, and one-file plugins (paths relative to the file)."""

    disabled: tuple[str, ...] = ()
    local: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        options.validate(self)


@dataclass(frozen=True, kw_only=True)
class WeightsEntry:
    """`[weights.NAME]`: a published weights file, its hash, and the metrics claimed for it.

    Attributes:
        file: where it is; in the file relative to it, here absolute.
    """

    recipe: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits")]
    bytes: int
    params: int
    metrics: dict[str, dict[str, float]]
    file: str = ""
    url: str = ""
    seeds: tuple[int, ...] = ()
    license: str = ""

    def __post_init__(self) -> None:
        options.validate(self)


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The top level of a registry.toml."""

    schema: Literal[1]
    plugins: dict[str, Any] = {}
    recipes: dict[str, dict[str, Any]] = {}
    weights: dict[str, dict[str, Any]] = {}


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """What the files say together."""

    recipes: Mapping[str, Recipe] = {}
    weights: Mapping[str, WeightsEntry] = {}
    disabled: tuple[str, ...] = ()
    local: tuple[Path, ...] = ()

    @classmethod
    def load(cls) -> Self:
        """Read zoo's file, then the user's on top of it. Raises CatalogError naming the file and the key."""
        layers = [_read(path) for path in filter(None, (shipped_path(), user_path()))]
        return cls(
            recipes={name: recipe for layer in layers for name, recipe in layer.recipes.items()},
            weights={name: entry for layer in layers for name, entry in layer.weights.items()},
            disabled=tuple(name for layer in layers for name in layer.disabled),
            local=tuple(path for layer in layers for path in layer.local),
        )


def _read(path: Path) -> Catalog:
    """Return what one file says."""
    try:
        top = msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise CatalogError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.ValidationError as error:
        hint = f"it starts with the line: schema = {SCHEMA}; its tables: plugins, recipes.NAME, weights.NAME"
        raise CatalogError(f"{path}: {options.reason(error)}", hint=hint) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path} is not valid TOML: {error}") from None
    settings = _entry(path, "[plugins]", PluginSettings, top.plugins)
    weights: dict[str, WeightsEntry] = {}
    for name, table in top.weights.items():
        entry = _entry(path, f"[weights.{name}]", WeightsEntry, table)
        file = str((path.parent / entry.file).absolute()) if entry.file else ""
        weights[name] = replace(entry, file=file)
    return Catalog(
        recipes={name: _entry(path, f"[recipes.{name}]", Recipe, t) for name, t in top.recipes.items()},
        weights=weights,
        disabled=settings.disabled,
        local=tuple((path.parent / name).resolve() for name in settings.local),
    )


def _entry(path: Path, where: str, type_: type[T], table: Mapping[str, Any]) -> T:
    """Return one table as what it stands for; every class here checks its own fields."""
    known = type_.__dataclass_fields__  # type: ignore[attr-defined]
    required = [name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    lacking = ", ".join(name for name in required if name not in table)
    try:
        options.check_names(table, known, what=where)
        if lacking:
            raise OptionError(f"{where} lacks {lacking}")
        return type_(**table)
    except OptionError as error:
        message = str(error)
        raise CatalogError(f"{path}: {message if where in message else f'{where} {message}'}") from None


def shipped_path() -> Path:
    """Return the registry.toml that comes with zoo: inside the package, or in the checkout above it."""
    package = Path(__file__).parents[1]
    inside = package / "shipped" / "registry.toml"
    return inside if inside.exists() else package.parent / "registry.toml"


def user_path() -> Path | None:
    """Return the user's registry.toml, `$ZOO_REGISTRY` or `./registry.toml`, if there is one.

    Raises CatalogError if `$ZOO_REGISTRY` names a file that does not exist.
    """
    named = os.environ.get("ZOO_REGISTRY")
    if named:
        if not Path(named).is_file():
            raise CatalogError(f"$ZOO_REGISTRY names {named}, which does not exist")
        return Path(named)
    here = Path("registry.toml")
    return here if here.is_file() and here.resolve() != shipped_path().resolve() else None
