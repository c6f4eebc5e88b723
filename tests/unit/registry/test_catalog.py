"""registry.toml: its layers, and what is wrong with it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.errors import CatalogError, DataError, ZooWarning
from zoo.registry.catalog import Catalog, read_recipe, shipped_path, user_path
from zoo.registry.registry import Registry, default_registry
from zoo.testing.finding_weights import find_weights

Write = Callable[[str], Path]

RECIPE = """
schema = 1
[recipes.stdlib-lstm]
architecture = "charrnn/lstm"
dataset = "text/files"
train = { epochs = 7 }
[recipes.mine]
architecture = "convnet/resnet-lite"
dataset = "images/shapes"
"""

WEIGHTS = f"""
schema = 1
[weights.mine]
recipe = "stdlib-lstm"
file = "weights/mine.safetensors"
sha256 = "{"a" * 64}"
bytes = 10
params = 2
metrics = {{ val = {{ loss = 1.5 }} }}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that makes a text the user's registry.toml."""

    def write(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("ZOO_REGISTRY", str(path))
        return path

    return write


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_shipped_file_is_enough(nowhere: Path) -> None:
    catalog = Catalog.load()
    assert catalog.recipes["nietzsche-lstm"].architecture == "charrnn/lstm"


def test_the_users_file_takes_precedence_over_the_shipped_one(write: Write) -> None:
    write(RECIPE)
    catalog = Catalog.load()
    assert catalog.recipes["stdlib-lstm"].train == {"epochs": 7}
    assert catalog.recipes["stdlib-lstm"].model == {}, "a recipe is replaced as a whole"
    assert {"mine", "nietzsche-lstm"} <= set(catalog.recipes)


def test_registry_toml_in_the_current_folder_is_the_user_file(nowhere: Path) -> None:
    (nowhere / "registry.toml").write_text(RECIPE)
    assert user_path() == Path("registry.toml")
    assert "mine" in Catalog.load().recipes


def test_the_shipped_file_is_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped_path().parent)
    assert user_path() is None


def test_paths_are_relative_to_the_file_that_names_them(write: Write) -> None:
    path = write(WEIGHTS)
    assert Catalog.load().weights["mine"].file == str(path.parent / "weights" / "mine.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = ", "is not valid TOML"),
        ("[recipes.a]\n[recipes.a]", "is not valid TOML"),
        ("", "object missing required field schema"),
        ("schema = 2", "schema: invalid enum value 2"),
        ("schema = 1\n[recipe.a]", "object contains unknown field recipe"),
        ("schema = 1\nrecipes = 3", "recipes: expected object, got int"),
        ("schema = 1\n[recipes]\na = 3", "recipes[...]: expected object, got int"),
        (
            'schema = 1\n[recipes.a]\narchitecture = "x"\ndataset = "y"\ntrian = {}',
            "[recipes.a] has no option 'trian'; did you mean 'train'?",
        ),
        ('schema = 1\n[recipes.a]\narchitecture = "x"', "[recipes.a] lacks dataset"),
        (
            'schema = 1\n[recipes.a]\narchitecture = "x"\ndataset = "y"\nseed = "1"',
            "[recipes.a] seed must be an integer (got '1')",
        ),
        (WEIGHTS.replace("aaaa", "AAAA"), "[weights.mine] sha256 must be 64 hexadecimal digits (got 'AAAA"),
        ('schema = 1\n[plugins]\ndisable = 0', "[plugins] has no option 'disable'; did you mean 'disabled'"),
        ('schema = 1\n[plugins]\ndisabled = 3', "[plugins] disabled must be a list, each item a string"),
        ('schema = 1\nplugin_files = ["x.py"]', "cannot set plugin files"),
    ],
)  # fmt: skip
def test_an_error_names_the_file_and_the_key(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(CatalogError) as caught:
        Catalog.load()
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_of_a_training_option_in_the_config_of_a_run_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(RECIPE.partition("[recipes.mine]")[0].replace("7", "0"))
    with pytest.raises(CatalogError) as caught:
        read_recipe(tmp_path / "config.toml")
    named = f"{tmp_path / 'config.toml'}: [recipes.stdlib-lstm]"
    assert str(caught.value) == f"{named} epochs must be at least 1 (got 0)"


def test_a_file_that_is_not_utf_8_is_refused(write: Write) -> None:
    write("").write_bytes(b"schema = 1 # \xff")
    with pytest.raises(CatalogError, match="is not valid TOML"):
        Catalog.load()


def test_a_named_file_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_REGISTRY", "/nowhere/registry.toml")
    with pytest.raises(
        CatalogError, match=r"\$ZOO_REGISTRY is set to /nowhere/registry\.toml, which does not exist"
    ):
        Catalog.load()


# What a folder may not decide


SHIPPED = f"""
schema = 1
[weights.cifar10-resnet20]
recipe = "cifar10-resnet20"
sha256 = "{"b" * 64}"
bytes = 10
params = 2
metrics = {{}}
"""


def test_weights_that_zoo_publishes_cannot_be_redefined(write: Write) -> None:
    path = write(SHIPPED)
    with pytest.raises(CatalogError) as caught:
        Catalog.load()
    message = f"{path}: [weights.cifar10-resnet20] has the same name as weights that zoo publishes"
    assert (str(caught.value), caught.value.hint) == (message, "choose a different name")


def test_a_copy_of_the_shipped_file_changes_nothing(nowhere: Path) -> None:
    shipped = Catalog.load()
    (nowhere / "registry.toml").write_bytes(shipped_path().read_bytes())
    copied = Catalog.load()
    assert (copied.weights, copied.recipes) == (shipped.weights, shipped.recipes)
    assert copied.replaced == frozenset()


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", ".hidden", "model.safetensors", "", "a b", "a\\nb"])
def test_an_id_of_weights_is_no_path(name: str, write: Write) -> None:
    path = write(WEIGHTS.replace("weights.mine", f'weights."{name}"'))
    with pytest.raises(CatalogError, match="weights cannot be called") as caught:
        Catalog.load()
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("name", ["../../x", "/x", ".", "..", "", "a\\u0000b"])
def test_a_recipe_whose_runs_would_lie_elsewhere_is_refused(name: str, write: Write) -> None:
    write(RECIPE.replace("recipes.mine", f'recipes."{name}"'))
    with pytest.raises(CatalogError, match="a recipe cannot be called"):
        Catalog.load()


def test_a_recipe_that_replaces_one_of_zoo_is_told_when_it_is_used(write: Write) -> None:
    path = write(RECIPE)
    registry = Registry([], Catalog.load())
    with pytest.warns(
        ZooWarning, match=f"the recipe stdlib-lstm in {path} replaces zoo's recipe of that name"
    ):
        assert registry.recipe("stdlib-lstm").train == {"epochs": 7}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZooWarning)
        registry.recipe("mine")
        registry.recipe("nietzsche-lstm")


def test_disabling_what_zoo_brings_is_told(write: Write) -> None:
    path = write('schema = 1\n[plugins]\ndisabled = ["cam", "text", "acme"]')
    with pytest.warns(ZooWarning, match=f"{path} disables zoo's own plugins: cam, text"):
        assert not default_registry().has("analyzer", "cam")


def test_the_config_of_a_run_cannot_name_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, link = tmp_path / "config.toml", tmp_path / "registry.toml"
    link.symlink_to(config)
    for path in (config, link):
        monkeypatch.setenv("ZOO_REGISTRY", str(path))
        config.write_text(RECIPE)
        assert "mine" in Catalog.load().recipes
        config.write_text(f'{RECIPE}[plugins]\ndisabled = ["cam"]')
        with pytest.raises(CatalogError, match=r"the config\.toml of a run cannot contain \[plugins\]"):
            Catalog.load()


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "huge", "deep", "dotted", "long integer"])
def test_a_file_that_would_take_for_ever_is_refused(
    kind: str, named: bool, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = nowhere / "registry.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(100_000_000)
    else:
        texts = {"deep": "a = " + "[" * 100_000, "dotted": "a" + ".a" * 30_000 + " = 1"}
        path.write_text(texts.get(kind, "a = " + "1" * 5_000))
    if named:
        monkeypatch.setenv("ZOO_REGISTRY", str(path))
    with pytest.raises(CatalogError, match=r"registry\.toml (cannot be read|is not valid TOML): "):
        Catalog.load()


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "NUL"])
def test_weights_that_are_no_file_are_refused(kind: str, write: Write, tmp_path: Path) -> None:
    place = tmp_path / "weights" / "mine.safetensors"
    place.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/dev/zero")
    write(WEIGHTS if kind != "NUL" else WEIGHTS.replace("mine.safetensors", "mine\\u0000"))
    with pytest.raises(DataError, match="is not on this machine"):
        find_weights(Registry([], Catalog.load()), "mine")


def test_names_come_before_paths(nowhere: Path) -> None:
    published = find_weights(Registry([], Catalog.load()), "cifar10-resnet20")
    (nowhere / "cifar10-resnet20").write_bytes(b"not what was published")
    assert find_weights(Registry([], Catalog.load()), "cifar10-resnet20") == published
    (nowhere / "cifar10-resnet20").unlink()
    (nowhere / "cifar10-resnet20").mkdir()
    (nowhere / "cifar10-resnet20" / "model.safetensors").write_bytes(b"neither")
    assert find_weights(Registry([], Catalog.load()), "cifar10-resnet20") == published
