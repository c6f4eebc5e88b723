"""registry.toml: its layers, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.errors import CatalogError, UnknownName
from zoo.registry.catalog import Catalog, shipped_path, user_path
from zoo.registry.registry import Registry

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
    assert catalog.local == ()


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
    path = write('schema = 1\n[plugins]\nlocal = ["my_plugin.py"]\ndisabled = ["acme"]')
    catalog = Catalog.load()
    assert [file.path for file in catalog.local] == [(path.parent / "my_plugin.py").resolve()]
    assert catalog.disabled == ("acme",)
    write(WEIGHTS)
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
        (RECIPE.replace("epochs", "epoch"), "[recipes.stdlib-lstm] the training configuration has no option"),
        (RECIPE.replace("epochs", "epoch"), "did you mean 'epochs'?"),
        (RECIPE.replace("7", "0"), "[recipes.stdlib-lstm] epochs must be at least 1 (got 0)"),
        (WEIGHTS.replace("aaaa", "AAAA"), "[weights.mine] sha256 must be 64 hexadecimal digits (got 'AAAA"),
        ('schema = 1\n[plugins]\ndisable = 0', "[plugins] has no option 'disable'; did you mean 'disabled'"),
        ('schema = 1\n[plugins]\nlocal = 3', "[plugins] local must be a list, each item a string (got 3)"),
    ],
)  # fmt: skip
def test_an_error_names_the_file_and_the_key(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(CatalogError) as caught:
        Catalog.load()
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_file_that_is_not_utf_8_is_refused(write: Write) -> None:
    write("").write_bytes(b"schema = 1 # \xff")
    with pytest.raises(CatalogError, match="is not valid TOML"):
        Catalog.load()


def test_a_named_file_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_REGISTRY", "/nowhere/registry.toml")
    with pytest.raises(
        CatalogError, match=r"\$ZOO_REGISTRY names /nowhere/registry\.toml, which does not exist"
    ):
        Catalog.load()


def test_an_unknown_recipe_is_answered_with_the_nearest(nowhere: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        Registry([], Catalog.load()).recipe("nietsche-lstm")
    assert str(caught.value) == "unknown recipe 'nietsche-lstm'; did you mean 'nietzsche-lstm'?"
    assert "`zoo list recipes` shows all" in (caught.value.hint or "")
