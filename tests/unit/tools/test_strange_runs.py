"""Folders of seeds and sweeps with runs that somebody exchanged, linked, damaged or edited."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shell import zoo as shell
from zoo.runs.lock import owned

WORDS = (
    *("mlp", "shapes", "--epochs", "2", "--batch-size", "20", "--model", "widths=4"),
    *("--data", "size=16", "--data", "val_size=60", "--data", "test_size=20"),
)
MOVE = "move it, or choose a different folder with --run"
MOVE_ONE = "move one of them, or choose a different folder with --run"
AGAIN = "delete seeds/seed-0 to train it again"
BEST, LAST, LOG = "best.safetensors", "model.safetensors", "metrics.jsonl"
Change = Callable[[Path], object]


def seeds(*more: str):
    """Train two seeds in the folder `seeds`, and return what the command prints."""
    return shell("train", *WORDS, "--data", "train_size=120", "--seeds", "2", "--run", "seeds", *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished folder of seeds, and with runs of other options."""
    folder = tmp_path_factory.mktemp("strange")
    others = {
        "same": ("--data", "train_size=120"),
        "wider": ("--data", "train_size=120", "--model", "dropout=0.5"),
        "faster": ("--data", "train_size=120", "--lr", "0.2"),
        "smaller": ("--data", "train_size=100"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "expected.txt").write_text(seeds("--quiet").stdout)
        for name, more in others.items():
            done = shell("train", *WORDS, *more, "--threads", "1", "--quiet", "--run", name)
            assert done.returncode == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the folder of seeds, in the current folder."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "copy", dirs_exist_ok=True))
    return Path("seeds")


def exchanged(name: str) -> Change:
    """Put a run in the place of the first seed."""
    return lambda folder: [shutil.rmtree(folder / "seed-0"), shutil.copytree(name, folder / "seed-0")]


def replaced(name: str, before: str, after: str) -> Change:
    """Replace words in a file of the first seed."""

    def change(folder: Path) -> None:
        path = folder / "seed-0" / name
        path.write_text(path.read_text().replace(before, after))

    return change


def linked(name: str, target: str) -> Change:
    """Put a link in the place of a file or a run."""

    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(target)

    return change


def truncated(name: str, size: int) -> Change:
    """Change the size of a file."""
    return lambda folder: os.truncate(folder / name, size)


def flipped(folder: Path) -> None:
    """Flip a bit of the best weights."""
    path = folder / "seed-0" / BEST
    content = path.read_bytes()
    path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])


def with_a_better_epoch(folder: Path) -> None:
    """Log an epoch that was never trained."""
    path = folder / "seed-0" / LOG
    row = json.loads(path.read_text().splitlines()[-1])
    row |= {"epoch": 3, "val": row["val"] | {"accuracy": 1.0, "loss": 0.0}}
    path.write_text(path.read_text() + json.dumps(row) + "\n")


def pruned(keep: str, then: Change = lambda folder: None) -> Change:
    """Delete the checkpoints, and make another change."""
    return lambda folder: [shell("runs", "prune", folder, "--keep", keep), then(folder)]


@pytest.mark.parametrize(
    ("change", "error", "hint"),
    [
        (exchanged("wider"), "seed-0 was trained with model.dropout=0.5, not 0", MOVE),
        (exchanged("smaller"), "seed-0 was trained with data.train_size=100, not 120", MOVE),
        (exchanged("faster"), "seed-1 was trained with lr=0.0156, not 0.2 as seeds/seed-0", MOVE_ONE),
        (exchanged("seeds/seed-1"), "seed-0 was trained with seed=1, not 0", MOVE),
        (linked("seed-1", "seed-0"), "seed-1 is a link, not a run directory", MOVE),
        (linked(f"seed-0/{BEST}", f"../seed-1/{BEST}"), "seed-0 was trained with seed=1, not 0", MOVE),
        (
            flipped,
            f"seed-0/{BEST} is damaged: the sha256 of its tensors does not match its card",
            AGAIN,
        ),
        (pruned("best", with_a_better_epoch), f"seed-0/{LOG} does not match {BEST}", AGAIN),
        (pruned("best", truncated(f"seed-0/{LOG}", 0)), f"seed-0/{LOG} does not match {BEST}", AGAIN),
    ],
)
def test_a_strange_run_is_refused(here: Path, change: Change, error: str, hint: str) -> None:
    change(here)
    done = seeds("--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [f"zoo: seeds/{error}", f"     {hint}"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (truncated(f"seed-0/{LAST}", 9000), f"{LAST} is damaged: its size does not match its header"),
        (
            linked(f"seed-0/{LAST}", "/dev/zero"),
            f"{LAST} cannot be read: it is a pipe or a device, not a regular file",
        ),
        (with_a_better_epoch, f"{LOG} does not match {BEST}"),
        (replaced(LOG, '"accuracy"', '"acc"'), f"{LOG} does not match {BEST}"),
        (replaced(LOG, "{", "garbage"), ""),
        (replaced("config.toml", "seed = 0", "seed = 5"), "config.toml was edited: it has seed=5, not 0"),
        (replaced("config.toml", "[", "[["), ""),
    ],
)
def test_a_damaged_file_is_restored_from_the_checkpoint(here: Path, change: Change, problem: str) -> None:
    change(here)
    done = seeds()
    notices = [f"zoo: seeds/seed-0/{problem}; the run is restored from its checkpoint"] if problem else []
    assert [line for line in done.stderr.splitlines() if line.startswith("zoo:")] == notices
    assert (done.returncode, done.stdout) == (0, Path("expected.txt").read_text())
    assert "restored" not in seeds().stderr


@pytest.mark.parametrize(
    "change",
    [
        *(exchanged("same"), pruned("best"), pruned("last")),
        lambda folder: (folder / "sweep.json").unlink(),
        lambda folder: (folder / "notes.txt").write_text("mine"),
    ],
)
def test_a_run_with_the_same_options_counts(here: Path, change: Change) -> None:
    change(here)
    before = {file: file.stat().st_mtime_ns for file in here.glob("*/*.safetensors")}
    done = seeds("--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, Path("expected.txt").read_text(), "")
    assert {file: file.stat().st_mtime_ns for file in here.glob("*/*.safetensors")} == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: path.write_text("{"), "Input data was truncated"),
        (lambda path: path.write_text("[]"), "Expected `object`, got `array`"),
        (lambda path: path.write_text("null"), "Expected `object`, got `null`"),
        (lambda path: path.write_text('{"points": 5}'), "Expected `array`, got `int` - at `$.points`"),
        (lambda path: os.truncate(path, 1 << 23), "it has more than 4,194,304 bytes"),
        (linked("", "/dev/zero"), "it is a pipe or a device, not a regular file"),
        (lambda path: [path.unlink(), os.mkfifo(path)], "it is a pipe or a device, not a regular file"),
    ],
)
def test_a_strange_definition_is_refused(here: Path, change: Change, problem: str) -> None:
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
    log = stopped / LOG
    log.write_text(log.read_text().replace('"val":{"accuracy":0', '"val":{"accuracy":1'))
    done = shell(*line)
    assert (
        f"zoo: {log} does not match {BEST}; the run is restored from its checkpoint"
        in done.stderr.splitlines()
    )
    assert json.loads(done.stdout) == expected
    shutil.rmtree("sweep/trial-4")
    shutil.copytree("sweep/trial-2", "sweep/trial-4")
    refused = json.loads(shell(*line).stdout)
    assert refused["error"] == "sweep/trial-4 was trained with lr=0.02, not 0.4"
