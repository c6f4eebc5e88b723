"""Checks of the recipes and weights that a plugin publishes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from zoo.config.declarations import declared
from zoo.config.keywords import check_arguments
from zoo.errors import DataError, ZooError
from zoo.files.downloads import offline
from zoo.registry.plugins import CORE
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo.testing._case import Case, Failure, Skip, failing, message
from zoo.testing.finding_weights import find_weights

if TYPE_CHECKING:
    from zoo.interfaces import Split

# How far a metric may be from the one claimed for it: another processor rounds differently, and a claim has
# four decimals
_TOLERANCE, _ROUNDED = 1e-3, 5e-5


def recipes_name_entries(case: Case) -> None:
    """The architecture, dataset and weights that each recipe names exist, and are for the same task."""
    registry = _registry(case)
    for name, recipe in case.recipes.items():
        with failing(
            ZooError,
            expected=f"entries for the same task in the recipe {name}",
            usually="a misspelled name, or a plugin that pyproject.toml should depend on",
        ):
            registry.shared_task(registry.architecture(recipe.architecture), registry.dataset(recipe.dataset))
            if recipe.from_weights and not registry.has("weights", recipe.from_weights):
                raise DataError(f"no published weights are named {recipe.from_weights!r}")


def recipes_have_valid_options(case: Case) -> None:
    """Every training option, model option and data option of a recipe exists, and has a valid value."""
    from zoo.models.building import model_arguments

    registry = _registry(case)
    for name, recipe in case.recipes.items():
        architecture, dataset = registry.architecture(recipe.architecture), registry.dataset(recipe.dataset)
        task = registry.task_of(recipe)
        with failing(
            ZooError,
            expected=f"valid options in the recipe {name}",
            usually="a renamed option, or a training option in `model` or `data`",
        ):
            registry.training_config(recipe)
            model_arguments(architecture, task, task.dims, recipe.model)
            target, what = dataset.load(), f"dataset {dataset.name}"
            filled = declared(target).keys()  # what the recipe leaves open, its user says
            check_arguments(target, recipe.data, what=what, flag="--data", filled=filled)


def weights_are_intact(case: Case) -> None:
    """Every published file exists, with the stated sha256 and size."""
    registry, absent = _registry(case), list[str]()
    for name, spec in case.weights.items():
        try:
            with offline():
                size = find_weights(registry, name).stat().st_size
        except DataError as error:
            if spec.url:  # it may be intact where it is
                absent.append(str(error))
                continue
            raise Failure(
                expected=f"the file of the weights {name} in the package",
                got=str(error),
                usually="weights that were trained again, or a file that the build omits from the package",
            ) from error
        assert size == spec.bytes, message(
            expected=f"{spec.bytes:,} bytes for the weights {name}",
            got=f"{size:,}",
            usually="the size of a different file",
        )
    _skip_if(absent)


def weights_fit_their_recipe(case: Case) -> None:
    """Every available file loads, and matches its recipe and its spec."""
    from zoo.models import weights
    from zoo.tools.compare.claims import recipe_claims

    registry = _registry(case)
    for name, spec in case.weights.items():
        found = registry.recipes.get(spec.recipe)
        assert found is not None, message(
            expected=f"the recipe of the weights {name}",
            got=f"no recipe {spec.recipe!r}",
            usually="a misspelled name, or another plugin's recipe under its short name",
        )
    absent: list[str] = []
    for name, spec, path in _at_hand(case, absent):
        with failing(
            ZooError,
            expected=f"the weights {name} to load, and their recipe {spec.recipe} to be valid",
            usually="an architecture or a recipe that was changed after training",
        ):
            model, card = weights.load(path, registry)
            compared = list(recipe_claims(card, registry.recipes[spec.recipe], registry))
        count = sum(parameter.numel() for parameter in model.parameters())
        ours = [("parameters", spec.params, count), ("by_seed", spec.by_seed, card.by_seed)]
        for what, said, held in [*ours, *compared]:
            assert held == ([*said] if isinstance(said, tuple) else said), message(
                expected=f"weights {name} with {what} {said}, as stated by {spec.recipe} and their spec",
                got=f"{held}",
                usually="the file of a different run, or a recipe that was changed after training",
            )
    _skip_if(absent)


def weights_score_as_claimed(case: Case) -> None:
    """Every claimed metric whose data is available is reproduced to 0.1% or four decimals."""
    absent: list[str] = []
    for name, spec, path in _at_hand(case, absent):
        try:
            measured = _measured(case, path, spec.metrics)
        except DataError as error:
            absent.append(str(error))
            continue
        for split, claimed in spec.metrics.items():
            for metric, value in claimed.items():
                got = measured[split].get(metric, math.nan)
                assert math.isclose(got, value, rel_tol=_TOLERANCE, abs_tol=_ROUNDED), message(
                    expected=f"{split} {metric} {value:.6g} for the weights {name}, as claimed",
                    got=f"{got:.6g}" if got == got else f"no such metric, only {', '.join(measured[split])}",
                    usually="figures from a different run or split; `zoo eval` measures them",
                )
    _skip_if(absent)


def _measured(case: Case, path: Path, splits: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return the metrics of a file on splits of its own data.

    Raises DataError if the data is missing. The data stays open for the next file, which usually was trained
    on the same data.
    """
    from zoo.data.opening import open_fed
    from zoo.evaluation.measure import measure
    from zoo.interfaces import make_task
    from zoo.models import weights
    from zoo.models.windows import context_of

    registry = _registry(case)
    model, card = weights.load(path, registry)
    task, opened = make_task(registry, card.task), (card.task, card.dataset, card.preprocess)
    with offline():
        fed = case.kept("fed", lambda: open_fed(card, task, registry)[1], of=opened)
    task, context = task.as_trained(card.training), context_of(card, registry)
    return {name: measure(model, task, fed, cast("Split", name), context=context).metrics for name in splits}


def _at_hand(case: Case, absent: list[str]) -> Iterator[tuple[str, WeightsSpec, Path]]:
    """Yield the weights whose file is on this machine and intact; add reasons for the others to `absent`."""
    for name, spec in case.weights.items():
        try:
            with offline():
                path = find_weights(_registry(case), name)
        except DataError as error:
            absent.append(str(error))
            continue
        yield name, spec, path


def _skip_if(absent: list[str]) -> None:
    """Raise Skip if some weights or their data are not available."""
    if absent:
        raise Skip(f"some weights cannot be checked, because checks never download files: {absent[0]}")


def _registry(case: Case) -> Registry:
    """Return a registry that includes other plugins, since a recipe may name their entries."""

    def with_others() -> Registry:
        alone = {plugin.name for plugin in case.registry.plugins} <= {CORE, case.plugin.name}
        others = Registry.discover().plugins if alone else []
        theirs = [plugin for plugin in others if plugin.name != case.plugin.name]
        return Registry([*theirs, *case.registry.plugins], case.registry.catalog)

    return case.kept("catalog", with_others)
