"""The options with which each recipe, and each of some commands, trains: no default changes by accident.

After a change that is meant to change an option, write the file again, and read the difference. The options
of a recipe whose data are not in $ZOO_DATA stay as they are::

    ZOO_DATA=... ZOO_OFFLINE=1 python -m tests.unit.runs.test_configurations
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import shell
from zoo import Registry
from zoo.errors import ZooError
from zoo.runs import lifecycle
from zoo.runs.directory import RunDirectory
from zoo.training.host import Host

FILE = Path(__file__).with_suffix(".json")
# The options of mnist-convnet-bn follow from the same rules as those of fashion-mnist-convnet-bn
RECIPES = sorted({*Registry.discover().recipes} - {"mnist-convnet-bn"})
SHAPES = ("shapes", "--data", "train_size=256", "--data", "val_size=64", "--data", "test_size=64")
COMMANDS = {
    "defaults for images": ("convnet-bn", *SHAPES),
    "options of one's own": ("resnet20", *SHAPES, "--lr", "0.03", "--epochs", "5", "--batch-size", "48"),
    "few images": ("convnet-bn", "folder", "--data", "root=photos"),
    "several labels an image": ("convnet-bn", "scenes", *SHAPES[1:]),
    "another optimizer": ("resnet-lite", *SHAPES, "--optimizer", "adamw"),
    "an optimizer with options": (
        *("lstm", "files", "--data", "paths=book.txt", "--optimizer", "lion"),
        *("--optimizer-option", "beta2=0.98"),
    ),
    "another schedule": ("mlp", *SHAPES, "--schedule", "constant", "--warmup-epochs", "1"),
    "a short text": ("gru", "files", "--data", "paths=book.txt"),
    "words": ("awd-lstm", "files", "--data", "paths=book.txt", "--data", "tokens=word"),
    "fine-tuning": ("resnet20", "folder", "--data", "root=photos", "--from", "shapes-resnet20"),
    "fine-tuning of the last layer": (
        *("resnet20", "folder", "--data", "root=photos", "--from", "shapes-resnet20"),
        *("--freeze", "conv,norm,stages"),
    ),
    "fine-tuning with another optimizer": (
        *("resnet20", *SHAPES, "--from", "shapes-resnet20", "--optimizer", "adamw", "--epochs", "3"),
    ),
    "fine-tuning on text": ("rnn", "files", "--data", "paths=book.txt", "--from", "nietzsche-rnn"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("configurations"))


def made(folder: Path) -> Path:
    """Make the data of the commands, and return its folder."""
    (folder / "book.txt").write_text("a quick brown fox jumps over the lazy dog.\n" * 400)
    for name, color in (("red", (200, 0, 0)), ("blue", (0, 0, 200)), ("gray", (90, 90, 90))):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(20):
            shade = tuple(min(255, each + number) for each in color)
            Image.new("RGB", (48, 40), shade).save(folder / "photos" / name / f"{number}.png")
    return folder


def options_of(folder: Path, *words: str, run: str = "run") -> dict[str, Any]:
    """Return the options with which `zoo train` begins, except those that the machine decides."""
    begun: list[dict[str, Any]] = []

    def stop(*arguments: Any, host: Host, **options: Any) -> None:
        assert isinstance(host.store, RunDirectory)
        begun.append(asdict(host.store.identity.recipe))
        raise ZooError("everything is set up")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "fit", stop)
        done = shell.zoo("train", *words, "--run", run, cwd=folder)
    assert "everything is set up" in done.stderr, done.stderr
    found = json.loads(json.dumps(begun[0]))
    del found["threads"], found["train"]["precision"]
    found["data"] = {name: value for name, value in found["data"].items() if name not in ("root", "paths")}
    return found


def options_of_recipe(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the options with which a recipe trains, or None if its data are not there."""
    try:
        return options_of(folder, name, run=name)
    except AssertionError as error:
        if "ZOO_OFFLINE disables downloads" in str(error):
            return None
        raise


def recorded(name: str) -> dict[str, Any]:
    return json.loads(FILE.read_text())[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_with_the_recorded_options(name: str, folder: Path) -> None:
    found = options_of_recipe(folder, name)
    if found is None:
        pytest.skip("its data is not in $ZOO_DATA")
    assert found == recorded(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_trains_with_the_recorded_options(name: str, folder: Path) -> None:
    assert options_of(folder, *COMMANDS[name], run=name) == recorded(name)


def test_a_resumed_run_keeps_its_options_and_takes_new_ones(folder: Path) -> None:
    assert resumed(folder) == recorded("resumed")


def resumed(folder: Path) -> dict[str, Any]:
    words = ("mlp", *SHAPES, "--weight-decay", "0.01")
    done = shell.zoo("train", *words, "--epochs", "2", "--stop-after", "1", "--run", "stopped", cwd=folder)
    assert done.returncode == 0, done.stderr
    changed = ("--epochs", "4", "--lr", "0.02", "--resume", "--accept-changes")
    return options_of(folder, *words, *changed, run="stopped")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        data = made(Path(place))
        found = {name: options_of(data, *words, run=name) for name, words in COMMANDS.items()}
        found |= {name: options_of_recipe(data, name) or recorded(name) for name in RECIPES}
        found["resumed"] = resumed(data)
    FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
