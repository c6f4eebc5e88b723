"""`--architecture`: a recipe with another network; and what is said of a network without training options."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.shell import TEXT, zoo

REGISTRY = """
schema = 1
[recipes.fox]
summary = "an LSTM with two layers"
architecture = "charrnn/lstm"
dataset = "text/files"
data = { paths = "fox.txt" }
model = { hidden_size = 6, num_layers = 2 }
train = { epochs = 2, batch_size = 8, optimizer = "adam", lr = 0.02, bptt = 4, schedule = "constant" }
seed = 5
"""

PLUGIN = '''
from torch import nn
from zoo import ArchitectureSpec, hookimpl

class Mine(nn.Module):
    """Embedding, a GRU, and a linear layer."""

    def __init__(self, *, vocab_size: int, hidden_size: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 4)
        self.rnn = nn.GRU(4, hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens, state=None):
        x, state = self.rnn(self.embedding(tokens), state)
        return self.out(x), state

@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name="mine", target="mine:Mine", task="language-modeling", summary="A GRU")]
'''


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a recipe for it, and a plugin with a network."""
    folder = tmp_path_factory.mktemp("desk")
    files = {"fox.txt": TEXT, "registry.toml": REGISTRY, "mine.py": PLUGIN}
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def recorded(run: Path) -> tuple[str, dict[str, Any]]:
    """Return the name and the recipe in a run's config.toml."""
    ((name, recipe),) = tomllib.loads((run / "config.toml").read_text())["recipes"].items()
    return name, recipe


OTHER = ("fox", "--architecture", "mine", "--plugin", "mine.py")


def test_a_recipe_trains_another_network_and_records_what_it_trained(desk: Path) -> None:
    done = zoo("train", *OTHER, "--stop-after", "1", cwd=desk)
    assert done.returncode == 0, done.stderr
    dropped = "omitted options of the recipe that mine/mine does not have: num_layers=2"
    assert [line for line in done.stderr.splitlines() if "omitted" in line] == [f"zoo: {dropped}"]
    assert "sets no training options" not in done.stderr
    name, recipe = recorded(desk / "runs/fox-mine")
    assert (name, recipe["architecture"], recipe["summary"]) == ("fox-mine", "mine/mine", "")
    assert (recipe["model"], recipe["seed"]) == ({"hidden_size": 6}, 5)
    assert {"optimizer": "adam", "lr": 0.02, "bptt": 4}.items() <= recipe["train"].items()
    assert zoo("resume", "runs/fox-mine", "--plugin", "mine.py", cwd=desk).returncode == 0
    again = zoo("reproduce", "runs/fox-mine", "--plugin", "mine.py", "--data", "paths=fox.txt", cwd=desk)
    assert (again.returncode, "bit-equal" in again.stdout) == (0, True), again.stdout + again.stderr


def test_its_options_may_be_set_and_lr_find_and_sweeps_take_it_too(desk: Path) -> None:
    found = zoo("lr-find", *OTHER, "--steps", "30", "--model", "hidden_size=4", cwd=desk)
    assert found.returncode == 0, found.stderr
    assert "zoo train fox --architecture mine --model hidden_size=4 " in found.stdout
    swept = zoo("sweep", *OTHER, "--over", "lr=0.01,0.02", "--json", cwd=desk)
    assert swept.returncode == 0, swept.stderr
    trials = [recorded(desk / trial["run"])[1] for trial in json.loads(swept.stdout)["trials"]]
    assert [trial["architecture"] for trial in trials] == ["mine/mine"] * 2


def test_a_network_without_training_options_names_the_recipes_that_set_some(desk: Path) -> None:
    words = ("files", "--data", "paths=fox.txt", "--epochs", "1", "--batch-size", "8", "--plugin", "mine.py")
    told = [line for line in zoo("train", "mine", *words, cwd=desk).stderr.splitlines() if "general" in line]
    assert told == [
        "zoo: mine/mine sets no training options, so zoo's general defaults are used; "
        "`zoo train RECIPE --architecture mine/mine` uses those of a recipe: fox"
    ]
    assert "general" not in zoo("train", "gru", *words, cwd=desk).stderr


def test_it_replaces_the_architecture_of_a_recipe_only(desk: Path) -> None:
    done = zoo("train", "gru", "files", "--architecture", "lstm", cwd=desk)
    assert done.returncode == 2
    assert "--architecture=lstm replaces the architecture of a recipe" in done.stderr
    done = zoo("train", "fox", "--architecture", "resnet20", cwd=desk)
    assert "convnet/resnet20 is for classification, but text/files is for language-modeling" in done.stderr
