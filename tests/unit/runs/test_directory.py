"""A run directory: one owner, one run, the newest checkpoint that is whole."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.configs import configured
from zoo.config.recipe import Recipe
from zoo.config.train_config import TrainConfig
from zoo.errors import RunError, ZooWarning
from zoo.runs import checkpoint
from zoo.runs.directory import RunDirectory
from zoo.runs.save_interval import SaveInterval
from zoo.training.saved import RunIdentity
from zoo.training.state import TrainState

RECIPE = Recipe(
    architecture="charrnn/lstm",
    dataset="text/files",
    data={"paths": ["a.txt"]},
    train={"epochs": 3},
    threads=1,
)


def open_run(path: Path, recipe: Recipe = RECIPE, *, fingerprint: str = "", **options: Any) -> RunDirectory:
    return RunDirectory(
        path, RunIdentity(recipe=recipe, fingerprint=fingerprint), options=configured().fields, **options
    )


def begin() -> TrainState:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TrainState.begin(nn.Linear(3, 2), TrainConfig(), precision="fp32", device="cpu")


def epoch(state: TrainState) -> None:
    with torch.no_grad():
        state.model.get_parameter("bias").add_(1)
    number = state.epoch + 1
    row = {"epoch": number, "steps": number, "train": {"loss": 1.0 / number}}
    state.steps = number
    state.end_epoch(row | {"clock": {"seconds": 1.0, "rate": 8.0}}, TrainConfig())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory with a run of two epochs."""
    path = tmp_path / "run"
    with open_run(path) as store:
        state = begin()
        store.restore(state, device="cpu")
        for _ in range(2):
            epoch(state)
            store.save(state)
    return path


def resumed(path: Path, recipe: Recipe = RECIPE) -> TrainState:
    with open_run(path, recipe, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        return state


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_run_continues_from_its_last_checkpoint(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZooWarning)
        state = resumed(path)
    assert state.epoch == 2
    assert torch.equal(state.model.get_parameter("bias"), begin().model.get_parameter("bias") + 2)
    assert [row["epoch"] for row in state.history] == [1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"train": configured(epochs=3).to_dict()},  # every option written out
        {"data": {"paths": ("a.txt",)}},
        {"data": {"paths": ["a.txt"], "root": "/elsewhere"}},
        {"from_weights": "moved.safetensors"},
        {"summary": "another"},
    ],
)
def test_what_means_the_same_is_no_change(path: Path, changes: dict[str, Any]) -> None:
    assert resumed(path, replace(RECIPE, **changes)).epoch == 2


def test_resume_starts_a_run_where_there_is_none(tmp_path: Path) -> None:
    assert resumed(tmp_path / "deep" / "new").epoch == 0


def test_a_directory_that_holds_a_run_is_refused_without_resume(path: Path) -> None:
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(RunError, match=f"{path} already contains a run") as caught:
        open_run(path).__enter__()
    assert caught.value.hint == f"continue it with `zoo resume {path}`, or choose a different --run folder"
    after = {file.name: file.read_bytes() for file in path.iterdir()}
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before if name != ".lock")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"epochs": 4}}, "train.epochs: 3 before, 4 now"),
        ({"seed": 1}, "seed: 0 before, 1 now"),
        ({"architecture": "charrnn/gru"}, "architecture: 'charrnn/lstm' before, 'charrnn/gru' now"),
        ({"train": {}}, "train.epochs: 3 before, 1 now"),
        ({"train": {"epochs": 3, "mixup_alpha": 0.2}}, "train.mixup_alpha: 0.0 before, 0.2 now"),
        ({"model": {"depth": 2}}, "model.depth: None before, 2 now"),
    ],
)
def test_a_different_run_is_refused_with_the_difference(
    path: Path, changes: dict[str, Any], message: str
) -> None:
    other = replace(RECIPE, **changes)
    with pytest.raises(RunError, match="contains a different run ") as caught:
        resumed(path, other)
    assert message in str(caught.value)
    assert str(caught.value).count(" before, ") == 1


def test_other_data_under_the_same_options_is_refused(path: Path) -> None:
    with (
        open_run(path, resume=True, fingerprint="other") as store,
        pytest.raises(RunError, match="the data has changed"),
    ):
        store.restore(begin(), device="cpu")


def test_an_option_that_is_none_is_left_out_of_config_toml(tmp_path: Path) -> None:
    recipe = Recipe(architecture="a", dataset="b", model={"size": None, "depth": 2})
    with open_run(tmp_path, recipe) as store:
        store.restore(begin(), device="cpu")
    assert tomllib.loads((tmp_path / "config.toml").read_text())["recipes"][tmp_path.name]["model"] == {
        "depth": 2
    }


def test_a_damaged_checkpoint_gives_way_to_the_previous_one_with_one_warning(path: Path) -> None:
    damage(path / "checkpoint.safetensors")
    with pytest.warns(ZooWarning) as caught:
        state = resumed(path)
    assert state.epoch == 1
    (warning,) = caught
    assert "checkpoint.safetensors is damaged" in str(warning.message)
    assert "; continuing from the previous checkpoint" in str(warning.message)


def test_a_crash_between_two_renames_loses_nothing(path: Path) -> None:
    (path / "checkpoint.safetensors").replace(path / "checkpoint.previous.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZooWarning)
        assert resumed(path).epoch == 2
    with pytest.raises(RunError, match="already contains a run"):
        open_run(path).__enter__()


def test_a_damaged_checkpoint_never_replaces_the_previous_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(path / "checkpoint.safetensors")

    def crash(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_container", crash)
    with open_run(path, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        with pytest.raises(RunError, match="No space"):
            store.save(state)
    assert resumed(path).epoch == 1
    monkeypatch.undo()
    with open_run(path, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        store.save(state)
    damage(path / "checkpoint.safetensors")
    assert resumed(path).epoch == 1, "the damaged checkpoint must not become the previous one"


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (
            OSError(28, "No space left on device"),
            r"on device \(32 bytes are needed, [\d,]+ bytes are free\)(?m:$)",
            "free some space, then ",
        ),
        (OSError(122, "Disk quota exceeded"), r"exceeded \(32 bytes are needed, ", "free some space, then "),
        (PermissionError(13, "Permission denied"), r"denied(?m:$)", "grant yourself write permission, then "),
        (OSError(5, "Input/output error"), r"output error(?m:$)", ""),
    ],
)
def test_a_failed_write_names_the_file_and_the_remedy(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str, hint: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    with open_run(path, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(RunError, match=message) as caught:
            store.save(state)
    assert str(caught.value).startswith(f"{path / 'checkpoint.safetensors'} cannot be written: ")
    assert caught.value.hint == f"{hint}continue from the last checkpoint: `zoo resume {path}`"
    monkeypatch.undo()
    assert resumed(path).epoch == 2


def test_a_changed_run_continues_only_if_accepted_and_records_the_change(path: Path) -> None:
    longer = replace(RECIPE, train={"epochs": 5, "lr": 0.5})
    with pytest.raises(RunError) as caught:
        resumed(path, longer)
    assert "add --accept-changes to continue anyway" in (caught.value.hint or "")
    change = "from epoch 3, batch 1: train.epochs: 3 before, 5 now; train.lr: 0.001 before, 0.5 now"
    with open_run(path, longer, resume=True, accept_changes=True) as store:
        state = begin()
        with pytest.warns(ZooWarning) as warned:
            store.restore(state, device="cpu")
        assert [str(warning.message) for warning in warned] == [f"continuing with changed options {change}"]
        assert state.epoch == 2
        epoch(state)
        store.save(state)
    assert tomllib.loads((path / "config.toml").read_text())["recipes"]["run"]["train"]["epochs"] == 5
    with warnings.catch_warnings(), open_run(path, longer, resume=True) as store:
        warnings.simplefilter("error", ZooWarning)
        store.restore(begin(), device="cpu")
        assert store.changes == (change,)


@pytest.mark.parametrize(
    ("changes", "batch"),
    [
        ({"train": {"epochs": 3, "lr": 0.5, "augment": ["flip"]}}, 7),
        ({"model": {"freeze": True}}, 7),
        ({"seed": 1}, 0),
        ({"data": {"paths": ["b.txt"]}}, 0),
        ({"data": {"paths": ["a.txt"], "lr": 1}}, 0),
        *(
            ({"train": {"epochs": 3, option: value}}, 0)
            for option, value in {
                "batch_size": 2,
                "grad_accum_steps": 2,
                "batching": "sections",
                "bptt": 3,
                "bptt_jitter": True,
            }.items()
        ),
    ],
)
def test_an_epoch_starts_over_if_its_batches_change(path: Path, changes: dict[str, Any], batch: int) -> None:
    with open_run(path, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        state.batch, state.count = 7, 70
        store.save(state)
    other = replace(RECIPE, **changes)
    with open_run(path, other, resume=True, accept_changes=True) as store:
        state = begin()
        with pytest.warns(ZooWarning) as warned:
            store.restore(state, device="cpu")
    assert (state.epoch, state.batch, state.count) == (2, batch, 10 * batch)
    *before, last = [str(warning.message) for warning in warned]
    assert last.startswith(f"continuing with changed options from epoch 3, batch {batch + 1}: ")
    assert [message.partition(" because ")[0] for message in before] == ["epoch 3 starts over"] * (batch == 0)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"optimizer_options": {"beta2": 0.5}},
        {"decay_matrices_only": True},
        {"lr_scales": {"a": 2.0}},
        {"freeze": ["a"]},
        {"layer_decay": 0.5},
        {"norm_bias_lr_scale": 2.0},
        {"ema_decay": 0.9},
    ],
)
def test_what_the_optimizer_state_depends_on_cannot_change(path: Path, change: dict[str, Any]) -> None:
    other = replace(RECIPE, train={"epochs": 3} | change)
    (name,) = change
    with (
        open_run(path, other, resume=True, accept_changes=True) as store,
        pytest.raises(RunError, match=rf"^train\.{name} cannot be changed during a run \(train\.{name}: "),
    ):
        store.restore(begin(), device="cpu")


@pytest.mark.parametrize(
    ("text", "steps", "seconds", "due"),
    [("3", 2, 1e6, False), ("3", 3, 0.0, True), ("2m", 1_000, 119.0, False), ("2m", 0, 120.0, True),
     ("0", 10**6, 1e6, False)],
)  # fmt: skip
def test_a_checkpoint_is_due_some_steps_or_seconds_after_the_last(
    path: Path, text: str, steps: int, seconds: float, due: bool
) -> None:
    now = [100.0]
    interval = SaveInterval.parse(text)
    with open_run(path, resume=True, interval=interval, clock=lambda: now[0]) as store:
        state = begin()
        state.steps = 50
        now[0] += 1e9
        store.save(state)
        assert not store.due(state)
        state.steps += steps
        now[0] += seconds
        assert store.due(state) == due


def test_both_checkpoints_damaged_is_an_error(path: Path) -> None:
    damage(path / "checkpoint.safetensors")
    damage(path / "checkpoint.previous.safetensors")
    with pytest.raises(
        RunError, match=r"^no checkpoint can be used: .*checkpoint\.saf.* damaged.*; .*previous.* damaged"
    ):
        resumed(path)


def test_a_checkpoint_of_another_model_is_refused(path: Path) -> None:
    with open_run(path, resume=True) as store:
        other = TrainState.begin(nn.Linear(3, 5), TrainConfig(), precision="fp32", device="cpu")
        with pytest.raises(
            RunError, match=r"^no checkpoint can be used: .* does not match this model: model/(weight|bias)"
        ):
            store.restore(other, device="cpu")


def test_temporary_files_of_a_dead_writer_are_removed_and_no_others(path: Path) -> None:
    (path / ".checkpoint.safetensors.123.abcd.tmp").write_bytes(b"half")
    (path / "mine.tmp").write_bytes(b"mine")
    resumed(path)
    assert not list(path.glob(".*.tmp"))
    assert (path / "mine.tmp").exists()


def test_metrics_are_rewritten_from_the_checkpoint(path: Path) -> None:
    clock = {"seconds": 1.0, "rate": 8.0}
    rows = [{"epoch": n, "steps": n, "train": {"loss": 1.0 / n}, "clock": clock} for n in (1, 2)]
    metrics = path / "metrics.jsonl"
    assert [json.loads(line) for line in metrics.read_text().splitlines()] == rows
    metrics.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    resumed(path)
    assert [json.loads(line) for line in metrics.read_text().splitlines()] == rows


@pytest.mark.parametrize(
    "name", ["config.toml", "metrics.jsonl", "model.safetensors", "curve.png", "steps.jsonl"]
)
def test_a_file_that_no_run_here_wrote_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    (tmp_path / ".mine.tmp").write_text("mine")
    for resume in (False, True):
        with pytest.raises(
            RunError, match=f"has no checkpoint, but contains {name}, which training would overwrite"
        ):
            open_run(tmp_path, resume=resume).__enter__()
    assert (tmp_path / name).read_text() == (tmp_path / ".mine.tmp").read_text() == "mine"


def test_a_run_without_a_checkpoint_starts_again(tmp_path: Path) -> None:
    for _ in range(2):
        with open_run(tmp_path) as store:
            store.restore(begin(), device="cpu")


def test_a_directory_has_one_owner(path: Path) -> None:
    with open_run(path, resume=True):
        half = path / ".checkpoint.safetensors.123.abcd.tmp"
        half.write_bytes(b"the owner is writing this")
        with pytest.raises(RunError, match="is in use by process"):
            open_run(path, resume=True).__enter__()
        assert half.exists()


def test_a_directory_that_is_moved_keeps_the_next_checkpoint_and_ends_the_run(path: Path) -> None:
    moved = path.with_name("moved")
    with open_run(path, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        epoch(state)
        path.rename(moved)
        with pytest.raises(
            RunError, match=f"^{path} was moved to {moved} during the run; the last saved step is 3"
        ):
            store.save(state)
    assert not path.exists()
    assert resumed(moved).epoch == 3


@pytest.mark.parametrize("what", ["directory", "lock"])
def test_an_owner_of_what_is_gone_writes_nothing_to_what_took_its_place(path: Path, what: str) -> None:
    gone = path.with_name("gone")
    with open_run(path, resume=True) as first:
        state = begin()
        first.restore(state, device="cpu")
        if what == "directory":
            shutil.copytree(path, gone)
            shutil.rmtree(path)
            gone.rename(path)
        (path / ".lock").unlink()
        if what == "directory":
            with open_run(path, resume=True) as second:
                second.restore(begin(), device="cpu")
        before = {file.name: file.read_bytes() for file in path.iterdir()}
        epoch(state)
        for write in (
            lambda: first.save(state),
            lambda: first.log({"step": 1}),
            lambda: first.write_weights(path / "model.safetensors", state, None),  # pyright: ignore
        ):
            with pytest.raises(RunError, match=r"were deleted during the run|was deleted or replaced during"):
                write()
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert resumed(path).epoch == 2


def test_a_directory_that_is_being_deleted_is_told_apart_from_one_that_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(path, resume=True) as run:
        state = begin()
        run.restore(state, device="cpu")
        epoch(state)
        real = os.replace

        def replace(source: Any, target: Any, **at: Any) -> None:
            os.unlink(source, dir_fd=at.get("src_dir_fd"))  # somebody else is quicker
            real(source, target, **at)

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(RunError, match=r"checkpoint\.safetensors was deleted while it was being written"):
            run.save(state)


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_no_file_that_is_a_link_is_written_to(path: Path, kind: str) -> None:
    outside = path.with_name("outside")
    outside.mkdir()
    names = [file.name for file in path.iterdir() if file.name != ".lock"]
    for name in names:
        shutil.copy(path / name, outside)
        (path / name).unlink()
        if kind == "symbolic":
            (path / name).symlink_to(outside / name)
        else:
            (path / name).hardlink_to(outside / name)
    before = {file.name: file.read_bytes() for file in outside.iterdir()}
    assert before.keys() >= {"checkpoint.safetensors", "steps.jsonl", "metrics.jsonl", "config.toml"}
    with open_run(path, resume=True) as store:
        state = begin()
        store.restore(state, device="cpu")
        assert state.epoch == 2
        store.log({"step": 1})
        epoch(state)
        store.save(state)
    assert {file.name: file.read_bytes() for file in outside.iterdir()} == before
    assert resumed(path).epoch == 3


@pytest.mark.parametrize("kind", ["pipe", "folder", "endless"])
def test_what_is_no_file_in_place_of_a_config_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    config = tmp_path / "config.toml"
    {
        "pipe": lambda: os.mkfifo(config),
        "folder": config.mkdir,
        "endless": lambda: config.symlink_to("/dev/zero"),
    }[kind]()
    with (
        pytest.raises(RunError, match=r"has no checkpoint, but contains config[.]toml"),
        open_run(tmp_path),
    ):
        pass


def test_a_folder_that_is_called_like_a_leftover_stays(path: Path) -> None:
    (path / ".config.toml.x.tmp").mkdir()
    resumed(path)
    assert (path / ".config.toml.x.tmp").is_dir()
