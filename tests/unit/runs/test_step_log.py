"""The log of a run's steps: which steps it has, and what is left of it after a stop."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.trainings import train as train_recipe
from zoo.config.recipe import Recipe
from zoo.config.train_config import TrainConfig
from zoo.errors import RunError, ZooWarning
from zoo.interfaces import Batch
from zoo.registry.registry import Registry
from zoo.runs.directory import RunDirectory
from zoo.runs.step_log import StepLog, read_rows
from zoo.training.clock import Clock
from zoo.training.saved import Row, RunIdentity, StepRow
from zoo.training.state import TrainState
from zoo_text.plugin import LANGUAGE_MODELING

ROWS = [{"epoch": 1, "step": step, "loss": 1 / step, "lr": 0.1, "rate": 9.0} for step in range(1, 7)]


def batch(index: int, total: int) -> Batch:
    return Batch(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64), index, total, 0)


def logged(config: TrainConfig, *, batches: int, start: int = 0) -> list[dict[str, Any]]:
    """Return the rows of an epoch whose n-th batch has loss n and learning rate n / 100."""
    steps = start // config.grad_accum_steps
    clock, rows = Clock(1, config, LANGUAGE_MODELING), list[dict[str, Any]]()
    for index in range(start, batches):
        clock.tick(batch(index, batches), index + 1.0, (index + 1) / 100)
        if (index + 1) % config.grad_accum_steps == 0 or index + 1 == batches:
            steps += 1
            rows += filter(None, [clock.step_row(steps)])
    for row in rows:
        assert row.pop("rate") > 0
        assert row.pop("time") > 1e9
    return rows


def test_a_short_run_logs_every_step_and_a_long_one_about_a_thousand() -> None:
    assert [row["step"] for row in logged(TrainConfig(epochs=2), batches=5)] == [1, 2, 3, 4, 5]
    assert logged(TrainConfig(epochs=2), batches=2)[1] == {"epoch": 1, "step": 2, "loss": 2.0, "lr": 0.02}
    long = logged(TrainConfig(epochs=10), batches=690)
    assert [row["step"] for row in long] == [*range(7, 690, 7)]


def test_a_step_on_several_batches_has_their_mean_loss() -> None:
    rows = logged(TrainConfig(epochs=1, grad_accum_steps=2), batches=5)
    assert rows == [
        {"epoch": 1, "step": 1, "loss": 1.5, "lr": 0.02},
        {"epoch": 1, "step": 2, "loss": 3.5, "lr": 0.04},
        {"epoch": 1, "step": 3, "loss": 5.0, "lr": 0.05},
    ]


def test_an_epoch_resumed_in_the_middle_logs_the_same_steps() -> None:
    config = TrainConfig(epochs=10)
    assert logged(config, batches=700, start=350) == logged(config, batches=700)[50:]


def written(path: Path, steps: int = 6) -> list[int]:
    log = StepLog(path, steps=steps)
    log.close()
    return [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "steps.jsonl"
    log = StepLog(path, steps=0)
    for row in ROWS:
        log.add(row)
    log.close()
    return path


def test_rows_are_appended_and_reach_the_file_at_once(path: Path) -> None:
    log = StepLog(path, steps=6)
    log.add({"step": 7})
    assert len(path.read_bytes().splitlines()) == 7
    log.close()
    assert written(path, 7) == [1, 2, 3, 4, 5, 6, 7]


def test_a_log_is_cut_back_to_a_step(path: Path) -> None:
    assert written(path, 4) == [1, 2, 3, 4]
    assert written(path, 0) == []


@pytest.mark.parametrize("damage", [b'{"epoch": 1, "st', b"\0\0\0\0\n", b"[1]\n", b'{"step": "7"}\n', b"7\n"])
def test_a_damaged_end_is_cut_off(path: Path, damage: bytes) -> None:
    with path.open("ab") as file:
        file.write(damage + b'{"step": 6}\n')
    assert written(path) == [1, 2, 3, 4, 5, 6]


def test_a_row_is_whole_although_a_write_took_only_half_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = StepLog(path, steps=6)

    class Reluctant(io.RawIOBase):
        def write(self, data: Any, /) -> int:
            return file.write(data[:5])

    file = log._file
    monkeypatch.setattr(log, "_file", Reluctant())
    log.add({"step": 7})
    file.close()
    assert written(path, 7)[-1] == 7


def directory(path: Path, *, resume: bool = True) -> RunDirectory:
    return RunDirectory(
        path, RunIdentity(recipe=Recipe(architecture="a", dataset="b", threads=1)), resume=resume
    )


def begin() -> TrainState:
    return TrainState.begin(torch.nn.Linear(3, 2), TrainConfig(), precision="fp32", device="cpu")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run saved after its fourth step, whose log has two steps more."""
    with directory(tmp_path / "run", resume=False) as store:
        state = begin()
        store.restore(state, device="cpu")
        for row in ROWS:
            store.log(row)
            state.steps += 1
            if state.steps == 4:
                store.save(state)
    return tmp_path / "run"


def test_a_resumed_run_continues_its_log_from_the_checkpoint(run: Path) -> None:
    with directory(run) as store:
        state = begin()
        store.restore(state, device="cpu")
        store.log({"epoch": 1, "step": 5, "loss": 0.5})
    rows = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    assert rows == [*ROWS[:4], {"epoch": 1, "step": 5, "loss": 0.5}]


def test_a_run_that_was_never_saved_starts_its_log_anew(run: Path) -> None:
    (run / "checkpoint.safetensors").unlink()
    with directory(run, resume=False) as store:
        store.restore(begin(), device="cpu")
    assert (run / "steps.jsonl").read_text() == ""


def test_a_log_that_is_no_file_is_named(run: Path) -> None:
    (run / "steps.jsonl").unlink()
    os.mkfifo(run / "steps.jsonl")
    with directory(run) as store, pytest.raises(RunError, match=r"steps\.jsonl cannot be read: it is a pipe"):
        store.restore(begin(), device="cpu")


def test_the_rows_of_all_steps_are_on_the_disk_before_the_checkpoint(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = os.fsync

    def fsync(number: int) -> None:
        written = os.fstat(number).st_ino
        calls.extend(file.name for file in run.iterdir() if file.stat().st_ino == written)
        real(number)

    with directory(run) as store:
        state = begin()
        store.restore(state, device="cpu")
        store.log({"step": 5})
        monkeypatch.setattr(os, "fsync", fsync)
        store.save(state)
        assert calls[0] == "steps.jsonl"
        assert calls[1].startswith(".checkpoint.safetensors.")
        calls.clear()
        store.save(state)
        assert "steps.jsonl" not in calls, "nothing was added"


def test_a_full_disk_is_an_error_that_names_the_log(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with directory(run) as store:
        store.restore(begin(), device="cpu")
        monkeypatch.setattr(StepLog, "add", full)
        with pytest.raises(RunError, match=r"steps\.jsonl cannot be written: No space left on device"):
            store.log({"step": 5})


def test_rows_are_read_from_a_file_of_bounded_size_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match=r"pipe cannot be read: .*not a regular file"):
        read_rows(tmp_path / "pipe", Row)
    monkeypatch.setattr("zoo.runs.step_log._MOST_BYTES", 100)
    (tmp_path / "long").write_bytes(bytes(101))
    with pytest.raises(RunError, match=r"long cannot be read: .*more than 100 bytes"):
        read_rows(tmp_path / "long", Row)


SMALL = Recipe(
    architecture="mlp",
    dataset="shapes",
    data={"size": 16, "train_size": 64, "val_size": 8, "test_size": 8},
    model={"widths": [8]},
    train={"batch_size": 16, "epochs": 2},
)


def test_a_run_on_a_machine_whose_clock_is_before_1970_can_be_read(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: -3e8)
        train_recipe(SMALL, registry, directory=tmp_path / "run")
    (row,) = zoo.list_runs(tmp_path)
    assert (row["status"], row["epochs"]) == ("finished", 2)
    assert zoo.Run(tmp_path / "run").history[-1]["clock"]["time"] == 0


def test_a_log_deleted_during_a_training_is_reported_once(tmp_path: Path, registry: Registry) -> None:
    log = tmp_path / "run" / "steps.jsonl"
    with pytest.warns(ZooWarning) as caught:
        train_recipe(
            SMALL, registry, directory=log.parent, report=lambda progress: log.unlink(missing_ok=True)
        )
    said = f"{log} was deleted during the run, so its rows are lost"
    assert [str(warning.message) for warning in caught].count(said) == 1


def test_a_log_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "steps.jsonl"
    row = b'{"epoch":1,"step":1,"loss":1.0,"lr":0.1,"rate":9.0}\n'
    log.write_bytes(row)
    status = os.fstat

    def growing(handle: int) -> os.stat_result:
        before = status(handle)
        with log.open("ab") as file:
            file.write(row)
        return before

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", growing)
        rows = read_rows(log, StepRow)
    assert [found["step"] for found in rows] == [1] * len(rows)
    assert 1 <= len(rows) < len(log.read_bytes().splitlines())
