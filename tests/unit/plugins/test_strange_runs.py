"""Folders of seeds and sweeps with runs that somebody exchanged, linked, damaged or edited."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from tests.shell import zoo as shell
from zoo.plugin import owned

WORDS = (
    *("mlp", "shapes", "--epochs", "2", "--batch-size", "20", "--model", "widths=4"),
    *("--data", "size=16", "--data", "val_size=60", "--data", "test_size=20"),
)
MOVE = "     move it, or choose a different folder with --run"
MOVE_ONE = "     move one of them, or choose a different folder with --run"
AGAIN = "     delete seeds/seed-0 to train it again"
METRICS = "seed-0/metrics.jsonl"
RESTORED = "; it is restored from the checkpoint"


def seeds(*more: str):
    """Train two seeds in the folder `seeds`, and return what the command prints."""
    return shell("train", *WORDS, "--data", "train_size=120", "--seeds", "2", "--run", "seeds", *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished folder of seeds, and with runs of other options."""
    folder = tmp_path_factory.mktemp("strange")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "expected.txt").write_text(seeds("--quiet").stdout)
        one = ("train", *WORDS, "--threads", "1", "--quiet")
        others = {
            "same": ("--data", "train_size=120"),
            "wider": ("--data", "train_size=120", "--model", "dropout=0.5"),
            "faster": ("--data", "train_size=120", "--lr", "0.2"),
            "smaller": ("--data", "train_size=100"),
        }
        for name, more in others.items():
            assert shell(*one, *more, "--run", name).returncode == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that folder, which is the current folder."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "copy", dirs_exist_ok=True))
    return Path("seeds")


def exchanged(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        shutil.rmtree(folder / "seed-0")
        shutil.copytree(name, folder / "seed-0")

    return change


def replaced(name: str, before: str, after: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "seed-0" / name
        path.write_text(path.read_text().replace(before, after))

    return change


def linked(name: str, target: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(target)

    return change


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def with_a_better_epoch(folder: Path) -> None:
    path = folder / METRICS
    row = json.loads(path.read_text().splitlines()[-1])
    row |= {"epoch": 3, "val": row["val"] | {"accuracy": 1.0, "loss": 0.0}}
    path.write_text(path.read_text() + json.dumps(row) + "\n")


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (exchanged("wider"), ["zoo: seeds/seed-0 was trained with model.dropout=0.5, not 0", MOVE]),
        (exchanged("smaller"), ["zoo: seeds/seed-0 was trained with data.train_size=100, not 120", MOVE]),
        (
            exchanged("faster"),
            ["zoo: seeds/seed-1 was trained with lr=0.0156, not 0.2 as seeds/seed-0", MOVE_ONE],
        ),
        (exchanged("seeds/seed-1"), ["zoo: seeds/seed-0 was trained with seed=1, not 0", MOVE]),
        (linked("seed-1", "seed-0"), ["zoo: seeds/seed-1 is a link, not a run directory", MOVE]),
        (
            lambda folder: shutil.copy(folder / "seed-1/best.safetensors", folder / "seed-0"),
            ["zoo: seeds/seed-0 was trained with seed=1, not 0", MOVE],
        ),
        (
            lambda folder: flipped(folder / "seed-0" / "best.safetensors"),
            [
                "zoo: seeds/seed-0/best.safetensors is damaged: "
                "the sha256 of its tensors does not match its card",
                AGAIN,
            ],
        ),
        (
            lambda folder: [zoo.prune_runs(folder, keep="best"), with_a_better_epoch(folder)],
            ["zoo: seeds/seed-0/metrics.jsonl does not match best.safetensors", AGAIN],
        ),
        (
            lambda folder: [zoo.prune_runs(folder, keep="best"), os.truncate(folder / METRICS, 0)],
            ["zoo: seeds/seed-0/metrics.jsonl does not match best.safetensors", AGAIN],
        ),
    ],
)
def test_a_strange_run_is_refused(here: Path, change: Callable[[Path], object], lines: list[str]) -> None:
    change(here)
    done = seeds("--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == lines


@pytest.mark.parametrize(
    ("change", "notice"),
    [
        (
            lambda folder: os.truncate(folder / "seed-0/model.safetensors", 9000),
            "model.safetensors is damaged: its size does not match its header",
        ),
        (
            linked("seed-0/model.safetensors", "/dev/zero"),
            "model.safetensors cannot be read: it is a pipe or a device, not a regular file",
        ),
        (with_a_better_epoch, "metrics.jsonl does not match best.safetensors"),
        (replaced("metrics.jsonl", '"accuracy"', '"acc"'), "metrics.jsonl does not match best.safetensors"),
        (replaced("metrics.jsonl", "{", "garbage"), ""),
        (replaced("config.toml", "seed = 0", "seed = 5"), "config.toml was edited: it has seed=5, not 0"),
        (replaced("config.toml", "[", "[["), ""),
    ],
)
def test_damaged_files_are_restored_from_the_checkpoint(
    here: Path, change: Callable[[Path], object], notice: str
) -> None:
    change(here)
    done = seeds()
    notices = [f"zoo: seeds/seed-0/{notice}{RESTORED}"] if notice else []
    assert [line for line in done.stderr.splitlines() if line.startswith("zoo:")] == notices
    assert (done.returncode, done.stdout) == (0, Path("expected.txt").read_text())
    assert "restored" not in seeds().stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: None,
        exchanged("same"),
        lambda folder: zoo.prune_runs(folder, keep="best"),
        lambda folder: zoo.prune_runs(folder, keep="last"),
        lambda folder: (folder / "sweep.json").unlink(),
        lambda folder: (folder / "notes.txt").write_text("mine"),
    ],
)
def test_runs_with_the_same_options_count(here: Path, change: Callable[[Path], object]) -> None:
    change(here)
    before = (here / "seed-0" / "best.safetensors", here / "seed-0" / "model.safetensors")
    written = [file.stat().st_mtime_ns for file in before if file.exists()]
    done = seeds("--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, Path("expected.txt").read_text(), "")
    assert [file.stat().st_mtime_ns for file in before if file.exists()] == written


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


def test_a_strange_trial_is_refused_or_restored(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = ("sweep", *WORDS, "--data", "train_size=120", "--method", "halving", "--run", "sweep", "--json")
    line += ("--over", "lr=0.02,0.4", "--over", "model.dropout=0,0.5")
    expected = json.loads(shell(*line).stdout)
    (stopped, *_) = (Path(row["run"]) for row in expected["trials"] if row["status"] == "stopped")
    metrics = stopped / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"val":{"accuracy":0', '"val":{"accuracy":1'))
    done = shell(*line)
    assert f"zoo: {metrics} does not match best.safetensors{RESTORED}" in done.stderr.splitlines()
    assert json.loads(done.stdout) == expected
    shutil.rmtree("sweep/trial-4")
    shutil.copytree("sweep/trial-2", "sweep/trial-4")
    refused = json.loads(shell(*line).stdout)
    assert refused["error"] == "sweep/trial-4 was trained with lr=0.02, not 0.4"
