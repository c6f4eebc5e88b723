"""`registry.toml`: settings, recipes and published weights; the user's file lies over the shipped one."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta

from zoo.config import options
from zoo.errors import CatalogError, OptionError, UnknownName, did_you_mean
from zoo.registry.specs import Recipe

__all__ = ["Catalog", "PluginSettings", "RecipeEntry", "WeightsEntry", "shipped_path", "user_path"]

SCHEMA = 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSettings:
    """`[plugins]`: names to leave alone, and one-file plugins (paths relative to the file)."""

    disabled: tuple[str, ...] = ()
    local: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeEntry:
    """`[recipes.NAME]`: an architecture, a dataset and the options that differ from their defaults."""

    architecture: str
    dataset: str
    summary: str = ""
    model: dict[str, Any] = field(default_factory=dict[str, Any])
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    train: dict[str, Any] = field(default_factory=dict[str, Any])
    start: str = ""
    """Weights to start from: a path or an id of `[weights]`."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """`[weights.NAME]`: a published weights file, its hash, and the numbers claimed for it."""

    recipe: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    bytes: int
    params: int
    metrics: dict[str, dict[str, float]]
    file: str = ""
    url: str = ""
    seeds: tuple[int, ...] = ()
    license: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What the layers say together."""

    recipes: Mapping[str, RecipeEntry]
    weights: Mapping[str, WeightsEntry]
    disabled: tuple[str, ...]
    local: tuple[Path, ...]
    weights_home: Mapping[str, Path]
    """The folder each weights entry's `file` is relative to."""

    @classmethod
    def load(cls) -> Catalog:
        """Read the shipped file, then the user's over it. Raises CatalogError naming file and key."""
        recipes: dict[str, RecipeEntry] = {}
        weights: dict[str, WeightsEntry] = {}
        homes: dict[str, Path] = {}
        disabled: tuple[str, ...] = ()
        local: tuple[Path, ...] = ()
        for path in filter(None, (shipped_path(), user_path())):
            layer = _Layer(path)
            recipes |= layer.tables("recipes", RecipeEntry)
            new = layer.tables("weights", WeightsEntry)
            weights |= new
            homes |= dict.fromkeys(new, path.parent)
            settings = layer.table("plugins", PluginSettings)
            disabled += settings.disabled
            local += tuple((path.parent / name).resolve() for name in settings.local)
            for name, recipe in recipes.items():
                layer.check(f"[recipes.{name}] train", lambda recipe=recipe: Recipe().replace(recipe.train))
        return cls(recipes=recipes, weights=weights, disabled=disabled, local=local, weights_home=homes)

    def recipe(self, name: str) -> RecipeEntry:
        """Return a recipe. Raises UnknownName."""
        if name not in self.recipes:
            hint = "`zoo list recipe` shows all; `zoo train ARCHITECTURE DATASET` needs none"
            raise UnknownName(f"no recipe {name!r}{did_you_mean(name, self.recipes)}", hint=hint)
        return self.recipes[name]


class _Layer:
    """One file, read and checked for what it may hold."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CatalogError(f"{path} is not valid TOML: {error}") from None
        except OSError as error:
            raise CatalogError(f"{path} cannot be read: {error.strerror}") from None
        known = ("schema", "plugins", "recipes", "weights")
        self.check("top level", lambda: options.check_names(self.data, known, what="the file"))
        if self.data.get("schema") != SCHEMA:
            raise CatalogError(
                f"{path}: schema is {self.data.get('schema')!r}, and this zoo reads schema = {SCHEMA}",
                hint=f"a zoo registry starts with the line: schema = {SCHEMA}",
            )

    def table(self, key: str, type_: type[T]) -> T:
        return self._as(self.data.get(key, {}), type_, f"[{key}]")

    def tables(self, key: Literal["recipes", "weights"], type_: type[T]) -> dict[str, T]:
        section = self._as(self.data.get(key, {}), dict[str, Any], f"[{key}]")
        return {name: self._as(value, type_, f"[{key}.{name}]") for name, value in section.items()}

    def _as(self, value: object, type_: type[T], where: str) -> T:
        def run() -> T:
            fields = getattr(type_, "__dataclass_fields__", None)
            if isinstance(value, dict) and fields is not None:
                options.check_names(value, fields, what=where)
            return options.convert(value, type_, what=where)

        return self.check(where, run)

    def check(self, where: str, run: Any) -> Any:
        try:
            return run()
        except OptionError as error:
            told = str(error)
            raise CatalogError(f"{self.path}: {told if where in told else f'{where}: {told}'}") from None


def shipped_path() -> Path:
    """Return the registry.toml that comes with zoo: beside the package, or in a checkout above it."""
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
            raise CatalogError(f"$ZOO_REGISTRY names {named}, and there is no such file")
        return Path(named)
    here = Path("registry.toml")
    is_shipped = here.exists() and here.resolve() == shipped_path().resolve()
    return here if here.is_file() and not is_shipped else None
