"""Seeds and sweeps: what they try, that they continue, and that the way they run changes no result."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import joblib
import pytest
from safetensors.numpy import load_file

import zoo
from tests.shell import zoo as shell
from zoo.errors import Diverged, OptionError, RunError, SpecError
from zoo.tools.sweep.importance import importance
from zoo.tools.sweep.search_methods import draw, rungs, search
from zoo.tools.sweep.search_space import Range, grid, parse_space
from zoo.tools.sweep.seed_runs import t_interval
from zoo.tools.sweep.study import with_options

SMALL = {"size": 16, "train_size": 120, "val_size": 60, "test_size": 20}
QUICK: dict[str, Any] = {"data": SMALL, "epochs": 1, "batch_size": 20, "model": {"widths": [4]}}
OVER = {"lr": [0.05, 0.2], "model.widths": "4,8"}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the folder `grid`, which has a finished sweep of four trials."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")  # which would be the number of threads of a single run
        sweep(folder / "grid")
    return folder


@pytest.fixture
def copied(swept: Path, tmp_path: Path) -> Path:
    """Return a copy of that sweep, to change."""
    return shutil.copytree(swept / "grid", tmp_path / "grid")


def sweep(folder: Path, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"over": OVER, "progress": False, "run": folder, **QUICK, **changes}
    return zoo.sweep("mlp", "shapes", **arguments)


def table(found: Any) -> list[dict[str, Any]]:
    """Return the rows without the folder."""
    return [{**row, "run": Path(row["run"]).name} for row in found.trials]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-4..1e-1:log", Range(1e-4, 0.1, log=True)),
        ("0.5..2", Range(0.5, 2.0)),
        ("2..10", Range(2, 10)),
        ("-3..3", Range(-3, 3)),
        ("128,256", ("128", "256")),
        ("sgd, adamw", ("sgd", "adamw")),
        ([8, 16], (8, 16)),
    ],
)
def test_values_are_lists_or_ranges(text: Any, values: Any) -> None:
    assert parse_space({"x": text}) == {"x": values}


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, "a sweep must vary at least one option"),
        ({"lr": "0.1"}, r"at least two values, all different, or a range \(got '0\.1'\)"),
        ({"lr": "1..2..3"}, r"at least two values, all different, or a range \(got '1\.\.2\.\.3'\)"),
        ({"lr": [0.1, 0.1]}, r"at least two values, all different, or a range \(got \[0\.1, 0\.1\]\)"),
        ({"lr": "0.1..0.01"}, r"the range 0\.1\.\.0\.01 must increase"),
        ({"lr": "0..1:log"}, "must increase from a number greater than 0"),
        ({"lr": 0.1}, "over lr must be a list or a range"),
        (
            {"optimizer.beta2": [0.9, 0.99]},
            r"unknown option optimizer\.beta2; did you mean 'optimizer_options\.beta2'\?",
        ),
        ({"lr.x": [0.9, 0.99]}, r"unknown option lr\.x\n"),
    ],
)
def test_what_is_no_list_or_range_is_refused(over: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_space(over)


def test_a_grid_has_every_combination_and_no_ranges() -> None:
    points = [*grid(parse_space({"a": [1, 2], "b": "x,y"}))]
    assert points == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]
    with pytest.raises(OptionError, match="the grid method requires a list of values for lr"):
        next(grid(parse_space({"lr": "0.1..0.2"})))


def test_random_points_depend_on_the_seed_alone() -> None:
    space = parse_space({"lr": "1e-4..1e-1:log", "epochs": "1..3", "model.widths": "4,8"})
    points = draw(space, 50, seed=1)
    assert draw(space, 20, seed=1) == points[:20]
    assert draw(space, 50, seed=2) != points
    assert all(1e-4 <= point["lr"] <= 0.1 and point["epochs"] in (1, 2, 3) for point in points)
    below = sum(point["lr"] < 0.00316 for point in points)  # the middle of the logarithms
    assert 10 <= below <= 40


def test_halving_doubles_the_epochs_for_half_of_the_runs() -> None:
    assert rungs(27, 40) == [2, 5, 10, 20, 40]
    assert rungs(9, 16) == [2, 4, 8, 16]
    assert rungs(10, 1) == [1]
    assert rungs(1, 9) == [9]


def test_a_sweep_trains_every_combination_and_names_the_best(swept: Path) -> None:
    found = sweep(swept / "grid")  # finished, so nothing is trained
    assert [row["options"] for row in found.trials] == [
        {"lr": 0.05, "model.widths": 4},
        {"lr": 0.05, "model.widths": 8},
        {"lr": 0.2, "model.widths": 4},
        {"lr": 0.2, "model.widths": 8},
    ]
    accuracies = [row["metrics"]["val"]["accuracy"] for row in found.trials]
    assert found.best["metrics"]["val"]["accuracy"] == max(accuracies)
    assert len({*accuracies}) > 1
    assert sum(found.importance.values()) == pytest.approx(1)
    for row in found.trials:
        recipe = zoo.Run(row["run"]).recipe
        assert (recipe.train["lr"], recipe.threads) == (row["options"]["lr"], 1)
    assert found.plot().axes[0].get_xlabel() in OVER


def test_a_sweep_varies_the_options_of_an_optimizer(tmp_path: Path) -> None:
    over = {"optimizer_options.beta2": "0.5,0.9"}
    found = sweep(tmp_path / "lion", over=over, optimizer="lion", optimizer_options={"beta2": 0.99})
    assert [row["options"] for row in found.trials] == [{"optimizer_options.beta2": b} for b in (0.5, 0.9)]
    trained = [zoo.Run(row["run"]).recipe.train["optimizer_options"] for row in found.trials]
    assert trained == [{"beta2": 0.5}, {"beta2": 0.9}]
    assert f"optimizer_options]\nbeta2 = {found.best['options']['optimizer_options.beta2']}" in found.recipe


def test_any_table_of_options_can_be_varied() -> None:
    training = {"lr": 0.1, "lr_scales": {"stem": 2.0}}
    merged = with_options(training, {"lr": 0.2, "lr_scales.out": 5.0, "augment_options.crop.p": 1})
    assert merged == {
        "lr": 0.2,
        "lr_scales": {"stem": 2.0, "out": 5.0},
        "augment_options": {"crop.p": 1},
    }
    assert training == {"lr": 0.1, "lr_scales": {"stem": 2.0}}


def test_an_interrupted_sweep_continues_to_the_same_table(swept: Path, copied: Path) -> None:
    finished = (copied / "trial-1" / "model.safetensors").stat().st_mtime_ns
    shutil.rmtree(copied / "trial-3")
    found = sweep(copied)
    assert table(found) == table(sweep(swept / "grid"))
    assert (copied / "trial-1" / "model.safetensors").stat().st_mtime_ns == finished


@pytest.mark.slow  # in processes
def test_several_jobs_make_the_same_table(swept: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # trials have the number of threads of their recipe
    assert table(sweep(tmp_path / "two", jobs=2)) == table(sweep(swept / "grid"))


def test_a_finished_sweep_with_several_jobs_only_reads_its_runs(swept: Path) -> None:
    assert table(sweep(swept / "grid", jobs=2)) == table(sweep(swept / "grid"))


def test_another_sweep_in_the_folder_is_refused(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"contains runs with other options \(over: .*0\.05,0\.2.* is now .*0\.1,0\.2"
    ):
        sweep(copied, over={**OVER, "lr": [0.1, 0.2]})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="contains other files"):
        sweep(tmp_path / "other")


def test_a_mistake_leaves_no_definition_that_stops_the_next_try(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no_such_option"):
        sweep(tmp_path / "x", over={"no_such_option": [1, 2]})
    assert len(sweep(tmp_path / "x", over={"lr": [0.05, 0.2]}).trials) == 2


def test_a_wrong_value_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="lr must be a number"):
        sweep(tmp_path / "x", over={"lr": "0.1,abc"})
    with pytest.raises(OptionError, match="no_such_option"):
        sweep(tmp_path / "x", no_such_option=1)
    assert not [*tmp_path.glob("*/trial-*")]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file/x cannot be created: Not a directory"):
        sweep(tmp_path / "file" / "x")


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"data.flod": "0..1"}, "flod"),
        ({"data.fold": "0..3"}, "fold must be at most 2, because folds=3"),
        ({"data.fold": "0..3", "lr": "0.01..0.1"}, "fold must be at most 2, because folds=3"),
        ({"data.fold": "1,2", "data.folds": "3,2"}, "fold must be at most 1, because folds=2"),
        ({"model.hidden_size": "4,four"}, "hidden_size"),
        ({"model.hiden_size": "4,8"}, "hiden_size"),
        ({"lr": "-1..0.1"}, "lr must be"),
    ],
)
def test_a_wrong_value_of_the_data_or_the_model_is_found_before_the_first_trial(
    over: dict[str, str], message: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 40)
    data = {"paths": "own.txt", "folds": 3}
    with pytest.raises(OptionError, match=message):
        zoo.sweep("rnn", "files", over=over, data=data, run="x", epochs=1)
    assert not [*tmp_path.glob("x/trial-*")]
    if len(over) == 1:
        assert capsys.readouterr().err == "", "the title is for a sweep that begins"


def test_tpe_learns_the_same_from_runs_that_were_made_before(tmp_path: Path) -> None:
    how: dict[str, Any] = {"over": {"lr": "1e-3..1:log"}, "method": "tpe", "round_size": 4}
    whole = sweep(tmp_path / "a", trials=13, **how)  # the first ten are random
    sweep(tmp_path / "b", trials=11, **how)
    assert table(sweep(tmp_path / "b", trials=13, **how)) == table(whole)


class Made:
    """A study without runs: the score of a point is how far its rate is from 0.01, in orders of magnitude."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []

    def add(self, points: Iterable[dict[str, Any]]) -> None:
        self.points += points

    def run(self, numbers: Sequence[int], report: object) -> None:
        pass

    def score(self, number: int) -> tuple[float, float]:
        distance = abs(math.log10(self.points[number]["lr"]) + 2)
        return distance, distance


def test_tpe_tries_what_was_good_before() -> None:
    study: Any = Made()
    space = parse_space({"lr": "1e-6..1:log"})
    search(study, space, method="tpe", trials=50, round_size=5, seed=0, report=print)
    scores = [study.score(number)[0] for number in range(50)]
    assert median(scores[-20:]) < 0.5 * median(scores[:10])


def test_the_option_that_the_best_trials_share_is_the_important_one() -> None:
    space = parse_space({"a": "0.0..1.0", "b": "0.0..1.0"})
    points = draw(space, 100, seed=0)
    scored = [(point, 0.0 if point["a"] < 0.1 else 1 + point["b"]) for point in points]
    shares = importance(space, scored)  # `b` decides which trials are the worst
    assert [*shares] == ["a", "b"]
    assert shares["a"] > 0.8


def test_options_of_trials_that_are_all_equally_good_are_equally_important() -> None:
    space = parse_space({"a": "0.0..1.0", "b": "0.0..1.0"})
    scored = [(point, 1.0) for point in draw(space, 4, seed=0)]
    assert importance(space, scored) == {"a": 0.5, "b": 0.5}


def test_options_that_another_version_of_optuna_chose_are_not_mixed_with_others(tmp_path: Path) -> None:
    how: dict[str, Any] = {"over": {"lr": "1e-3..1:log"}, "trials": 2}
    sweep(tmp_path / "a", **how)
    definition = json.loads((tmp_path / "a" / "sweep.json").read_text())
    definition["points"][1]["lr"] = "0.5"
    (tmp_path / "a" / "sweep.json").write_text(json.dumps(definition))
    with pytest.raises(
        RunError, match=r"trial 2 of .* has the options \{'lr': '0.5'\}, but Optuna now chooses"
    ):
        sweep(tmp_path / "a", **how)


def test_a_run_that_survives_halving_is_the_run_that_was_never_stopped(tmp_path: Path) -> None:
    how = {**QUICK, "epochs": 3}
    found = sweep(tmp_path / "halving", over={"lr": [0.02, 0.1, 0.4]}, method="halving", epochs=3)
    assert sorted(row["epochs"] for row in found.trials) == [2, 3, 3]
    assert found.best["epochs"] == 3
    run = zoo.train(
        "mlp",
        "shapes",
        run=tmp_path / "plain",
        progress=False,
        threads=1,
        lr=found.best["options"]["lr"],
        **how,
    )
    ours, theirs = (
        load_file(Path(place) / "model.safetensors") for place in (found.best["run"], run.directory)
    )
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
    with pytest.raises(OptionError, match="the halving method cannot vary the number of epochs"):
        sweep(tmp_path / "e", over={"epochs": [1, 2]}, method="halving")


def test_a_trial_that_somebody_resumed_counts_as_far_as_halving_trained_it(tmp_path: Path) -> None:
    how: dict[str, Any] = {"over": {"lr": [0.02, 0.1, 0.4]}, "method": "halving", "epochs": 3}
    found = sweep(tmp_path / "x", **how)
    before, best = table(found), found.best
    (stopped,) = (row["run"] for row in found.trials if row["status"] == "stopped")
    zoo.resume(stopped, progress=False)
    assert len(zoo.Run(stopped).history) == 3
    again = sweep(tmp_path / "x", **how)
    assert (table(again), again.best) == (before, best)
    assert again.importance == found.importance


def test_a_trial_that_diverges_is_shown_and_is_never_the_best(tmp_path: Path) -> None:
    over = {"lr": [0.05, 1e30]}
    found = sweep(tmp_path / "x", over=over, clip_grad_norm=0.0)
    assert [row["status"] for row in found.trials] == ["finished", "diverged"]
    assert found.best["trial"] == 1
    again = sweep(tmp_path / "x", over=over, clip_grad_norm=0.0)
    assert table(again) == table(found)
    with pytest.raises(OptionError, match="every trial diverged"):
        _ = sweep(tmp_path / "y", over={"lr": [1e30, 2e30]}, clip_grad_norm=0.0).best


def test_data_without_validation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="compares runs on validation data, which this dataset lacks"):
        sweep(tmp_path / "x", data={**SMALL, "val_size": 0}).best  # noqa: B018


def test_the_best_trial_is_printed_as_a_recipe_that_trains_it_again(
    swept: Path, tmp_path: Path, monkeypatch
) -> None:
    found = sweep(swept / "grid")
    monkeypatch.chdir(tmp_path)
    Path("registry.toml").write_text(f"schema = 1\n{found.recipe}")
    run = zoo.train("grid", run=tmp_path / "run", progress=False)
    assert run.history[-1]["val"] == found.best["metrics"]["val"]
    again, first = run.recipe, zoo.Run(found.best["run"]).recipe
    assert (again.model, again.train, again.seed) == (first.model, first.train, first.seed)


def test_several_jobs_need_the_discovered_registry(tmp_path: Path) -> None:
    custom = zoo.Registry.discover(files=[])
    with pytest.raises(OptionError, match="jobs must be 1 with a custom registry"):
        sweep(tmp_path / "x", jobs=2, registry=custom)


@pytest.mark.parametrize("on", ["cluster", "dask://", "ssh://host:1"])
def test_an_unknown_place_is_refused(on: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="on must be local, dask://HOST:PORT or ray://HOST:PORT"):
        sweep(tmp_path / "x", on=on)


@pytest.mark.parametrize(("on", "module"), [("dask://h:1", "distributed"), ("ray://h:1", "ray")])
def test_a_missing_package_is_named_with_its_extra(on: str, module: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SpecError, match=f"this requires {module}, which is not installed") as caught:
        sweep(tmp_path / "x", on=on)
    assert f"zoo-registry[{on.partition(':')[0]}]" in str(caught.value.hint)


def test_a_dask_worker_gives_the_same_table(swept: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "protocol": "tcp"}
    # a free port for the dashboard: another test run on this machine may use the default one
    with distributed.LocalCluster(dashboard_address=":0", **how) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        found = sweep(tmp_path / "dask", on=f"dask://{address}")
    assert table(found) == table(sweep(swept / "grid"))


def test_ray_gets_the_address_and_one_task_for_each_trial(swept: Path, tmp_path: Path, monkeypatch) -> None:
    connected: list[str] = []
    ray = SimpleNamespace(
        is_initialized=lambda: bool(connected), init=lambda address, **_: connected.append(address)
    )
    backend = joblib.parallel.ThreadingBackend
    registering = SimpleNamespace(register_ray=lambda: joblib.register_parallel_backend("ray", backend))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.util.joblib", registering)
    found = sweep(tmp_path / "ray", on="ray://head:10001", jobs=1)
    assert connected == ["ray://head:10001"]
    assert table(found) == table(sweep(swept / "grid"))


def test_a_cluster_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("zoo.tools.sweep.workers._PATIENCE", 0.2)
    with pytest.raises(RunError, match=r"no Dask scheduler answers at 127\.0\.0\.1:9"):
        sweep(tmp_path / "x", on="dask://127.0.0.1:9")


def test_seeds_give_a_mean_and_an_interval_and_more_can_be_added(tmp_path: Path) -> None:
    how: dict[str, Any] = {"run": tmp_path / "seeds", "progress": False, **QUICK}
    one = zoo.train_seeds("mlp", "shapes", seeds=1, seed=3, **how)
    assert (one.sd, one.interval) == ({}, {})
    two = zoo.train_seeds("mlp", "shapes", seeds=2, seed=3, **how)
    assert [Path(run).name for run in two.runs] == ["seed-3", "seed-4"]
    losses = [zoo.Run(run).history[-1]["val"]["loss"] for run in two.runs]
    assert one.mean["val"]["loss"] == losses[0] != losses[1]
    assert two.mean["val"]["loss"] == pytest.approx(sum(losses) / 2)
    assert two.sd["val"]["loss"] == pytest.approx(abs(losses[0] - losses[1]) / 2**0.5)
    low, high = two.interval["val"]["loss"]
    assert low < min(losses) < max(losses) < high
    assert [zoo.Run(run).recipe.seed for run in two.runs] == [3, 4]
    with pytest.raises(RunError, match="contains runs with other options"):
        zoo.train_seeds("mlp", "shapes", seeds=2, seed=3, **{**how, "epochs": 2})


def test_seeds_and_sweeps_show_their_progress(swept: Path, tmp_path: Path, capsys) -> None:
    zoo.train_seeds("mlp", "shapes", seeds=1, run=tmp_path, **QUICK)
    assert f"1 seeds in {tmp_path}" in capsys.readouterr().err
    zoo.sweep("mlp", "shapes", over=OVER, run=swept / "grid", **QUICK)
    assert "sweep of lr, model.widths by grid in" in capsys.readouterr().err


def test_the_interval_is_students() -> None:
    low, high = t_interval([1.0, 2.0, 3.0])
    assert (low, high) == (pytest.approx(2 - 4.302653 / 3**0.5), pytest.approx(2 + 4.302653 / 3**0.5))


def test_the_error_of_a_trial_names_no_run_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be built") as caught:
        sweep(tmp_path / "x", over={"model.widths": "4,99999999999"})
    assert caught.value.hint is None


def test_a_seed_that_diverges_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Diverged):
        zoo.train_seeds(
            "mlp", "shapes", seeds=2, run=tmp_path / "x", progress=False, lr=1e30, clip_grad_norm=0.0, **QUICK
        )


WORDS = (
    *("mlp", "shapes", "--epochs", "1", "--batch-size", "20", "--model", "widths=4", "--quiet"),
    *(word for key, value in SMALL.items() for word in ("--data", f"{key}={value}")),
)


def test_the_command_prints_a_table_and_a_recipe(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    line = ("sweep", *WORDS, "--over", "lr=0.05,0.2", "--over", "seed=0,1")
    done = shell(*line)
    assert zoo.Run("runs/mlp-shapes-sweep/trial-1").recipe.threads == 1
    assert (done.returncode, done.stderr) == (0, "")
    header = ["TRIAL", "STATUS", "EPOCHS", "VAL", "ACCURACY", "LR", "SEED"]
    assert done.stdout.splitlines()[0].split() == header
    assert [line.split()[:2] for line in done.stdout.splitlines()[6:9]] == [
        ["LR", "TRIALS"],
        ["0.05", "2"],
        ["0.2", "2"],
    ]
    assert "4 trials are too few for a reliable importance" in done.stdout
    assert "[recipes.mlp-shapes-sweep.train]" in done.stdout
    assert Path("runs/mlp-shapes-sweep/sweep.png").stat().st_size > 1000
    answer = json.loads(shell(*line, "--json").stdout)
    assert [row["options"]["lr"] for row in answer["trials"]] == [0.05, 0.05, 0.2, 0.2]
    assert answer["best"].keys() == {"run", "options", "metrics"}


def test_train_with_seeds_prints_a_row_for_each_metric(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell("train", *WORDS, "--seeds", "2")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["METRIC", "MEAN", "SD", "95%", "INTERVAL", "OF", "THE", "MEAN"]
    named = [" ".join(line.split()[:2]) for line in lines[1:]]
    assert [name for name in named if name.endswith((" accuracy", " loss"))] == [
        *("train accuracy", "train loss"),
        *("val accuracy", "val loss"),
    ]
    answer = json.loads(shell("train", *WORDS, "--seeds", "2", "--json").stdout)
    assert answer.keys() == {"runs", "mean", "sd", "interval"}
    assert answer["runs"] == ["runs/mlp-shapes-seeds/seed-0", "runs/mlp-shapes-seeds/seed-1"]
    found = zoo.train_seeds("mlp", "shapes", seeds=2, progress=False, **QUICK)
    assert found.runs == answer["runs"]  # Python continues what the command began
    refused = shell("train", *WORDS, "--seeds", "2", "--stop-after", "1")
    assert refused.stderr == "zoo: --seeds cannot be combined with --stop-after\n"


@pytest.mark.parametrize(
    ("line", "module"),
    [
        (("sweep", *WORDS, "--over", "lr=0.01..0.1", "--trials", "2"), "optuna"),
        (("sweep", *WORDS, "--over", "lr=0.1,0.2,0.3,0.4"), "optuna"),
        (("sweep", *WORDS, "--over", "seed=0..1"), "scipy.stats"),
        (("train", *WORDS, "--seeds", "2"), "scipy.stats"),
    ],
)
def test_without_the_extra_seeds_and_sweeps_train_nothing_and_name_it(
    line: tuple[str, ...], module: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    done = shell(*line)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"zoo: this requires {module}, which is not installed",
        '     `pip install "zoo-registry[sweep]"` installs it',
    ]
    assert not Path("runs").exists()


def test_a_range_of_folds_is_cross_validation_with_a_mean_and_an_interval(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 40)
    words = ("--data", "paths=own.txt", "--data", "folds=3", "--model", "hidden_size=4", "--epochs", "1")
    line = ("sweep", "rnn", "files", *words, "--over", "data.fold=0..2")
    done = shell(*line)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [row[-2] if row[-1] == "best" else row[-1] for row in lines[1:4]] == ["0", "1", "2"]
    assert lines[5][:3] == ["TRIALS", "MEAN", "VAL"]
    assert "recipe" not in done.stdout
    found = json.loads(shell(*line, "--json").stdout)
    values = [row["metrics"]["val"]["loss"] for row in found["trials"]]
    (mean,) = found["means"]
    assert mean == {
        "options": {},
        "trials": 3,
        "mean": pytest.approx(sum(values) / 3),
        "interval": pytest.approx(t_interval(values)),
    }
    done = shell(*line, "--over", "data.train_share=0.2,1", "--run", "curve", "--json")
    means = json.loads(done.stdout)["means"]
    assert [(row["options"], row["trials"]) for row in means] == [
        ({"data.train_share": 0.2}, 3),
        ({"data.train_share": 1.0}, 3),
    ]
    assert means[0]["mean"] > means[1]["mean"], "less text, a higher loss"
