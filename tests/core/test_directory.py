"""A run directory: one owner, one run, the newest good checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from zoo.config.training import TrainConfig
from zoo.errors import OptionError, RunError, WeightsError
from zoo.files import storage
from zoo.registry.recipe import Recipe
from zoo.training.directory import RunDirectory
from zoo.training.save_interval import SaveInterval
from zoo.training.state import TrainState

RECIPE = Recipe(
    architecture="charrnn/lstm", dataset="text/files", data={"paths": ["a.txt"]}, train={"epochs": 3}
)


def begin() -> TrainState:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TrainState.begin(nn.Linear(3, 2), TrainConfig(), precision="fp32", device="cpu")


def epoch(state: TrainState) -> None:
    with torch.no_grad():
        state.model.bias.add_(1)
    state.end_epoch({"epoch": state.epoch + 1, "train": {"loss": 1.0 / (state.epoch + 1)}}, TrainConfig())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory with a run of two epochs."""
    path = tmp_path / "run"
    with RunDirectory(path, RECIPE, resume=False) as store:
        state = begin()
        store.restore(state, device="cpu")
        for _ in range(2):
            epoch(state)
            store.save(state)
    return path


def resumed(path: Path, recipe: Recipe = RECIPE) -> tuple[TrainState, list[str]]:
    with RunDirectory(path, recipe, resume=True) as store:
        state = begin()
        store.threads()
        store.restore(state, device="cpu")
        return state, store.notices


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_run_goes_on_from_its_last_save(path: Path) -> None:
    state, notices = resumed(path)
    assert state.epoch == 2
    assert torch.equal(state.model.bias, begin().model.bias + 2)
    assert [row["epoch"] for row in state.history] == [1, 2]
    assert notices == []


def test_a_run_from_before_a_recipe_had_a_field_goes_on(path: Path) -> None:
    assert resumed(path, replace(RECIPE, train={"epochs": 3, "mixup_alpha": 0.0}))[0].epoch == 2
    with pytest.raises(RunError, match=r"train.mixup_alpha: 0.0 then, 0.2 now"):
        resumed(path, replace(RECIPE, train={"epochs": 3, "mixup_alpha": 0.2}))


def test_resume_begins_a_run_where_there_is_none(tmp_path: Path) -> None:
    state, _ = resumed(tmp_path / "deep" / "new")
    assert state.epoch == 0


def test_the_thread_count_a_run_began_with_is_kept(path: Path) -> None:
    with RunDirectory(path, RECIPE, resume=True) as store:
        assert store.threads() == torch.get_num_threads()
    with RunDirectory(path.with_name("other"), RECIPE, resume=True) as store:
        assert store.threads() is None


def test_a_directory_that_holds_a_run_is_refused_without_resume(path: Path) -> None:
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(RunError, match=f"{path} holds a run already") as caught:
        RunDirectory(path, RECIPE, resume=False).__enter__()
    assert "--resume" in (caught.value.hint or "")
    after = {file.name: file.read_bytes() for file in path.iterdir()}
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before if name != ".lock")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train": {"epochs": 4}}, "train.epochs: 3 then, 4 now"),
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"architecture": "charrnn/gru"}, "architecture: 'charrnn/lstm' then, 'charrnn/gru' now"),
    ],
)
def test_a_run_of_something_else_is_refused_with_the_difference(
    path: Path, changes: dict[str, Any], told: str
) -> None:
    other = Recipe(**(RECIPE.to_dict() | changes))
    with pytest.raises(RunError, match="holds a run of something else") as caught:
        resumed(path, other)
    assert told in str(caught.value)
    assert str(caught.value).count(" then, ") == 1


def test_data_elsewhere_is_the_same_run_and_changed_data_is_not(path: Path) -> None:
    moved = Recipe(**(RECIPE.to_dict() | {"data": RECIPE.data | {"root": "/elsewhere"}}))
    assert resumed(path, moved)[0].epoch == 2
    with (
        RunDirectory(path, RECIPE, resume=True, fingerprint="other") as store,
        pytest.raises(RunError, match="the data has changed since"),
    ):
        store.restore(begin(), device="cpu")


def test_an_option_that_is_none_is_left_out_of_config_toml(tmp_path: Path) -> None:
    recipe = Recipe(architecture="a", dataset="b", model={"size": None, "depth": 2})
    with RunDirectory(tmp_path, recipe, resume=False) as store:
        store.restore(begin(), device="cpu")
    assert tomllib.loads((tmp_path / "config.toml").read_text())["recipes"][tmp_path.name]["model"] == {
        "depth": 2
    }


def test_a_tuple_is_no_difference_from_a_list(path: Path) -> None:
    same = Recipe(**(RECIPE.to_dict() | {"data": {"paths": ("a.txt",)}}))
    assert resumed(path, same)[0].epoch == 2


def test_a_damaged_checkpoint_gives_way_to_the_one_before_with_one_notice(path: Path) -> None:
    damage(path / "checkpoint.safetensors")
    state, notices = resumed(path)
    assert state.epoch == 1
    (notice,) = notices
    assert "checkpoint.safetensors is damaged" in notice
    assert "going on from the checkpoint before it" in notice


def test_a_crash_between_two_renames_loses_nothing(path: Path) -> None:
    (path / "checkpoint.safetensors").replace(path / "checkpoint.previous.safetensors")
    state, notices = resumed(path)
    assert state.epoch == 2
    assert notices == []
    with pytest.raises(RunError, match="holds a run already"):
        RunDirectory(path, RECIPE, resume=False).__enter__()


def test_a_damaged_checkpoint_never_replaces_the_good_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(path / "checkpoint.safetensors")

    def crash(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write_container", crash)
    with RunDirectory(path, RECIPE, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        with pytest.raises(RunError, match="No space"):
            store.save(state)
    assert resumed(path)[0].epoch == 1
    monkeypatch.undo()
    with RunDirectory(path, RECIPE, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        store.save(state)
    damage(path / "checkpoint.safetensors")
    assert resumed(path)[0].epoch == 1, "the damaged one was not kept in its place"


@pytest.mark.parametrize(
    ("error", "told", "hint"),
    [
        (OSError(28, "No space left on device"), r"; it takes 32 bytes, and [\d,]+ are free", "make room"),
        (OSError(122, "Disk quota exceeded"), "it takes 32 bytes", "make room"),
        (PermissionError(13, "Permission denied"), "denied$", "give yourself the right to write"),
        (OSError(5, "Input/output error"), "output error$", "--resume goes on from the last"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told_with_path_and_need(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str, hint: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    with RunDirectory(path, RECIPE, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(RunError, match=told) as caught:
            store.save(state)
    assert str(caught.value).startswith(f"{path / 'checkpoint.safetensors'} cannot be written: ")
    assert hint in (caught.value.hint or "")
    monkeypatch.undo()
    assert resumed(path)[0].epoch == 2


def test_a_changed_run_goes_on_only_if_told_and_tells_what_changed(path: Path) -> None:
    longer = replace(RECIPE, train={"epochs": 5, "lr": 0.5})
    with pytest.raises(RunError) as caught:
        resumed(path, longer)
    assert "--accept-changes" in (caught.value.hint or "")
    told = "from epoch 3, batch 1: train.epochs: 3 then, 5 now; train.lr: 0.001 then, 0.5 now"
    with RunDirectory(path, longer, resume=True, accept_changes=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        assert state.epoch == 2
        assert store.notices == [f"going on with a changed run, {told}"]
        epoch(state)
        store.save(state)
    assert tomllib.loads((path / "config.toml").read_text())["recipes"]["run"]["train"]["epochs"] == 5
    with RunDirectory(path, longer, resume=True) as store:
        store.restore(begin(), device="cpu")
        assert store.changes == [told]
        assert store.notices == []


@pytest.mark.parametrize(
    ("changes", "batch"),
    [({"train": {"epochs": 3, "lr": 0.5}}, 7), ({"train": {"epochs": 3, "batch_size": 2}}, 0),
     ({"seed": 1}, 0), ({"data": {"paths": ["b.txt"]}}, 0)],
)  # fmt: skip
def test_an_epoch_whose_batches_are_others_begins_anew(
    path: Path, changes: dict[str, Any], batch: int
) -> None:
    with RunDirectory(path, RECIPE, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        state.batch, state.count = 7, 70
        store.save(state)
    other = Recipe(**(RECIPE.to_dict() | changes))
    with RunDirectory(path, other, resume=True, accept_changes=True) as store:
        state = begin()
        store.restore(state, device="cpu")
    assert (state.epoch, state.batch, state.count) == (2, batch, 10 * batch)
    assert ("epoch 3 begins anew" in store.notices[0]) == (batch == 0)


@pytest.mark.parametrize(
    "change",
    [{"optimizer": "sgd"}, {"freeze": ["a"]}, {"layer_decay": 0.5}, {"norm_bias_lr_scale": 2.0}],
)
def test_what_the_optimizer_s_memory_is_of_cannot_be_changed(path: Path, change: dict[str, Any]) -> None:
    other = replace(RECIPE, train={"epochs": 3} | change)
    with (
        RunDirectory(path, other, resume=True, accept_changes=True) as store,
        pytest.raises(RunError, match="cannot be changed in a run that has begun"),
    ):
        store.restore(begin(), device="cpu")


@pytest.mark.parametrize(
    ("text", "steps", "seconds", "due"),
    [("3", 2, 1e6, False), ("3", 3, 0.0, True), ("2m", 1_000, 119.0, False), ("2m", 0, 120.0, True),
     ("0", 10**6, 1e6, False)],
)  # fmt: skip
def test_a_checkpoint_is_due_so_many_steps_or_seconds_after_the_last(
    path: Path, text: str, steps: int, seconds: float, due: bool
) -> None:
    now = [100.0]
    every = SaveInterval.parse(text)
    with RunDirectory(path, RECIPE, resume=True, every=every, clock=lambda: now[0]) as store:
        state = begin()
        state.steps = 50
        now[0] += 1e9
        store.save(state)
        assert not store.due(state)
        state.steps += steps
        now[0] += seconds
        assert store.due(state) == due


@pytest.mark.parametrize("text", ["", "often", "5 minutes", "-3", "1.5", "3d"])
def test_an_interval_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="is no interval: 500 is steps, 90s and 5m are time"):
        SaveInterval.parse(text)


def test_both_checkpoints_damaged_is_an_error(path: Path) -> None:
    damage(path / "checkpoint.safetensors")
    damage(path / "checkpoint.previous.safetensors")
    with pytest.raises(RunError, match=r"no checkpoint in .* can be read: .*previous"):
        resumed(path)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [({}, "is not a zoo checkpoint"), ({"zoo-checkpoint": "{}"}, "is not a zoo checkpoint"),
     ({"zoo-checkpoint": '{"schema": 9, "sha256": ""}'}, "is a checkpoint of schema 9"),
     ({"zoo-checkpoint": '{"schema": 4, "sha256": ""}'}, "is not a zoo checkpoint: it lacks carried, ")],
)  # fmt: skip
def test_another_file_under_its_name_is_no_checkpoint(
    tmp_path: Path, metadata: dict[str, str], told: str
) -> None:
    storage.write_container(tmp_path / "checkpoint.safetensors", [], metadata)
    with pytest.raises(RunError, match=told):
        resumed(tmp_path)


def test_a_checkpoint_of_another_model_is_refused(path: Path) -> None:
    with RunDirectory(path, RECIPE, resume=True) as store:
        other = TrainState.begin(nn.Linear(3, 5), TrainConfig(), precision="fp32", device="cpu")
        with pytest.raises(WeightsError, match="the checkpoint does not fit this model"):
            store.restore(other, device="cpu")


def test_what_a_dead_writer_left_is_swept_away_and_nothing_else(path: Path) -> None:
    (path / ".checkpoint.safetensors.123.abcd.tmp").write_bytes(b"half")
    (path / "mine.tmp").write_bytes(b"mine")
    resumed(path)
    assert not list(path.glob(".*.tmp"))
    assert (path / "mine.tmp").exists()


def test_metrics_are_rewritten_from_the_checkpoint(path: Path) -> None:
    rows = [{"epoch": 1, "train": {"loss": 1.0}}, {"epoch": 2, "train": {"loss": 0.5}}]
    metrics = path / "metrics.jsonl"
    assert [json.loads(line) for line in metrics.read_text().splitlines()] == rows
    metrics.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    resumed(path)
    assert [json.loads(line) for line in metrics.read_text().splitlines()] == rows


def test_the_config_is_the_experiment(path: Path) -> None:
    config = tomllib.loads((path / "config.toml").read_text())
    assert config == {"schema": 1, "recipes": {"run": RECIPE.to_dict()}}


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl", "model.safetensors", "curve.png"])
def test_a_file_that_no_run_here_wrote_is_never_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    (tmp_path / ".mine.tmp").write_text("mine")
    for resume in (False, True):
        with pytest.raises(RunError, match=f"holds a {name} and no checkpoint"):
            RunDirectory(tmp_path, RECIPE, resume=resume).__enter__()
    assert (tmp_path / name).read_text() == (tmp_path / ".mine.tmp").read_text() == "mine"


def test_a_run_that_never_reached_a_checkpoint_starts_again(tmp_path: Path) -> None:
    for _ in range(2):
        with RunDirectory(tmp_path, RECIPE, resume=False) as store:
            store.restore(begin(), device="cpu")


def test_one_process_owns_a_directory_once(path: Path) -> None:
    with RunDirectory(path, RECIPE, resume=True), pytest.raises(RunError, match="is in use by process"):
        RunDirectory(path, RECIPE, resume=True).__enter__()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file is a file, not a folder to run in"):
        RunDirectory(tmp_path / "file", RECIPE, resume=False).__enter__()


HOLD = """
import sys
from pathlib import Path
from zoo.registry.experiment import Experiment
from zoo.training.save_interval import SaveInterval
from zoo.training.directory import RunDirectory
with RunDirectory(Path(sys.argv[1]), Experiment(architecture="a", dataset="b"), resume=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_directory_in_use_is_refused_until_its_owner_is_dead(path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        leftover = path / ".x.tmp"
        leftover.write_bytes(b"the owner is writing this")
        with pytest.raises(RunError, match=f"is in use by process {owner.pid} on ") as caught:
            resumed(path)
        assert "another --run" in (caught.value.hint or "")
        assert leftover.exists()
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.communicate()
    assert resumed(path)[0].epoch == 2
