"""What a card says of the training: where it ran, on what, and the commit of the code."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.trainings import train
from zoo.config.recipe import Recipe
from zoo.files.cards import read_card
from zoo.registry.registry import Registry
from zoo.runs.environment import environment_of

_IDENTITY = "-c", "user.name=a", "-c", "user.email=a@example.org"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *_IDENTITY, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _net(folder: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """Return a model whose class is in a file of a folder."""
    name = f"net_in_{folder.name}"
    folder.joinpath(f"{name}.py").write_text("from torch import nn\nclass Net(nn.Module): pass\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name).Net()


def test_a_card_has_the_environment_of_the_training(tmp_path: Path) -> None:
    sizes = {"train_size": 16, "val_size": 8, "test_size": 8, "size": 16}
    recipe = Recipe(
        architecture="mlp",
        dataset="shapes",
        data=sizes,
        model={"widths": [4]},
        train={"epochs": 1},
        threads=1,
    )
    result = train(recipe, Registry.discover(), directory=tmp_path / "run")
    found = read_card(Path(result.weights)).environment
    assert (found.threads, found.device) == (1, "cpu")
    assert found.processor
    assert len(found.date) == len("2026-01-31")
    assert found.seconds == pytest.approx(result.seconds, abs=0.002)


def test_the_commit_is_that_of_the_checkout_with_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _git(tmp_path, "init", "--quiet", "clean")
    model = _net(tmp_path / "clean", monkeypatch)
    _git(tmp_path / "clean", "add", ".")
    _git(tmp_path / "clean", "commit", "--quiet", "--message", "a net")
    found = environment_of(model, device="cpu", seconds=1.23456)
    assert (found.commit, found.dirty) == (_git(tmp_path / "clean", "rev-parse", "HEAD"), False)
    assert (found.threads, found.seconds) == (torch.get_num_threads(), 1.235)


def test_uncommitted_changes_make_a_checkout_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git(tmp_path, "init", "--quiet", "dirty")
    _git(tmp_path / "dirty", "commit", "--quiet", "--allow-empty", "--message", "nothing")
    model = _net(tmp_path / "dirty", monkeypatch)
    assert environment_of(model, device="cpu", seconds=0).dirty


@pytest.mark.parametrize("folder", ["nowhere", "site-packages"])
def test_code_that_is_in_no_checkout_has_no_commit(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if folder == "site-packages":  # of an environment inside a checkout
        _git(tmp_path, "init", "--quiet")
        _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "nothing")
    (tmp_path / folder).mkdir()
    found = environment_of(_net(tmp_path / folder, monkeypatch), device="cpu", seconds=0)
    assert (found.commit, found.dirty) == ("", False)
