"""Tables of runs, made from what run directories hold."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import zoo
from tests.made_runs import make, write_weights
from tests.shell import zoo as shell
from zoo.errors import OptionError, RunError, ZooWarning
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry
from zoo.registry.specs import MetricSpec
from zoo.runs.lock import owned

WEIGHTS = (
    "best.safetensors",
    "model.safetensors",
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder `runs` of the current one, with three runs, the oldest of them in a subfolder."""
    monkeypatch.chdir(tmp_path)
    make(Path("runs/a-2"), values=[0.5, 0.7, 0.6], epochs=3)
    make(Path("runs/a-10"), values=[0.8], lr=0.2, files=("checkpoint.safetensors",))
    make(Path("runs/sweep/b"), values=[], lr=0.3, seed=1, files=())
    for age, name in enumerate(("a-2", "a-10", "sweep/b")):
        os.utime(f"runs/{name}/config.toml", (1e9 - age, 1e9 - age))
    return Path("runs")


def names(rows: list[dict[str, object]]) -> list[object]:
    return [row["run"] for row in rows]


def test_a_row_has_the_state_of_a_run_and_the_metrics_of_its_best_epoch(runs: Path) -> None:
    rows = zoo.list_runs()
    assert names(rows) == ["runs/a-2", "runs/a-10", "runs/sweep/b"]
    first = rows[0]
    assert first["status"] == "finished"
    assert first["epochs"] == 3
    assert first["seconds"] == 4.5
    assert first["metrics"]["val"] == {"loss": pytest.approx(0.3), "accuracy": 0.7}
    assert first["recipe"]["train"]["lr"] == 0.1
    assert [row["status"] for row in rows[1:]] == ["stopped", "stopped"]
    assert rows[2]["metrics"] == {}
    assert zoo.list_runs(runs / "a-2") == [first]


def test_the_newest_run_comes_first_and_names_are_sorted_as_people_do(runs: Path) -> None:
    os.utime(runs / "sweep/b/config.toml", (2e9, 2e9))
    assert names(zoo.list_runs()) == ["runs/sweep/b", "runs/a-2", "runs/a-10"]
    for name in ("lstm", "gru", "a-longer-name", "b10", "b2"):
        make(runs / name)
    pruned = ["a-2", "a-longer-name", "b2", "b10", "gru", "lstm"]
    assert names(zoo.prune_runs(keep="best")) == [f"runs/{name}" for name in pruned]


def test_runs_are_filtered_by_options_and_metrics(runs: Path) -> None:
    assert names(zoo.list_runs(where="val.accuracy>=0.7 and lr=0.1")) == ["runs/a-2"]
    assert names(zoo.list_runs(where="model.widths=8 and seed=1")) == ["runs/sweep/b"]
    assert names(zoo.list_runs(where="augment~flip and status=stopped")) == ["runs/a-10", "runs/sweep/b"]
    with pytest.raises(OptionError, match=r"no run has the key 'val\.accuracies'; did you mean 'val\.ac"):
        zoo.list_runs(where="val.accuracies>0.5")


def test_options_of_an_optimizer_are_keys_too(runs: Path) -> None:
    with (runs / "sweep/b/config.toml").open("a") as file:
        file.write("[recipes.x.train.optimizer_options]\nbeta2 = 0.98\n")
    assert names(zoo.list_runs(where="optimizer_options.beta2>0.9")) == ["runs/sweep/b"]
    assert zoo.diff_runs("runs/a-2", "runs/sweep/b")["options"]["optimizer_options.beta2"] == [None, 0.98]


def test_the_best_value_of_a_metric_comes_first_and_runs_without_it_last(runs: Path) -> None:
    assert names(zoo.list_runs(sort="val.accuracy")) == ["runs/a-10", "runs/a-2", "runs/sweep/b"]
    assert names(zoo.list_runs(sort="-val.accuracy")) == ["runs/a-2", "runs/a-10", "runs/sweep/b"]
    assert names(zoo.list_runs(sort="val.loss")) == ["runs/a-10", "runs/a-2", "runs/sweep/b"]
    assert names(zoo.list_runs(sort="-lr")) == ["runs/sweep/b", "runs/a-10", "runs/a-2"]
    with pytest.raises(OptionError, match="sort: no run has the key 'speed'"):
        zoo.list_runs(sort="speed")


@pytest.mark.parametrize(
    ("fields", "best_first"),
    [
        ({}, ["runs/a-2", "runs/a-10"]),
        ({"higher_is_better": True}, ["runs/a-10", "runs/a-2"]),
        ({"target_value": 0.9}, ["runs/a-10", "runs/a-2"]),
        ({"target_value": 0.7}, ["runs/a-2", "runs/a-10"]),
    ],
)
def test_the_spec_of_a_metric_says_which_values_are_better(
    runs: Path, fields: dict[str, Any], best_first: list[str]
) -> None:
    for name, value in {"a-2": 0.6, "a-10": 0.95}.items():
        row = {"epoch": 1, "steps": 1, "train": {"loss": 1.0}, "val": {"loss": 1.0, "coverage": value}}
        clock = {"seconds": 1.5, "rate": 9.0}
        (runs / name / "metrics.jsonl").write_text(json.dumps({**row, "clock": clock}) + "\n")
    spec = MetricSpec(name="coverage", target="m:C", summary="", tasks=("classification",), **fields)
    plugin = Plugin(name="acme", status="ok", where="acme.plugin", specs=(("metric", spec),))
    registry = Registry([*Registry.discover().plugins, plugin])
    assert names(zoo.list_runs(sort="val.coverage", registry=registry)) == [*best_first, "runs/sweep/b"]


def test_a_run_of_a_process_that_is_alive_is_running(runs: Path) -> None:
    with owned(runs / "a-10"):
        assert zoo.list_runs(where="status=running")[0]["run"] == "runs/a-10"
    (runs / "a-2/.lock").write_text(f"process {os.getpid()} on {socket.gethostname()} since 2026-01-01")
    assert [row["status"] for row in zoo.list_runs()] == ["finished", "stopped", "stopped"]


def test_a_run_that_cannot_be_read_is_left_out_with_a_warning(runs: Path) -> None:
    (runs / "a-2/metrics.jsonl").write_text('{"epoch": 1}\n')
    with pytest.warns(ZooWarning, match=r"^runs/a-2 is skipped: .*metrics\.jsonl cannot be read"):
        assert names(zoo.list_runs()) == ["runs/a-10", "runs/sweep/b"]


def test_durations_that_no_run_has_are_refused_as_the_command_cannot_print_them(runs: Path) -> None:
    clock = {"seconds": 1e308, "rate": 1.0}
    row = json.dumps({"epoch": 1, "steps": 1, "train": {"loss": 1.0}, "clock": clock})
    (runs / "a-2/metrics.jsonl").write_text(f"{row}\n{row}\n")
    done = shell("runs", "runs")
    assert done.returncode == 0
    assert "runs/a-2 is skipped: runs/a-2/metrics.jsonl cannot be read: Expected `float` <= " in done.stderr


def test_a_run_whose_plugin_is_missing_has_the_metrics_of_its_last_epoch(tmp_path: Path) -> None:
    make(tmp_path / "x", values=[0.7, 0.6], dataset="gone/data")
    (row,) = zoo.list_runs(tmp_path)
    assert row["task"] == ""
    assert row["metrics"]["val"]["accuracy"] == 0.6


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="none does not exist"):
        zoo.list_runs(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file is not a folder"):
        zoo.list_runs(tmp_path / "file")


def test_rows_become_a_data_frame_where_pandas_is_installed(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.runs.run_table.find_spec", lambda name: None)
    with pytest.raises(OptionError, match="requires pandas"):
        zoo.list_runs().to_pandas()
    monkeypatch.setattr("zoo.runs.run_table.find_spec", lambda name: "a spec")
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=tuple))
    assert zoo.list_runs().to_pandas() == tuple(zoo.list_runs().flat())
    flat = zoo.list_runs().flat()
    assert flat[0]["val.accuracy"] == 0.7
    assert flat[0]["lr"] == 0.1
    assert flat[0]["augment"] == "flip"


def test_two_runs_differ_in_options_and_metrics(runs: Path) -> None:
    found = zoo.diff_runs("runs/a-2", "runs/sweep/b")
    assert found["options"] == {"seed": [0, 1], "epochs": [3, 2], "lr": [0.1, 0.3]}
    assert found["metrics"]["epochs"] == [3, 0]
    assert found["metrics"]["val.accuracy"] == [0.7, None]
    with pytest.raises(RunError, match="no such run directory"):
        zoo.diff_runs("runs/a-2", "runs/none")


def test_pruning_leaves_the_chosen_weights_and_the_logs_of_finished_runs(runs: Path) -> None:
    before = {*runs.rglob("*")}
    size = sum((runs / "a-2" / name).stat().st_size for name in WEIGHTS[1:])
    planned = zoo.prune_runs(keep="best", dry_run=True)
    assert {*runs.rglob("*")} == before
    assert zoo.prune_runs(keep="best") == planned
    assert planned == [{"run": "runs/a-2", "files": [*WEIGHTS[1:]], "bytes": size}]
    assert (runs / "a-2/best.safetensors").exists()
    assert (runs / "a-2/steps.jsonl").exists()
    assert (runs / "a-10/checkpoint.safetensors").exists()  # it can be resumed
    assert zoo.list_runs(where="status=finished")[0]["run"] == "runs/a-2"
    assert zoo.prune_runs(keep="best") == []
    assert zoo.prune_runs(keep="last") == []  # the best weights are the only ones left


@pytest.mark.parametrize(
    ("dry_run", "reason"), [(True, "it is running"), (False, "a-2 is in use by process")]
)
def test_a_run_in_use_is_skipped_and_the_others_are_pruned(runs: Path, dry_run: bool, reason: str) -> None:
    make(runs / "b")
    with owned(runs / "a-2"), pytest.warns(ZooWarning, match=f"^runs/a-2 is skipped: .*{reason}"):
        assert names(zoo.prune_runs(keep="best", dry_run=dry_run)) == ["runs/b"]
    assert (runs / "a-2/checkpoint.safetensors").exists()


def test_a_run_that_continues_just_before_it_is_locked_is_skipped(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def continued(folder: Path) -> Any:
        (folder / "model.safetensors").unlink()  # by the first save of a run that goes on
        return owned(folder)

    monkeypatch.setattr("zoo.runs.run_table.owned", continued)
    with pytest.warns(ZooWarning, match="^runs/a-2 is skipped: it is not finished$"):
        assert zoo.prune_runs(keep="best") == []
    assert (runs / "a-2/checkpoint.safetensors").exists()


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_the_other(path: Path) -> None:
    path.unlink()
    path.symlink_to("best.safetensors" if path.name.startswith("model") else "model.safetensors")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (damage, "is damaged: the sha256 of its tensors does not match its card"),
        (replace_by_folder, "cannot be read: it is a folder, not a regular file"),
        (link_to_the_other, "is a link"),
        (lambda path: write_weights(path, seed=1), "belongs to another run: its seed is 1, not 0"),
    ],
)
@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_run_is_not_pruned_if_the_weights_to_keep_are_not_its_own_intact_file(
    runs: Path, change: Callable[[Path], object], reason: str, keep: Any
) -> None:
    make(runs / "b")
    change(runs / f"a-2/{'best' if keep == 'best' else 'model'}.safetensors")
    before = {path: path.lstat().st_mtime_ns for path in (runs / "a-2").iterdir()}
    with pytest.warns(ZooWarning, match=f"^runs/a-2 is skipped: .*{reason}"):
        assert names(zoo.prune_runs(keep=keep)) == ["runs/b"]
    (runs / "a-2/.lock").unlink()
    assert {path: path.lstat().st_mtime_ns for path in (runs / "a-2").iterdir()} == before


def test_a_folder_of_another_program_is_skipped_and_not_even_locked(runs: Path) -> None:
    (runs / "a-2/config.toml").write_text('title = "x"')
    before = {*runs.rglob("*")}
    with pytest.warns(ZooWarning, match="^runs/a-2 is skipped: .*config.toml: .* unknown field title"):
        assert zoo.prune_runs(keep="best") == []
    assert {*runs.rglob("*")} == before


def test_a_file_that_cannot_be_deleted_is_an_error(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", forbid)
    with pytest.raises(RunError, match="a-2 cannot be pruned: Permission denied"):
        zoo.prune_runs(keep="best")


def test_a_run_without_validation_keeps_its_last_weights(tmp_path: Path) -> None:
    make(tmp_path / "x", files=("model.safetensors", "checkpoint.safetensors"))
    (row,) = zoo.prune_runs(tmp_path, keep="best")
    assert row["files"] == ["checkpoint.safetensors"]


def test_curves_of_seeds_are_one_line_in_a_band(runs: Path) -> None:
    make(runs / "c1", seed=1)
    make(runs / "c2", seed=2)
    losses, metrics = zoo.plot_runs("runs/c1", "runs/c2", "runs/a-2").axes
    assert [len(axes.lines) for axes in (losses, metrics)] == [2, 2]
    assert len(metrics.collections) == 1
    assert metrics.get_ylabel() == "val accuracy"
    assert zoo.plot_runs("runs/c1", metric="val.loss").axes[1].get_ylabel() == "val loss"
    with pytest.raises(OptionError, match=r"no run has the metric 'val\.f1'"):
        zoo.plot_runs("runs/c1", metric="val.f1")
    with pytest.raises(RunError, match="finished epoch"):
        zoo.plot_runs("runs/sweep/b")


def test_epochs_are_whole_numbers_and_a_single_one_is_seen(runs: Path) -> None:
    metrics = zoo.plot_runs("runs/a-2", "runs/a-10").axes[1]  # of three epochs, and of one
    assert all(place == int(place) for place in metrics.get_xticks())
    assert [line.get_marker() for line in metrics.lines] == ["", "."]


def labels(*runs: str | Path) -> list[str]:
    (legend,) = zoo.plot_runs(*runs).legends
    return [text.get_text() for text in legend.get_texts()]


def test_runs_with_the_same_seed_are_drawn_each_with_its_name(tmp_path: Path) -> None:
    runs = [make(tmp_path / name, seed=int(name[-1])) for name in ("a-1", "b-1", "b-2")]
    assert labels(*runs) == [str(run) for run in runs]
    assert labels(*runs[1:]) == [f"{tmp_path}, 2 seeds"]


def test_a_long_legend_ends_with_the_number_of_other_lines(tmp_path: Path) -> None:
    for number in range(23):
        run = make(tmp_path / f"r-{number}", lr=number)
        os.utime(run / "config.toml", (number, number))
    assert labels(tmp_path)[19:] == [f"{tmp_path}/r-3", "and 3 more"]


def test_a_report_is_one_page_with_the_options_that_differ(runs: Path) -> None:
    zoo.report_runs(out="page.html")
    page = Path("page.html").read_text()
    assert "<td>runs/a-2</td>" in page
    assert "<th>lr</th>" in page
    assert "<th>optimizer</th>" not in page
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page


def test_a_report_contains_no_control_characters_of_folder_names(tmp_path: Path) -> None:
    folder = tmp_path / "red: \x1b[31m\nnew"
    make(folder / "a")
    make(folder / "b", lr=0.2)
    zoo.report_runs(folder, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "\x1b" not in page
    assert page.count("red: \\x1b[31m new") == 4  # in the title, the heading and two rows
    assert sorted(labels(folder)) == [f"{tmp_path}/red: \\x1b[31m new/{name}" for name in "ab"]


def test_the_command_shows_a_table_and_json(runs: Path) -> None:
    shown = shell("runs", "--sort", "val.accuracy").stdout.splitlines()
    assert shown[0].split() == ["RUN", "STATUS", "EPOCHS", "VAL", "ACCURACY", "TIME", "SEED", "LR"]
    assert shown[1].split()[:4] == ["runs/a-10", "stopped", "1/2", "80.00%"]
    assert names(json.loads(shell("runs", "list", runs, "--json").stdout)) == names(zoo.list_runs())
    assert shell("runs", "--where", "lr>1").stderr == "zoo: runs has no matching runs\n"
    assert "runs/a-10" in shell("runs", "diff", "runs/a-2", "runs/a-10").stdout
    assert "would be freed" in shell("runs", "prune", "--keep", "last", "--dry-run").stdout
    assert shell("runs", "plot", "runs/a-2", "--out", "x.png").stdout == "wrote x.png\n"
    assert Path("x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("sort", "header", "row"),
    [
        (
            "-val.loss",
            ["VAL", "ACCURACY", "VAL", "LOSS", "TIME", "SEED", "LR"],
            ["70.00%", "0.3000", "0:04", "0", "0.1"],
        ),
        (
            "augment",
            ["VAL", "ACCURACY", "TIME", "SEED", "LR", "AUGMENT"],
            ["70.00%", "0:04", "0", "0.1", "flip"],
        ),
        ("lr", ["VAL", "ACCURACY", "TIME", "SEED", "LR"], ["70.00%", "0:04", "0", "0.1"]),
        ("-epochs", ["VAL", "ACCURACY", "TIME", "SEED", "LR"], ["70.00%", "0:04", "0", "0.1"]),
    ],
)
def test_the_table_has_the_column_to_sort_by(
    runs: Path, sort: str, header: list[str], row: list[str]
) -> None:
    shown = shell("runs", "--sort", sort).stdout.splitlines()
    assert shown[0].split() == ["RUN", "STATUS", "EPOCHS", *header]
    assert shown[1].split() == ["runs/a-2", "finished", "3/3", *row]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["dif", "runs/a-2", "runs/a-10"], "no such folder or command: dif; did you mean 'diff'?"),
        (
            ["plot", "runs/a-2", "--out", "none/x.png"],
            "none/x.png cannot be written: No such file",
        ),
        (["report", "--out", "runs"], "runs cannot be written: Is a directory"),
        (["prune", "--keep", "all"], "--keep must be one of 'best', 'last' (got 'all')"),
        (["--sort", "sped"], "--sort: no run has the key 'sped'; did you mean 'seed'?"),
    ],
)
def test_a_mistake_is_named(runs: Path, typed: list[str], said: str) -> None:
    done = shell("runs", *typed)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith(f"zoo: {said}")


def test_listing_does_not_import_torch(runs: Path) -> None:
    code = "import sys, zoo; zoo.list_runs(); zoo.plot_runs('runs/a-2'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
