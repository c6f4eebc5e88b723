"""registry.toml: its layers, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.errors import CatalogError, UnknownName
from zoo.registry.catalog import Catalog, shipped_path, user_path

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


def test_the_shipped_file_alone_is_good(nowhere: Path) -> None:
    catalog = Catalog.load()
    assert catalog.recipe("nietzsche-lstm").architecture == "charrnn/lstm"
    assert catalog.local == ()


def test_a_user_file_lies_over_the_shipped_one(write: Write) -> None:
    write(RECIPE)
    catalog = Catalog.load()
    assert catalog.recipe("stdlib-lstm").train == {"epochs": 7}
    assert catalog.recipe("stdlib-lstm").model == {}, "a recipe is replaced as a whole"
    assert {"mine", "nietzsche-lstm"} <= set(catalog.recipes)


def test_registry_toml_in_the_current_folder_is_the_user_file(nowhere: Path) -> None:
    (nowhere / "registry.toml").write_text(RECIPE)
    assert user_path() == Path("registry.toml")
    assert "mine" in Catalog.load().recipes


def test_the_shipped_file_is_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped_path().parent)
    assert user_path() is None


def test_paths_are_relative_to_the_file_that_names_them(write: Write) -> None:
    path = write('schema = 1\n[plugins]\nlocal = ["my_plugin.py"]\ndisabled = ["acme"]')
    catalog = Catalog.load()
    assert catalog.local == ((path.parent / "my_plugin.py").resolve(),)
    assert catalog.disabled == ("acme",)
    write(WEIGHTS)
    assert Catalog.load().weights_home["mine"] == path.parent


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("schema = ", "is not valid TOML"),
        ("[recipes.a]\n[recipes.a]", "is not valid TOML"),
        ("", "schema is None, and this zoo reads schema = 1"),
        ("schema = 2", "schema is 2, and this zoo reads schema = 1"),
        ("schema = 1\n[recipe.a]", "the file has no option 'recipe'; did you mean 'recipes'?"),
        ("schema = 1\nrecipes = 3", "[recipes]: expected object, got int"),
        ("schema = 1\n[recipes]\na = 3", "[recipes.a]: expected object, got int"),
        (
            'schema = 1\n[recipes.a]\narchitecture = "x"\ndataset = "y"\ntrian = {}',
            "[recipes.a] has no option 'trian'; did you mean 'train'?",
        ),
        ('schema = 1\n[recipes.a]\narchitecture = "x"', "[recipes.a]: object missing required field dataset"),
        (
            'schema = 1\n[recipes.a]\narchitecture = "x"\ndataset = "y"\nseed = "1"',
            "[recipes.a] seed: expected int, got str",
        ),
        (RECIPE.replace("epochs", "epoch"), "[recipes.stdlib-lstm] train"),
        (RECIPE.replace("epochs", "epoch"), "did you mean 'epochs'?"),
        (RECIPE.replace("7", "0"), "epochs: expected int >= 1"),
        (WEIGHTS.replace("aaaa", "AAAA"), "[weights.mine] sha256: expected str matching regex"),
        ('schema = 1\n[plugins]\ndisable = 0', "[plugins] has no option 'disable'; did you mean 'disabled'"),
        ('schema = 1\n[plugins]\nlocal = "a.py"', "[plugins] local: expected array, got str"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_and_key(write: Write, text: str, told: str) -> None:
    path = write(text)
    with pytest.raises(CatalogError) as caught:
        Catalog.load()
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


def test_a_file_that_is_no_text_is_refused(write: Write) -> None:
    write("").write_bytes(b"schema = 1 # \xff")
    with pytest.raises(CatalogError, match="is not valid TOML"):
        Catalog.load()


def test_a_named_file_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_REGISTRY", "/nowhere/registry.toml")
    with pytest.raises(CatalogError, match=r"\$ZOO_REGISTRY names /nowhere/registry\.toml, and there is no"):
        Catalog.load()


def test_an_unknown_recipe_is_answered_with_the_nearest(nowhere: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        Catalog.load().recipe("nietsche-lstm")
    assert str(caught.value) == "no recipe 'nietsche-lstm'; did you mean 'nietzsche-lstm'?"
    assert "zoo list recipe" in (caught.value.hint or "")
