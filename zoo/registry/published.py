"""Check recipes and weights from plugins' hooks, and list them under their full names.

Recipes and weights are data and contain no code; a weights file is read like any other.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, cast

from msgspec import Meta

from zoo.config import options
from zoo.config.recipe import Recipe
from zoo.errors import OptionError, PluginError
from zoo.registry.specs import Name, require_printable

# An id of weights: a word without a separator or a suffix, which would make it a path
WEIGHTS_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")


@dataclass(frozen=True, kw_only=True)
class WeightsSpec:
    """A published weights file, with its hash and the metrics reported by its publisher.

    Attributes:
        recipe: the name of the recipe that trained the model.
        bytes: size of the file; a larger download is stopped.
        params: number of parameters.
        metrics: metrics by split, such as `{"test": {"loss": 1.47}}`. A plugin must set at least one.
        file: path of the file, relative to the folder that contains the plugin's module or the registry.toml;
            in `zoo.Registry.weights`, the path is absolute.
        url: HTTPS address of the file. A plugin must set either `file` or `url`.
        by_seed: the primary metric after training the recipe with multiple seeds, starting with this file's
            seed; empty if the recipe was trained with only one seed.
        seconds: CPU time that training took; 0 if unknown.
        license: the license of the weights, which a plugin must set.
        intervals: the 95% confidence interval of each metric, by split, as far as they were measured.
        data_license: the license of the data; empty if unknown.
        withdrawn: why the weights must not be used anymore; empty unless their publisher withdrew them.

    Raises OptionError for a field of the wrong type.
    """

    recipe: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits")]
    bytes: Annotated[int, Meta(ge=1)]
    params: Annotated[int, Meta(ge=0)]
    metrics: dict[str, dict[str, float]]
    file: str = ""
    url: str = ""
    by_seed: dict[str, float] = dataclasses.field(default_factory=dict[str, float])
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    license: str = ""
    intervals: dict[str, dict[str, tuple[float, float]]] = dataclasses.field(
        default_factory=dict[str, dict[str, tuple[float, float]]]
    )
    data_license: str = ""
    withdrawn: str = ""

    def __post_init__(self) -> None:
        options.validate(self)
        figures = [value for metrics in self.metrics.values() for value in metrics.values()]
        if not all(map(math.isfinite, [*figures, *self.by_seed.values()])):
            raise OptionError(f"metrics must be finite (got {options.shown(self.metrics)})")


# The hooks that return a mapping of names
PUBLISHING = frozenset({"zoo_recipes", "zoo_weights"})


def published(
    plugin: str,
    recipes: dict[str, Recipe],
    weights: dict[str, WeightsSpec],
    *,
    entries: Collection[tuple[str, str]],
    folder: Callable[[], Path],
) -> tuple[dict[str, Recipe], dict[str, WeightsSpec]]:
    """Return the recipes and the weights of a plugin by full name, with absolute file paths.

    A short name in a recipe or in weights refers to the plugin's own entry, if there is one.

    Args:
        plugin: name of the plugin.
        recipes: recipes from the plugin's hooks, by short name.
        weights: weights from the plugin's hooks, by short name.
        entries: kind and name of each of the plugin's entries.
        folder: function that returns the folder of the module with the hooks.

    Raises PluginError, SpecError or OptionError with the name of the recipe or the weights.
    """
    own = {*entries, *(("recipe", name) for name in recipes), *(("weights", name) for name in weights)}

    def full(kind: str, name: str) -> str:
        return f"{plugin}/{name}" if (kind, name) in own else name

    for name, recipe in recipes.items():
        _check_recipe(name, recipe, own)
        recipes[name] = options.with_checked(
            recipe,
            architecture=full("architecture", recipe.architecture),
            dataset=full("dataset", recipe.dataset),
            from_weights=full("weights", recipe.from_weights),
        )
    for name, spec in weights.items():
        _check_weights(name, spec)
        file = str(folder() / spec.file) if spec.file else ""
        weights[name] = options.with_checked(spec, recipe=full("recipe", spec.recipe), file=file)
    return (
        {f"{plugin}/{name}": recipe for name, recipe in recipes.items()},
        {f"{plugin}/{name}": spec for name, spec in weights.items()},
    )


def _check_recipe(name: str, recipe: Recipe, own: Collection[tuple[str, str]]) -> None:
    """Raise a ZooError unless a recipe's name is valid and is not the name of another entry."""
    options.convert(name, cast("Any", Name), what="the name of a recipe")
    for kind in ("architecture", "dataset", "analyzer"):
        if (kind, name) in own:
            raise PluginError(f"the recipe {name!r} has the same name as the plugin's {kind}; rename it")
    require_printable(recipe, f"recipe {name!r}:")


def _check_weights(name: str, spec: WeightsSpec) -> None:
    """Raise a ZooError unless weights have all required fields and a valid location."""
    what = f"weights {name!r}"
    if not WEIGHTS_ID.fullmatch(name):
        raise PluginError(f"{what}: an id may contain only letters, digits and - _ +")
    if not spec.license:
        raise PluginError(f"{what} must have a license")
    if not any(spec.metrics.values()):
        raise PluginError(f"{what} must have metrics")
    if bool(spec.file) == bool(spec.url):
        raise PluginError(f"{what} must have a file or a url, but not both")
    if spec.url and not spec.url.startswith("https://"):
        raise PluginError(f"{what}: url must begin with https:// (got {options.shown(spec.url)})")
    path = PurePosixPath(spec.file)
    if path.is_absolute() or ".." in path.parts or "\0" in spec.file:
        raise PluginError(f"{what}: file must be a path inside the package (got {options.shown(spec.file)})")
    names = " ".join(name for split, metrics in spec.metrics.items() for name in (split, *metrics))
    if not names.isprintable():
        raise PluginError(f"{what}: metric names must be printable (got {names!r:.80})")
    require_printable(spec, f"{what}:")
