"""Which data a model is measured on: a card names no path; the user, or a run of this account, does."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import zoo
from tests.trainings import train
from zoo.api.model import Model
from zoo.config.recipe import Recipe
from zoo.data.opening import decidable, open_fed
from zoo.errors import DataError, OptionError, RunError
from zoo.files import private_store
from zoo.files.cards import Card, DatasetCard, read_card
from zoo.interfaces import make_task
from zoo.models.module_runner import ModuleRunner
from zoo.registry.registry import Registry

TEXT = "To be, or not to be: that is the question.\n" * 60
SMALL: dict[str, Any] = {
    "model": {"hidden_size": 8, "num_layers": 1},
    "train": {"epochs": 1, "batch_size": 4, "bptt": 8},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run on a text, and on a second one for validation."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "a.txt").write_text(TEXT, encoding="utf-8")
    (folder / "b.txt").write_text(TEXT[:400], encoding="latin-1")
    data = {
        "paths": str(folder / "a.txt"),
        "val": str(folder / "b.txt"),
        "encoding": "latin-1",
        "lower": True,
    }
    recipe = Recipe(architecture="charrnn/rnn", dataset="text/files", data=data, **SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_STATE", str(folder / "state"))
        train(recipe, Registry.discover(), directory=folder / "run")
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of what the run and the account that trained it left behind."""
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "state", tmp_path / "state")
    monkeypatch.setenv("ZOO_STATE", str(tmp_path / "state"))
    return tmp_path


def load(path: Path) -> Model:
    return zoo.load(path, device="cpu", progress=False)


def count(model: Model, **more: Any) -> int:
    return model.evaluate(progress=False, **more)["count"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("text/files", {"paths": "/etc/passwd"}),
        ("text/files", {"paths": ["/dev/zero"]}),
        ("text/files", {"val": "/etc/passwd"}),
        ("text/files", {"glob": "../**"}),
        ("text/files", {"encoding": "latin-1"}),
        ("images/folder", {"root": "~/images"}),
        ("images/cifar10", {"root": "/"}),
        ("text/nietzsche", {"root": ""}),
    ],
)
def test_an_option_that_could_name_a_path_is_refused_on_a_card(
    registry: Registry, card: Callable[..., Card], name: str, options: dict[str, Any]
) -> None:
    task = registry.dataset(name).spec.task
    hostile = card(task=task, dataset=DatasetCard(name=name, options=options, fingerprint=""))
    (option,) = options
    with pytest.raises(OptionError, match=f"sets {option}='.*', which only the user may set") as caught:
        open_fed(hostile, make_task(registry, task), registry)
    assert caught.value.hint == f"pass it explicitly: --data {option}=..."


def test_what_the_user_says_is_opened(registry: Registry, trained: Path) -> None:
    card = read_card(trained / "run/model.safetensors")
    card = structs.replace(
        card, dataset=structs.replace(card.dataset, options={"paths": "/etc/passwd", "lower": True})
    )
    task = make_task(registry, card.task)
    with pytest.warns(zoo.ZooWarning, match="not the text/files data"):
        _, data = open_fed(card, task, registry, data={"paths": str(trained / "a.txt")})
    assert data.preprocess["lower"]


PARTS = {"fold", "folds", "train_share"}
READING = {"tokens", "lower", "newline_eos", "backwards", "min_freq", "train_size", "splits", "vocabulary"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("images/cifar10", {"train_size", "val_size"}),
        ("images/cifar100", {"train_size", "val_size", "labels"}),
        ("images/fashion-mnist", {"train_size", "val_size", "size", "channels"}),
        (
            "images/folder",
            {
                "size",
                "channels",
                "train_size",
                "val_share",
                "test_share",
                "split_seed",
                "cache",
                "classes",
                *PARTS,
            },
        ),
        ("images/mnist", {"train_size", "val_size", "size", "channels"}),
        ("images/shapes", {"size", "objects", "clutter", "train_size", "val_size", "test_size", "seed"}),
        ("text/stdlib", READING | PARTS),
        ("text/files", READING | PARTS),
    ],
)
def test_a_card_may_decide_switches_choices_and_bounded_numbers(
    registry: Registry, name: str, options: set[str]
) -> None:
    assert decidable(registry.dataset(name)) == options


def test_a_card_does_not_hold_what_it_may_not_decide(trained: Path) -> None:
    card = read_card(trained / "run/model.safetensors")
    assert card.dataset.options == {"lower": True}
    assert str(trained) not in card.to_json()


@pytest.mark.parametrize("weights", ["", "model.safetensors", "best.safetensors"])
def test_the_data_of_ones_own_run_is_found(folder: Path, weights: str) -> None:
    shutil.move(folder / "run", folder / "elsewhere")
    model = load(folder / "elsewhere" / weights)
    assert count(model) == count(model, data={"lower": True}) == 399  # of val, since there is no test
    assert model.analyze("surprisal", progress=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: shutil.rmtree(folder / "state"),
        lambda folder: os.truncate(folder / "run/config.toml", 20),
        lambda folder: (folder / "run/config.toml").unlink(),
    ],
    ids=["of another account", "changed", "gone"],
)
def test_the_data_of_any_other_run_is_asked_for(folder: Path, change: Callable[[Path], object]) -> None:
    change(folder)
    with pytest.raises(OptionError, match="text/files requires paths") as caught:
        count(load(folder / "run"))
    assert caught.value.hint == "add --data paths=..."


def test_a_config_of_other_data_says_nothing_of_a_file_beside_it(folder: Path, trained: Path) -> None:
    model = load(folder / "run")
    runner = ModuleRunner(model.module)
    assert not Model(runner, model.card, path=model.path, registry=Registry.discover()).own
    config = folder / "run/config.toml"
    content = config.read_text(encoding="utf-8").replace('dataset = "text/files"', 'dataset = "text/stdlib"')
    config.write_text(content, encoding="utf-8")
    private_store.remember("runs", hashlib.sha256(config.read_bytes()).hexdigest())
    assert load(folder / "run").own == {}


def test_a_pipe_in_place_of_a_config_is_not_read(folder: Path) -> None:
    (folder / "run/config.toml").unlink()
    os.mkfifo(folder / "run/config.toml")
    assert load(folder / "run").own == {}


def test_another_user_cannot_vouch_for_a_config(folder: Path) -> None:
    for file in (folder / "state/runs").iterdir():
        file.chmod(0o666)
    assert load(folder / "run").own == {}


def test_names_that_are_not_utf_8_are_refused_before_the_training(
    registry: Registry, tmp_path: Path, trained: Path
) -> None:
    from PIL import Image

    for name in (b"cat", b"d\xf6g"):
        place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/images/" + name))
        place.mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), (number, 0, len(name))).save(place / f"{number}.png")
    data = {"root": str(tmp_path / "images"), "size": 8}
    small: dict[str, Any] = {"model": {"widths": [4, 8]}, "train": {"epochs": 1}}
    recipe = Recipe(architecture="convnet/resnet-lite", dataset="images/folder", data=data, **small)
    with pytest.raises(DataError, match=r"'d\\udcf6g' is not valid UTF-8"):
        train(recipe, registry, directory=tmp_path / "run")
    text = tmp_path / "\udcff.txt"
    shutil.copy(trained / "a.txt", text)
    recipe = Recipe(architecture="charrnn/rnn", dataset="text/files", data={"paths": str(text)}, **SMALL)
    with pytest.raises(DataError, match=r"\\udcff.txt' is not valid UTF-8"):
        train(recipe, registry, directory=tmp_path / "run")
    recipe = replace(recipe, data={"paths": str(trained / "a.txt")})
    with pytest.raises(RunError, match=r"run-\\udcff' cannot be used .* its name is not valid UTF-8"):
        train(recipe, registry, directory=tmp_path / "run-\udcff")
    assert not (tmp_path / "run").exists()
