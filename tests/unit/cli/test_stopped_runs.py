"""What a run directory stands for: its best weights, and for a run that was stopped, what it has saved."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.shell import SMALL_LSTM, TEXT
from tests.shell import zoo as command
from zoo.console.progress import TrainingProgress
from zoo.console.reports import Progress


class Killed(Exception):
    """What ends a training at once: nothing is saved after it."""


def stop(folder: Path, number: signal.Signals, *words: str, once: Callable[[], bool]) -> None:
    """Run a command that trains, and stop it by a signal after the first batch at which `once` is true."""
    report = TrainingProgress.__call__

    def report_and_stop(self: TrainingProgress, progress: Progress) -> None:
        report(self, progress)
        if once():
            if number == signal.SIGKILL:
                raise Killed
            os.kill(os.getpid(), number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingProgress, "__call__", report_and_stop)
        done = command(*words, cwd=folder)
    assert done.returncode == (1 if number == signal.SIGKILL else 128 + number), done.stderr


def stopped(
    folder: Path, number: signal.Signals, *options: str, until: str = "checkpoint.safetensors"
) -> Path:
    """Train in a folder until a file is there, and stop that."""
    (folder / "fox.txt").write_text(TEXT, encoding="utf-8")
    words = ["train", "lstm", "files", "--data", "paths=fox.txt", *SMALL_LSTM, "--epochs", "10000", *options]
    stop(folder, number, *words, "--run", "runs/fox", once=(folder / "runs/fox" / until).exists)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was killed in its first epoch, after a save."""
    folder = tmp_path_factory.mktemp("killed")
    return stopped(folder, signal.SIGKILL, "--bptt", "1", "--save-every", "1")


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was interrupted in a later epoch than its first."""
    return stopped(tmp_path_factory.mktemp("interrupted"), signal.SIGINT, until="best.safetensors")


@pytest.fixture(scope="module")
def rising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run whose last epoch is not its best."""
    folder = tmp_path_factory.mktemp("rising")
    (folder / "fox.txt").write_text(TEXT, encoding="utf-8")
    words = ["train", "lstm", "files", "--data", "paths=fox.txt", *SMALL_LSTM]
    worse = ["--epochs", "4", "--lr", "0.9", "--schedule", "constant", "--run", "runs/fox"]
    done = command(*words, *worse, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")
    return folder


def document(*words: str | Path, cwd: Path) -> Any:
    done = command(*words, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs/fox/metrics.jsonl").read_text().splitlines()]


def best_of(folder: Path) -> int:
    losses = [row["val"]["loss"] for row in history(folder)]
    return losses.index(min(losses)) + 1


USES: dict[str, Sequence[str]] = {
    "eval": ["eval", "runs/fox"],
    "sample": ["sample", "runs/fox", "--max-new-tokens", "5"],
    "predict": ["predict", "runs/fox", "fox.txt"],
    "embed": ["embed", "runs/fox", "fox.txt"],
    "analyze": ["analyze", "surprisal", "runs/fox", "fox.txt"],
    "inspect": ["inspect", "runs/fox"],
    "train": ["train", "lstm", "files", "--data", "paths=fox.txt", "--epochs", "1", "--from", "runs/fox"],
}


# A finished run


def test_a_run_directory_means_its_best_weights_and_what_is_printed_says_so(rising: Path) -> None:
    best, rows = best_of(rising), history(rising)
    assert best < 4, "the last epoch must not be the best"
    lines = (rising / "printed.txt").read_text().splitlines()
    assert lines[0] == "weights  runs/fox/best.safetensors"
    assert lines[1].startswith(f"         epoch {best} of 4, the best by validation: val ")
    assert lines[2] == "last     runs/fox/model.safetensors"
    ours = document("eval", "runs/fox", "--split", "val", cwd=rising)
    assert ours["weights"] == "runs/fox/best.safetensors"
    assert ours["metrics"] == rows[best - 1]["val"]
    assert document("inspect", "runs/fox", cwd=rising)["progress"]["epochs"] == best


@pytest.mark.parametrize("words", [["runs/fox/model.safetensors"], ["runs/fox", "--last"]])
def test_the_last_weights_are_an_option_or_named_by_their_file(rising: Path, words: list[str]) -> None:
    last = document("eval", *words, "--split", "val", cwd=rising)
    assert last["metrics"] == history(rising)[-1]["val"]


def test_the_last_weights_are_those_of_a_run(rising: Path) -> None:
    assert document("inspect", "runs/fox", "--last", cwd=rising)["progress"]["epochs"] == 4
    assert zoo.load(rising / "runs/fox", last=True).card.progress["epochs"] == 4
    with pytest.raises(zoo.ZooError, match=r"^stdlib-lstm is not a run directory(?m:$)"):
        zoo.load("stdlib-lstm", last=True)


def test_without_validation_the_last_epoch_is_what_there_is(tmp_path: Path) -> None:
    few = ("--data", "train_size=64", "--data", "val_size=0", "--data", "test_size=16", "--epochs", "2")
    words = ("train", "resnet-lite", "shapes", "--model", "widths=[4, 8]", *few, "--run", "runs/x")
    done = command(*words, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "weights  runs/x/model.safetensors"
    assert lines[1].startswith("         epoch 2 of 2: test accuracy ")
    assert lines[2] == "curve    runs/x/curve.png"
    result = document(*words, "--resume", cwd=tmp_path)
    measured = document("eval", "runs/x", cwd=tmp_path)
    assert (result["weights"], measured["weights"]) == ("runs/x/model.safetensors",) * 2
    assert measured["metrics"] == result["metrics"]["test"]
    assert zoo.Run(tmp_path / "runs/x").model.path == tmp_path / "runs/x/model.safetensors"


# A run that was stopped


@pytest.mark.parametrize("words", USES.values(), ids=USES)
def test_a_run_that_was_killed_stands_for_its_checkpoint(killed: Path, words: Sequence[str]) -> None:
    done = command(*words, cwd=killed)
    assert done.returncode == 0, done.stderr
    step = document("inspect", "runs/fox", cwd=killed)["progress"]["steps"]
    assert step > 0
    told = (
        f"zoo: the run runs/fox is not finished: using the weights of its last save, epoch 1, step {step:,}"
    )
    assert told in done.stderr.splitlines()


def test_a_checkpoint_measures_as_the_weights_that_it_holds(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(killed)
    with pytest.warns(zoo.ZooWarning, match="is not finished: using the weights of its last save, epoch 1"):
        model = zoo.Run("runs/fox").model
    assert model.path == Path("runs/fox/checkpoint.safetensors")
    assert model.card.metrics == {}
    named = document("eval", "runs/fox/checkpoint.safetensors", cwd=killed)
    assert named["metrics"] == model.evaluate("test")["metrics"]


@pytest.mark.slow  # three seconds
def test_a_run_that_was_killed_is_exported(killed: Path) -> None:
    pytest.importorskip("onnx")
    done = command("export", "runs/fox", "--out", "fox.onnx", cwd=killed)
    assert done.returncode == 0, done.stderr
    assert "is not finished" in done.stderr
    assert command("sample", "fox.onnx", "--max-new-tokens", "5", cwd=killed).returncode == 0


@pytest.mark.parametrize("words", [USES["eval"], USES["train"]], ids=["eval", "train"])
def test_a_run_that_was_interrupted_stands_for_its_best_epoch(
    interrupted: Path, words: Sequence[str]
) -> None:
    done = command(*words, cwd=interrupted)
    assert done.returncode == 0, done.stderr
    epochs = document("inspect", "runs/fox", cwd=interrupted)["progress"]["epochs"]
    assert epochs == best_of(interrupted)
    told = f"zoo: the run runs/fox is not finished: using its best weights so far, from epoch {epochs}"
    assert told in done.stderr.splitlines()


def test_the_last_weights_of_a_run_that_was_stopped_are_those_of_its_checkpoint(interrupted: Path) -> None:
    run = zoo.Run(interrupted / "runs/fox")
    assert run.last.path == interrupted / "runs/fox/checkpoint.safetensors"
    assert run.last.card.progress["steps"] >= history(interrupted)[-1]["steps"]


def test_averaged_weights_are_those_that_a_checkpoint_stands_for(tmp_path: Path) -> None:
    averaged = ("--bptt", "1", "--save-every", "1", "--ema-decay", "0.999")
    folder = stopped(tmp_path, signal.SIGKILL, *averaged)
    finished = ["train", "lstm", "files", "--data", "paths=fox.txt", *SMALL_LSTM, "--bptt", "1"]
    finished += ["--ema-decay", "0.999", "--epochs", "1", "--run", "runs/fox", "--resume", "--accept-changes"]
    assert document("inspect", "runs/fox", cwd=folder)["training"]["ema_decay"] == 0.999
    with pytest.warns(zoo.ZooWarning, match="not finished"):
        held = zoo.Run(folder / "runs/fox").model.module.state_dict()
    from safetensors.torch import load_file

    stored = load_file(folder / "runs/fox/checkpoint.safetensors")
    assert all(bool((stored[f"average/{name}"] == value).all()) for name, value in held.items())
    assert command(*finished, cwd=folder).returncode == 0


def test_a_finished_run_that_goes_on_no_longer_stands_for_its_old_end(tmp_path: Path) -> None:
    few = ("--data", "train_size=64", "--data", "val_size=0", "--data", "test_size=16", "--run", "runs/x")
    words = ["train", "resnet-lite", "shapes", "--model", "widths=[4, 8]", *few]
    assert command(*words, "--epochs", "1", cwd=tmp_path).returncode == 0
    metrics = tmp_path / "runs/x/metrics.jsonl"
    more = ["--epochs", "10000", "--resume", "--accept-changes"]
    stop(tmp_path, signal.SIGINT, *words, *more, once=lambda: metrics.read_text().count("\n") > 1)
    assert document("inspect", "runs/x", cwd=tmp_path)["progress"]["epochs"] > 1
