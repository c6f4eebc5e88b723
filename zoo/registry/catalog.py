"""Read `registry.toml`: settings, recipes and published weights, from zoo's file and the user's.

The user's file is not trusted, since it may be in any folder: its size is bounded, its names are checked, and
it cannot load code.
"""

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
import rtoml

from zoo.config import options
from zoo.config.declarations import declared
from zoo.config.recipe import Recipe
from zoo.config.train_config import checked_fields
from zoo.errors import CatalogError, OptionError
from zoo.files import run_files
from zoo.files.regular import read_regular
from zoo.registry.published import WEIGHTS_ID, WeightsSpec

SCHEMA = 1

# Bytes, of some 30,000 recipes: reading them takes seconds
MOST_BYTES = 1 << 24
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PluginSettings:
    """`[plugins]`: names of the plugins to disable."""

    disabled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        options.validate(self)


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The top level of a registry.toml, or of a run's config.toml; only the latter has `plugin_files`.

    A registry.toml that is the index of a zoo also has `serial` and `older`; see `zoo.registry.zoo_index`.
    """

    schema: Literal[1]
    serial: Annotated[int, msgspec.Meta(ge=0)] = 0
    plugin_files: list[str] = []
    plugins: dict[str, Any] = {}
    recipes: dict[str, dict[str, Any]] = {}
    weights: dict[str, dict[str, Any]] = {}
    older: dict[str, list[dict[str, Any]]] = {}


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The combined content of the files.

    Attributes:
        path: the user's file, if any.
        replaced: zoo's recipes that the user's file replaces.
        serial: the number of changes of a zoo's index; 0 for any other file.
        older: in a zoo's index, the earlier versions of weights by id, the newest first.
    """

    recipes: Mapping[str, Recipe] = {}
    weights: Mapping[str, WeightsSpec] = {}
    disabled: tuple[str, ...] = ()
    path: Path | None = None
    replaced: frozenset[str] = frozenset()
    serial: int = 0
    older: Mapping[str, tuple[WeightsSpec, ...]] = {}

    @classmethod
    def shipped(cls) -> "Catalog":
        """Read zoo's own file, but only once."""
        return _once(shipped_path())

    @classmethod
    def load(cls) -> Self:
        """Read zoo's file, then the user's file, which overrides it.

        Raises CatalogError, which names the file and the key. It is also raised for weights with the id of
        weights that zoo publishes.
        """
        shipped, path = cls.shipped(), user_path()
        if path is None:
            return cls(recipes=shipped.recipes, weights=shipped.weights)
        ours = _read(path)
        for name in ours.weights.keys() & shipped.weights.keys():
            if replace(ours.weights[name], file="") != replace(shipped.weights[name], file=""):
                message = f"{path}: [weights.{name}] has the same name as weights that zoo publishes"
                raise CatalogError(message, hint="choose a different name")
        return cls(
            recipes={**shipped.recipes, **ours.recipes},
            weights={**shipped.weights, **ours.weights, **shipped.weights},  # zoo's first, and as they are
            disabled=ours.disabled,
            path=path,
            replaced=frozenset(
                name for name, recipe in ours.recipes.items() if shipped.recipes.get(name, recipe) != recipe
            ),
        )


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of a run's config.toml. Raises CatalogError, also for invalid training options."""
    name, recipe = recorded_recipe(path)
    try:
        checked_fields(recipe.train)
    except OptionError as error:
        raise CatalogError(f"{path}: [recipes.{name}] {error}") from None
    return recipe


def recorded_recipe(path: Path) -> tuple[str, Recipe]:
    """Return the recipe of a run's config.toml with its name, without checking its training options."""
    recipes = _read(path).recipes
    if len(recipes) != 1:
        raise CatalogError(f"{path} must contain exactly one recipe (got {len(recipes)})")
    ((name, recipe),) = recipes.items()
    return name, recipe


def read_plugin_files(path: Path) -> list[str]:
    """Return the paths of the one-file plugins that a run was started with, without running their code."""
    return _decoded(path, _content(path)).plugin_files


@functools.cache
def _once(path: Path) -> Catalog:
    """Return the recipes and weights of a file that does not change."""
    return _read(path)


def _read(path: Path) -> Catalog:
    """Return the content of one file."""
    return catalog_of(path, _content(path))


def catalog_of(path: Path, content: bytes) -> Catalog:
    """Return the content of one file, which was read from `path`. Raises CatalogError."""
    top = _decoded(path, content)
    is_run = path.name == run_files.CONFIG or path.resolve().name == run_files.CONFIG
    if top.plugins and is_run:
        raise CatalogError(f"{path}: the config.toml of a run cannot contain [plugins]")
    if top.plugin_files and not is_run:
        raise CatalogError(
            f"{path} cannot set plugin files", hint="use `zoo --plugin FILE` or $ZOO_PLUGIN_FILES"
        )
    settings = _entry(path, "[plugins]", PluginSettings, top.plugins)
    recipes: dict[str, Recipe] = {}
    for name, table in top.recipes.items():
        if "/" in name or "\0" in name or name in ("", ".", ".."):
            raise CatalogError(f"{path}: a recipe cannot be called {name!r}", hint="use a valid folder name")
        if not is_run and re.search("[:@]", name):  # as in `team:id@sha256`
            raise CatalogError(
                f"{path}: a recipe cannot be called {name!r}", hint="use a name without : and @"
            )
        recipes[name] = _entry(path, f"[recipes.{name}]", Recipe, table)
    weights = {name: _weights(path, "weights", name, table) for name, table in top.weights.items()}
    older = {
        name: tuple(_weights(path, "older", name, table) for table in tables)
        for name, tables in top.older.items()
    }
    return Catalog(
        recipes=recipes, weights=weights, disabled=settings.disabled, serial=top.serial, older=older
    )


def _weights(path: Path, key: str, name: str, table: Mapping[str, Any]) -> WeightsSpec:
    """Return the weights in a table of a file, with the absolute path of their file."""
    if not WEIGHTS_ID.fullmatch(name):
        hint = "use only letters, digits, -, _ and +; a name with a / or a suffix is treated as a path"
        raise CatalogError(f"{path}: weights cannot be called {name!r}", hint=hint)
    entry = _entry(path, f"[{key}.{name}]", WeightsSpec, table)
    file = str((path.parent / entry.file).absolute()) if entry.file else ""
    return options.with_checked(entry, file=file)


def _content(path: Path) -> bytes:
    """Return the bytes of a file."""
    try:
        return read_regular(path, most=MOST_BYTES)
    except FileNotFoundError:
        raise CatalogError(f"no such file: {path}") from None
    except OSError as error:
        raise CatalogError(f"{path} cannot be read: {error.strerror}") from None


def _decoded(path: Path, content: bytes) -> _File:
    """Return the tables of a file."""
    try:
        return msgspec.convert(rtoml.loads(content.decode()), _File)
    except msgspec.ValidationError as error:
        hint = f"the first line must be schema = {SCHEMA}; tables can be plugins, recipes.NAME, weights.NAME"
        raise CatalogError(f"{path}: {options.reason(error)}", hint=hint) from None
    except ValueError as error:
        raise CatalogError(f"{path} is not valid TOML: {error}") from None
    except RecursionError:
        raise CatalogError(f"{path} is not valid TOML: it is nested too deeply") from None


def _entry(path: Path, where: str, type_: type[T], table: Mapping[str, Any]) -> T:
    """Convert a table to its class, which checks the fields."""
    known = declared(type_)
    lacking = ", ".join(name for name, one in known.items() if one.required and name not in table)
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

    Raises CatalogError if `$ZOO_REGISTRY` is set to a file that does not exist.
    """
    named = os.environ.get("ZOO_REGISTRY")
    if named:
        if not os.path.exists(named):  # noqa: PTH110 - which any text may be asked
            raise CatalogError(f"$ZOO_REGISTRY is set to {named}, which does not exist")
        return Path(named)
    here = Path("registry.toml")
    return here if here.exists() and here.resolve() != shipped_path().resolve() else None
