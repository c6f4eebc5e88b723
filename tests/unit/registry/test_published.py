"""Recipes and weights of plugins: what hooks may return, and by which names it is found."""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zoo.api.entry_lists import rows
from zoo.config.recipe import Recipe
from zoo.errors import DataError, OptionError, UnknownName, WeightsError, ZooWarning
from zoo.files.hashes import sha256_of
from zoo.registry import plugins
from zoo.registry.catalog import Catalog
from zoo.registry.hookspecs import hookimpl
from zoo.registry.plugins import Plugin
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec
from zoo.runs.resolving import named_recipe, resolve
from zoo.testing._targets import with_ours
from zoo.testing.finding_weights import find_weights
from zoo_images.plugin import CLASSIFICATION

CONTENT = b"a file of weights"
RECIPE = Recipe(architecture="net", dataset="images")
WEIGHTS = WeightsSpec(
    recipe="tiny",
    file="weights/tiny.safetensors",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    bytes=len(CONTENT),
    params=3,
    metrics={"test": {"accuracy": 0.5}},
    license="MIT",
)
HERE = Path(__file__).parent


def load(name: str = "acme", *, entries: bool = True, **answers: Any) -> Plugin:
    """Load a plugin with a net, images, and hooks that return what is given."""
    fields: dict[str, Any] = {"task": "classification", "summary": "s"}
    if entries:
        answers["zoo_architectures"] = [ArchitectureSpec(name="net", target="m:Net", **fields)]
        answers["zoo_datasets"] = [DatasetSpec(name="images", target="m:Images", **fields)]
    hooks = {}
    for hook, answer in answers.items():

        def function(answer: Any = answer) -> Any:
            return answer

        hooks[hook] = hookimpl(specname=hook)(_without_arguments(function))
    return plugins.load(name, lambda: SimpleNamespace(**hooks), where=f"{__name__}:{name}")


def _without_arguments(function: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: function()


def loaded(name: str = "acme", **answers: Any) -> Plugin:
    plugin = load(name, **answers)
    assert plugin.status == "ok", plugin.cause
    return plugin


def test_short_names_of_a_plugin_mean_its_own() -> None:
    finer = replace(RECIPE, architecture="lstm", dataset="text/stdlib", from_weights="tiny")
    plugin = loaded(zoo_recipes={"tiny": RECIPE, "finer": finer}, zoo_weights={"tiny": WEIGHTS})
    assert plugin.recipes == {
        "acme/tiny": Recipe(architecture="acme/net", dataset="acme/images"),
        "acme/finer": replace(finer, from_weights="acme/tiny"),
    }
    assert plugin.weights == {
        "acme/tiny": replace(WEIGHTS, recipe="acme/tiny", file=str(HERE / WEIGHTS.file))
    }
    assert plugin.provides == (
        "architecture acme/net",
        "dataset acme/images",
        "recipe acme/tiny",
        "recipe acme/finer",
        "weights acme/tiny",
    )


def changed(**changes: Any) -> Mapping[str, WeightsSpec]:
    return {"tiny": replace(WEIGHTS, **changes)}


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ({"zoo_recipes": [RECIPE]}, "must return a dict from names to Recipe objects (got a list)"),
        ({"zoo_recipes": {"tiny": WEIGHTS}}, "must return only Recipe objects (got a WeightsSpec)"),
        ({"zoo_weights": {1: WEIGHTS}}, "the names in zoo_weights must be strings (got 1)"),
        ({"zoo_recipes": {"a/b": RECIPE}}, "the name of a recipe must be lowercase letters, digits"),
        ({"zoo_recipes": {"net": RECIPE}}, "the recipe 'net' has the same name as the plugin's architecture"),
        ({"zoo_recipes": {"tiny": replace(RECIPE, summary="a\nb")}}, "recipe 'tiny': summary must be"),
        ({"zoo_weights": {"tiny.pt": WEIGHTS}}, "weights 'tiny.pt': an id may contain only letters, digits"),
        ({"zoo_weights": changed(license="")}, "weights 'tiny' must have a license"),
        ({"zoo_weights": changed(metrics={"test": {}})}, "weights 'tiny' must have metrics"),
        ({"zoo_weights": changed(file="")}, "weights 'tiny' must have a file or a url, but not both"),
        ({"zoo_weights": changed(url="https://a.b/c")}, "must have a file or a url, but not both"),
        ({"zoo_weights": changed(file="", url="http://a.b/c")}, "url must begin with https:// (got 'http://"),
        ({"zoo_weights": changed(file="/etc/passwd")}, "file must be a path inside the package (got '/etc/"),
        ({"zoo_weights": changed(file="a/../../b")}, "file must be a path inside the package (got 'a/../"),
        ({"zoo_weights": changed(metrics={"test": {"a\nb": 1.0}})}, "metric names must be printable"),
        ({"zoo_weights": changed(recipe="a\nb")}, "weights 'tiny': recipe must be one line"),
    ],
)  # fmt: skip
def test_what_cannot_be_published_fails_the_plugin(answers: Mapping[str, Any], cause: str) -> None:
    plugin = load(**answers)
    assert plugin.status == "failed"
    assert cause in plugin.cause
    assert (plugin.recipes, plugin.weights) == ({}, {})


def made_in_a_hook(hook: str, make: Callable[[], object]) -> str:
    """Return why a plugin fails whose hook makes what it returns."""
    module = SimpleNamespace(hook=hookimpl(specname=hook)(lambda: {"tiny": make()}))
    return plugins.load("acme", lambda: module, where="acme").cause


def test_a_bad_value_is_named_with_its_recipe_and_the_line_that_makes_it() -> None:
    cause = made_in_a_hook("zoo_recipes", lambda: replace(RECIPE, seed="one"))
    message = "OptionError: seed must be an integer (got 'one'), in the recipe for 'net' on 'images'"
    assert re.fullmatch(rf"{re.escape(message)} \(test_published\.py:\d+\)", cause)


def test_a_bad_value_of_weights_is_named_with_the_line_that_makes_it() -> None:
    wrong = {"test": {"accuracy": "high"}}
    cause = made_in_a_hook("zoo_weights", lambda: replace(WEIGHTS, metrics=wrong))
    assert "OptionError: metrics must be a table, each value a table" in cause
    assert " (test_published.py:" in cause


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"metrics": {"test": {"loss": float("nan")}}},
            "metrics must be finite (got {'test': {'loss': nan}})",
        ),
        ({"bytes": 0}, "bytes must be at least 1 (got 0)"),
        ({"params": -1}, "params must be at least 0 (got -1)"),
        ({"sha256": "A" * 64}, "sha256 must be 64 hexadecimal digits"),
    ],
)
def test_a_wrong_field_of_weights_is_refused(changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        changed(**changes)
    assert message in str(caught.value)


# Names

IMAGES = Plugin(name="images", status="ok", where="m", specs=(("task", replace(CLASSIFICATION, groups=())),))
MINE = Catalog(recipes={"mine": RECIPE}, weights={"mine": WEIGHTS})


def registry(*names: str, catalog: Catalog = MINE) -> Registry:
    """Return plugins that each publish `tiny`, `mine` and a recipe with the plugin's name."""
    published = {name: {"tiny": RECIPE, "mine": RECIPE, name: RECIPE} for name in names}
    publishing = [
        loaded(name, zoo_recipes=recipes, zoo_weights=dict.fromkeys(recipes, WEIGHTS))
        for name, recipes in published.items()
    ]
    return Registry([IMAGES, *publishing], catalog)


@pytest.mark.parametrize("name", ["beta", "beta/beta"])
def test_a_full_and_a_unique_short_name_find_it(name: str) -> None:
    both = registry("acme", "beta")
    assert both.recipe(name) is both.recipes["beta/beta"]
    with pytest.raises(
        DataError, match=r"^the weights file of beta/beta \([0-9]+ bytes\) is not on this machine(?m:$)"
    ) as caught:
        find_weights(both, name)
    hint = "copy beta.safetensors from the package of beta to a folder, and set ZOO_WEIGHTS to its path; or "
    assert (caught.value.hint or "").startswith(hint)


def test_a_file_is_also_found_in_the_folder_for_weights_and_must_be_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path))
    (tmp_path / "tiny.safetensors").write_bytes(CONTENT)
    assert find_weights(registry("acme"), "tiny") == tmp_path / "tiny.safetensors"
    (tmp_path / "tiny.safetensors").write_bytes(CONTENT[::-1])
    with pytest.raises(DataError, match="has the wrong content"):
        find_weights(registry("acme"), "tiny")


LARGE = "nietzsche-lstm"


def without_the_clone() -> Registry:
    """Return a registry of weights that zoo and a plugin publish with the same id, without their files."""
    moved = replace(Catalog.shipped().weights[LARGE], file="/nowhere/weights.safetensors")
    same = loaded(zoo_recipes={"tiny": RECIPE}, zoo_weights={LARGE: replace(WEIGHTS, file="nowhere")})
    return Registry([IMAGES, same], Catalog(weights={LARGE: moved}))


def test_larger_weights_are_found_in_the_distribution_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "zoo_weights"
    package.mkdir()
    (package / f"{LARGE}.safetensors").symlink_to(Catalog.shipped().weights[LARGE].file)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_weights(without_the_clone(), LARGE) == package / f"{LARGE}.safetensors"
    with pytest.raises(DataError, match=f"the weights file of acme/{LARGE} "):
        find_weights(without_the_clone(), f"acme/{LARGE}")


def test_without_the_distribution_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zoo_weights", None)  # in case it is installed
    size = Catalog.shipped().weights[LARGE].bytes
    with pytest.raises(DataError, match=rf"^the weights file of {LARGE} \({size:,} bytes\)") as caught:
        find_weights(without_the_clone(), LARGE)
    assert caught.value.hint == (
        "`pip install ./weights/large` in a clone of zoo's repository installs it; "
        "or train the model: `zoo train nietzsche-lstm`"
    )


def test_for_an_architecture_its_published_weights_are_named() -> None:
    two = loaded(zoo_recipes={"tiny": RECIPE}, zoo_weights={"tiny": WEIGHTS, "other": WEIGHTS})
    with pytest.raises(WeightsError, match=r"^unknown weights 'net'; it is an architecture(?m:$)") as caught:
        find_weights(Registry([IMAGES, two]), "net")
    assert caught.value.hint == "this is an architecture; its published weights: acme/tiny, acme/other"
    with pytest.raises(WeightsError, match=r"^unknown weights 'net'; it is an architecture(?m:$)"):
        find_weights(Registry([IMAGES, loaded(zoo_recipes={"tiny": RECIPE})]), "net")


def test_nobody_can_take_a_name_of_registry_toml() -> None:
    both = registry("acme")
    meant = r"'mine' refers to the recipe in a registry\.toml, yours .*; to choose another, write acme/mine"
    with pytest.warns(ZooWarning, match=meant):
        assert both.recipe("mine") is RECIPE
    with pytest.warns(ZooWarning, match=meant.replace("recipe", "weights")), pytest.raises(DataError):
        find_weights(both, "mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert both.recipe("acme/mine").architecture == "acme/net"


def test_they_are_listed_under_their_full_names() -> None:
    listed = rows(registry("acme"), pattern="tiny")
    assert [(row["kind"], row["name"], row["plugin"], row["task"]) for row in listed] == [
        ("recipe", "acme/tiny", "acme", "classification"),
        ("weights", "acme/tiny", "acme", "classification"),
    ]


def test_a_file_of_the_same_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "tiny").write_bytes(b"")
    told = r"acme/tiny refers to a plugin's published weights; to use the file, write \./acme/tiny"
    with pytest.warns(ZooWarning, match=told), pytest.raises(DataError):
        find_weights(registry("acme"), "acme/tiny")
    assert find_weights(registry("acme"), "./acme/tiny") == Path("acme/tiny")


# Use


def test_a_recipe_without_its_plugin_is_listed_all_the_same() -> None:
    gone = {name: Recipe(architecture="gone/quux", dataset="gone/images") for name in ("one", "two")}
    lacking = Registry(with_ours(loaded(zoo_recipes={"tiny": RECIPE, **gone})))
    assert [row["name"] for row in rows(lacking, "recipe")] == ["acme/tiny", "acme/one", "acme/two"]
    with pytest.raises(UnknownName) as caught:
        resolve("one", None, lacking)
    assert str(caught.value) == "recipe one: unknown architecture 'gone/quux'"
    hint = "no plugin called gone is installed; `zoo plugins` lists the installed plugins"
    assert caught.value.hint == hint


def test_a_metric_does_not_take_the_place_of_what_weights_are_called() -> None:
    metrics = {"test": {"name": 0.1, "kind": 0.2, "dataset": 0.3, "params": 0.4, "accuracy": 0.5}}
    acme = loaded(zoo_recipes={"tiny": RECIPE}, zoo_weights={"tiny": replace(WEIGHTS, metrics=metrics)})
    registry = Registry(with_ours(acme))
    (row,) = (row for row in rows(registry, "weights") if row["name"] == "acme/tiny")
    assert (row["kind"], row["dataset"], row["params"]) == ("weights", "acme/images", WEIGHTS.params)
    assert row["accuracy"] == 0.5


def test_weights_are_listed_with_their_test_metrics_and_those_that_only_val_has() -> None:
    metrics = {"test": {"accuracy": 0.5}, "val": {"accuracy": 0.6, "loss": 1.5}}
    acme = loaded(zoo_recipes={"tiny": RECIPE}, zoo_weights={"tiny": replace(WEIGHTS, metrics=metrics)})
    (row,) = (row for row in rows(Registry(with_ours(acme)), "weights") if row["plugin"] == "acme")
    assert (row["accuracy"], row["loss"]) == (0.5, 1.5)


def test_an_architecture_and_a_dataset_of_one_name_are_trained_together() -> None:
    net = ArchitectureSpec(name="net", target="m:Net", task="classification", summary="")
    data = DatasetSpec(name="net", target="m:D", task="classification", summary="")
    acme = loaded(entries=False, zoo_architectures=[net], zoo_datasets=[data])
    both = Registry(with_ours(acme))
    recipe = named_recipe("acme/net", "acme/net", both)
    assert (recipe.architecture, recipe.dataset) == ("acme/net", "acme/net")


def test_a_file_is_checked_each_time(tmp_path: Path) -> None:
    plugin = load(zoo_weights={"tiny": WEIGHTS})
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(CONTENT)
    weights = {"acme/tiny": replace(plugin.weights["acme/tiny"], file=str(path))}
    of_acme = Registry([Plugin(name="acme", status="ok", where="acme", weights=weights)])
    assert find_weights(of_acme, "tiny") == path
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(DataError, match="has the wrong content"):
        find_weights(of_acme, "tiny")


def test_new_weights_of_an_id_do_not_meet_the_old_ones_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    sent = {"https://a.b/1": b"version 1", "https://a.b/2": b"version 22"}
    fetched: list[tuple[str, int]] = []

    def fetch(path: Path, url: str, sha256: str, max_bytes: int) -> Path:
        fetched.append((url, max_bytes))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sent[url])
        return path

    monkeypatch.setattr("zoo.files.downloads._fetch", fetch)
    for url, content in sent.items():
        spec = replace(
            WEIGHTS, file="", url=url, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)
        )
        of_acme = Registry([loaded(zoo_weights={"tiny": spec})])
        for _ in range(2):
            assert sha256_of(find_weights(of_acme, "acme/tiny")) == spec.sha256
    assert fetched == [(url, len(content)) for url, content in sent.items()]
