"""Folders of seeds and sweeps that somebody damaged, or that another command uses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shell import zoo as shell
from zoo.plugin import owned

WORDS = (
    *("mlp", "shapes", "--epochs", "2", "--batch-size", "20", "--model", "widths=4"),
    *("--data", "size=16", "--data", "val_size=60", "--data", "test_size=20"),
)


def seeds(*more: str):
    """Train two seeds in the folder `seeds`, and return what the command prints."""
    return shell("train", *WORDS, "--data", "train_size=120", "--seeds", "2", "--run", "seeds", *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished folder of seeds."""
    folder = tmp_path_factory.mktemp("strange")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "expected.txt").write_text(seeds("--quiet").stdout)
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that folder, which is the current folder."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "copy", dirs_exist_ok=True))
    return Path("seeds")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: path.write_text("{"), "Input data was truncated"),
        (lambda path: path.write_text("[]"), "Expected `object`, got `array`"),
        (lambda path: path.write_text("null"), "Expected `object`, got `null`"),
        (lambda path: path.write_text("[" * 100_000), "Expected `object`, got `array`"),
        (lambda path: os.truncate(path, 1 << 33), "it has more than 4,194,304 bytes"),
        (
            lambda path: [path.unlink(), path.symlink_to("/dev/zero")],
            "it is a pipe or a device, not a regular file",
        ),
        (lambda path: [path.unlink(), os.mkfifo(path)], "it is a pipe or a device, not a regular file"),
    ],
)
def test_a_strange_definition_is_refused(here: Path, change: Callable[[Path], object], problem: str) -> None:
    change(here / "sweep.json")
    done = seeds("--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"zoo: seeds/sweep.json cannot be read: {problem}",
        "     delete it and repeat the original command, or choose a different folder with --run",
    ]


def test_a_folder_that_another_command_trains_in_is_in_use(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds" / "seed-0").mkdir(parents=True)  # which has no config.toml yet
    (tmp_path / "seeds" / "sweep.json").touch()
    with owned(tmp_path / "seeds"):
        done = seeds("--quiet")
    assert done.returncode == 1
    assert done.stderr.startswith(f"zoo: seeds is in use by process {os.getpid()} on ")
