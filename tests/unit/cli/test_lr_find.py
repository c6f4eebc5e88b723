"""`zoo lr-find` as a user types it."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex

import pytest

from tests.shell import zoo
from zoo.tools.lr_find.lr_finder import lr_find

SMALL = (
    "--model", "hidden_size=16", "--model", "num_layers=1", "--batch-size", "8",
    "--steps", "25",
)  # fmt: skip


@pytest.fixture
def desk(text_file, tmp_path):
    """A folder with a text in it."""
    (tmp_path / "fox.txt").write_bytes(text_file.read_bytes())
    return tmp_path


def find(desk, *arguments, **environment):
    return zoo(
        "lr-find", "lstm", "files", "--data", "paths=fox.txt", *SMALL, *arguments, cwd=desk, **environment
    )


def test_it_prints_three_suggestions_and_the_command_to_train_with(desk):
    done = find(desk, "--seed", "3")
    assert done.returncode == 0, done.stderr
    header, *rows, end, command = done.stdout.splitlines()
    assert header.split() == ["SUGGESTION", "LR", "MEANING"]
    assert [row.split()[0] for row in rows] == ["minimum", "valley", "steep"]
    assert re.fullmatch(
        r"ran (25|2[0-4]|1\d) steps; the loss (did not diverge|diverged at a learning rate of \S+)", end
    )
    first = rows[0].split()[1]
    assert command == (
        "zoo train lstm files --model hidden_size=16 --model num_layers=1 --data paths=fox.txt "
        f"--seed 3 --batch-size 8 --lr {first}"
    )
    assert done.stderr == "trying learning rates from 1e-06 to 10: charrnn/lstm on text/files\n"


def test_the_first_suggestion_depends_on_how_the_model_is_trained(desk, lstm_file):
    def first(*arguments):
        words = ("lr-find", "lstm", "files", "--data", "paths=fox.txt", "--batch-size", "8", "--steps", "25")
        found = json.loads(zoo(*words, "--json", *arguments, cwd=desk).stdout)
        lowest = min(found["curve"][len(found["curve"]) // 10 :], key=lambda point: point[1])[0]
        return found["suggestions"]["minimum"] / lowest

    assert first(*SMALL) == pytest.approx(1 / 8)
    assert first(*SMALL, "--schedule", "constant") == pytest.approx(1 / 20)
    assert first(*SMALL, "--optimizer", "sgd") == pytest.approx(1 / 2)
    assert first(*SMALL, "--optimizer", "sgd", "--schedule", "constant") == pytest.approx(1 / 5)
    assert first("--from", str(lstm_file), "--optimizer", "adam") == pytest.approx(1 / 20)


@pytest.mark.parametrize("arguments", [[], ["--optimizer", "lion", "--optimizer-option", "beta2=0.98"]])
def test_the_printed_command_runs(desk, arguments):
    command = shlex.split(find(desk, *arguments).stdout.splitlines()[-1])
    done = zoo(*command[1:], "--epochs", "1", "--json", cwd=desk)
    assert done.returncode == 0, done.stderr


def test_json_is_one_document_with_suggestions_and_curve(desk):
    done = find(desk, "--json")
    found = json.loads(done.stdout)
    assert found["suggestions"].keys() == {"steep", "valley", "minimum"}
    assert all(lr > 0 for lr in found["suggestions"].values())
    assert len(found["curve"]) == len(found["losses"]) <= 25
    assert found["curve"][0] == pytest.approx([1e-6, found["losses"][0]])
    assert found["plot"] is None
    assert done.stdout == find(desk, "--json").stdout != find(desk, "--json", "--seed", "1").stdout


def test_a_recipe_is_tested_with_its_own_options(desk):
    (desk / "registry.toml").write_text(
        'schema = 1\n[recipes.fox]\narchitecture = "lstm"\ndataset = "files"\ndata = { paths = "fox.txt" }\n'
        "model = { hidden_size = 16, num_layers = 1 }\ntrain = { batch_size = 8 }\n"
    )
    done = zoo("lr-find", "fox", "--steps", "25", "--json", cwd=desk)
    assert done.stdout == find(desk, "--json").stdout
    assert (
        zoo("lr-find", "fox", "--steps", "25", cwd=desk)
        .stdout.splitlines()[-1]
        .startswith("zoo train fox --")
    )


def test_it_starts_from_weights_as_train_does(desk, lstm_file):
    done = find(desk, "--from", lstm_file, "--json")
    assert "starting from" in done.stderr
    assert json.loads(done.stdout)["losses"][0] < 0.95 * json.loads(find(desk, "--json").stdout)["losses"][0]
    assert (
        f" --from {lstm_file} --batch-size 8 --lr " in find(desk, "--from", lstm_file).stdout.splitlines()[-1]
    )


def test_no_file_is_written_except_the_plot(desk):
    before = sorted(desk.rglob("*"))
    find(desk)
    assert sorted(desk.rglob("*")) == before
    done = find(desk, "--plot", "lr.png", "--json")
    assert sorted(desk.rglob("*")) == sorted([*before, desk / "lr.png"])
    assert json.loads(done.stdout)["plot"] == "lr.png"
    assert (desk / "lr.png").read_bytes().startswith(b"\x89PNG")


def test_a_pipe_is_written_into(desk):
    os.mkfifo(desk / "pipe")
    reader = os.open(desk / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    find(desk, "--plot", "pipe")
    assert os.read(reader, 4) == b"\x89PNG"
    os.close(reader)


def test_ctrl_c_prints_one_line_and_writes_nothing(desk, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.console.progress.Bar.__call__", interrupt)
    before = sorted(desk.rglob("*"))
    done = find(desk, "--plot", "lr.png")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[1:] == ["zoo: interrupted"]
    assert sorted(desk.rglob("*")) == before


@pytest.mark.filterwarnings("ignore:the loss fell by only:zoo.ZooWarning")
@pytest.mark.parametrize(("images", "steps"), [(400, 100), (4_800, 120)])
def test_the_number_of_steps_follows_from_the_epoch(images: int, steps: int) -> None:
    curve = lr_find(
        "mlp",
        "shapes",
        data={"train_size": images, "size": 16, "clutter": 0},
        batch_size=10,
        start=1e-4,
        stop=0.1,
        progress=False,
    )
    assert not curve.diverged
    assert len(curve.points) == steps, "a quarter of an epoch, and at least 100"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_plot_in_a_read_only_folder_is_refused(desk):
    (desk / "closed").mkdir(mode=0o500)
    assert "the folder closed is not writable" in find(desk, "--plot", "closed/lr.png").stderr


def test_it_has_the_options_of_train_and_shows_its_defaults():
    out = " ".join(zoo("lr-find", "--help").stdout.split())
    for option in ("--model", "--data", "--batch-size", "--from", "--seed", "--device", "--json"):
        assert f" {option} " in out
    assert "--run" not in out
    assert "--resume" not in out
    for name in ("start", "stop", "steps"):
        default = inspect.signature(lr_find).parameters[name].default
        assert re.search(rf"--{name} [^\[]*\[default: {default}\]", out), name


def test_progress_is_shown_on_stderr_when_it_takes_long(desk, monkeypatch):
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("zoo.console.progress.time.monotonic", lambda: next(clock))
    lines = [line for line in find(desk).stderr.splitlines() if line.startswith("lr-find ")]
    assert len(lines) > 4
    line = r"lr-find +\d+%  \d+\.\d steps/s  \d+:\d\d left  lr \d\.\de-\d\d  loss \d\.\d{4}"
    assert re.fullmatch(line, lines[0])


def test_a_terminal_shows_a_live_line(desk, monkeypatch):
    monkeypatch.setattr("zoo.console.progress._SHORT", 0.0)
    done = find(desk, env={"TTY_COMPATIBLE": "1", "COLUMNS": "100"})
    assert "\x1b[" in done.stderr
    assert re.search(r"lr \d\.\de", done.stderr)
    assert "\x1b" not in done.stdout
