"""Progress on a terminal, in a notebook and elsewhere, and --quiet."""

from __future__ import annotations

import json
import re
import shlex
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.shell import SMALL_LSTM, SMALL_NET, SMALL_SHAPES, zoo
from zoo.cli import COMMANDS, cli
from zoo.console.progress import Bar, TrainingProgress
from zoo.console.reports import Progress
from zoo.files.work import report_work

STEP = Progress(
    epoch=1,
    epochs=12,
    batch=3,
    batches=10,
    loss=1.25,
    lr=0.1,
    rate=41234.5,
    left=75.0,
    unit="characters",
    units={"accuracy": "%"},
)
TITLE = "training lstm on text in runs/x[/y]"


def ended(epoch: int, loss: float, *, best: int | None, split: str = "val", **metrics: float) -> Progress:
    measured = {"loss": loss, "bits_per_char": 1.5 * loss, "perplexity": 2 * loss, **metrics}
    clock = {"rate": 41234.5, "seconds": 61.0}
    return replace(STEP, epoch=epoch, row={"train": measured, split: measured, "clock": clock}, best=best)


EPOCHS = [ended(1, 3.5, best=1), ended(2, 2.25, best=2), ended(12, 2.75, best=2)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock finds it a second later."""
    seconds = iter(range(100, 10**6))
    monkeypatch.setattr("zoo.console.progress.time.monotonic", lambda: float(next(seconds)))


@pytest.fixture(params=[60, 80])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, clock: None) -> int:
    """A terminal of this width."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return request.param


def train(capsys: pytest.CaptureFixture[str], *reports: Progress, **options: Any) -> str:
    with TrainingProgress(TITLE, **options) as report:
        for progress in reports:
            report(progress)
    return capsys.readouterr().err


def screen(err: str) -> list[str]:
    """Return the lines of a terminal's output, and each state of the one that changes."""
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", err).replace("\r", "\n")
    return [line for line in text.splitlines() if line.strip()]


def test_each_epoch_is_a_row_under_one_header(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(capsys, STEP, *EPOCHS).splitlines() == [
        TITLE,
        "epoch  train loss  val loss   char/s   time  best",
        " 1/12      3.5000    3.5000   41,234   1:01     *",
        " 2/12      2.2500    2.2500   41,234   1:01     *",
        "12/12      2.7500    2.7500   41,234   1:01",
    ]


def test_a_primary_metric_other_than_the_loss_has_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    images = replace(ended(1, 0.5, best=1, accuracy=0.8125), shown=("accuracy",), unit="images")
    header, row = train(capsys, images).splitlines()[1:]
    assert header == "epoch  train loss  val loss  val accuracy    img/s   time  best"
    assert row == " 1/12      0.5000    0.5000        81.25%   41,234   1:01     *"


def test_all_metrics_are_columns_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    header, row = train(capsys, *EPOCHS[:1], all_metrics=True).splitlines()[1:]
    assert header == "epoch  train loss  val loss  bits per char  perplexity   char/s   time  best"
    assert row.split() == ["1/12", "3.5000", "3.5000", "5.2500", "7.0000", "41,234", "1:01", "*"]


def test_a_test_split_measured_at_the_end_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    last = ended(12, 2.0, best=None, split="test", accuracy=0.5)
    assert last.row is not None
    first = replace(last, row={key: value for key, value in last.row.items() if key != "test"}, epoch=1)
    lines = train(capsys, first, last).splitlines()
    assert lines[1].split() == ["epoch", "train", "loss", "char/s", "time"]
    assert lines[-1] == "test: accuracy 50.00%, loss 2, bits per char 3, perplexity 4"


def test_on_a_terminal_the_table_and_the_line_that_changes_fit(
    capsys: pytest.CaptureFixture[str], terminal: int
) -> None:
    err = train(capsys, STEP, *EPOCHS, all_metrics=True)
    lines = screen(err)
    assert max(map(len, lines[1:])) <= terminal
    assert any("epoch 1/12" in line and "loss 1.2500  41,234 char/s  1:15 left" in line for line in lines)
    (header,) = [line for line in lines if "perplexity" in line]
    assert ("bits per char" in header) == (terminal == 80), "words stand below each other if they do not fit"
    row = next(line for line in lines if line.startswith("12/12"))
    assert header.index("perplexity") + len("perplexity") == row.index("5.5000") + len("5.5000")


@pytest.mark.usefixtures("terminal")
def test_colors_are_calm_and_gone_with_no_color(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def colors() -> set[str]:
        with Bar() as bar:
            for done in range(3):
                bar("evaluating", done, 4)
        return set(re.findall(r"\x1b\[([\d;]+)m", train(capsys, STEP, *EPOCHS)))

    assert colors() == {"36", "90", "0"}, "cyan, gray"
    monkeypatch.setenv("NO_COLOR", "1")
    assert colors() <= {"2", "0"}


@pytest.mark.usefixtures("clock")
def test_elsewhere_a_long_epoch_prints_a_plain_line_every_15_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = train(capsys, *[STEP] * 20, *EPOCHS).splitlines()
    progress = "epoch 1/12   30%  loss 1.2500  41,234 char/s  1:15 left"
    assert lines[1:-4] == [progress] * 2


def test_work_shows_its_rate_and_the_time_left(capsys: pytest.CaptureFixture[str], terminal: int) -> None:
    with Bar() as bar:
        for done in range(0, 6_001, 1_000):
            bar("evaluating", done, 10_000, "images", "loss 1.5")
    lines = screen(capsys.readouterr().err)
    assert max(map(len, lines)) <= terminal
    assert re.fullmatch(r"evaluating +[━╸╺]* +60%  1,000 img/s  0:04 left  loss 1.5 *", lines[-1])


def test_the_rate_of_work_that_was_begun_before_is_that_of_what_is_seen(
    capsys: pytest.CaptureFixture[str], terminal: int
) -> None:
    with Bar() as bar:
        for done in range(50_000, 56_001, 1_000):
            bar("evaluating", done, 60_000, "images")
    last = screen(capsys.readouterr().err)[-1]
    assert re.fullmatch(r"evaluating +[━╸╺]* +93%  1,000 img/s  0:04 left *", last)


@pytest.mark.usefixtures("clock")
def test_the_bar_takes_what_the_texts_leave_of_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for columns, least, most in ((100, 15, 30), (50, 2, 14), (30, 0, 1)):
        monkeypatch.setenv("COLUMNS", str(columns))
        with Bar() as bar:
            for done in range(0, 6_001, 1_000):
                bar("evaluating", done, 10_000, "images")
        line = screen(capsys.readouterr().err)[-1]
        assert least <= len(re.findall("[━╸╺]", line)) <= most
        assert len(line) <= columns
        assert line.startswith("eval")


@pytest.mark.usefixtures("terminal")
def test_work_of_unknown_length_shows_how_much_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar():
        for done in range(4):
            report_work("downloading a.zip", done * 2_000_000, 0, "bytes")
    assert screen(capsys.readouterr().err)[-1].split() == ["downloading", "a.zip", "6.0", "MB", "2.0", "MB/s"]


def test_short_work_and_work_that_nobody_listens_to_show_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Bar() as bar:
        for done in range(100):
            bar("evaluating", done, 100)
    report_work("downloading a.zip", 1, 2, "bytes")
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("terminal")
def test_work_in_another_thread_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        for done in range(5):
            report_work("downloading a.zip", done, 5, "bytes")

    with Bar():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert capsys.readouterr() == ("", "")


class Shown:
    """What a notebook shows, as `IPython.display.display` gives it out."""

    def __init__(self) -> None:
        self.states: list[dict[str, str]] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Shown:
        assert raw
        assert display_id
        self.states.append(data)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.states.append(data)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, clock: None) -> Shown:
    shown = Shown()
    shell = SimpleNamespace(kernel=object())
    display = SimpleNamespace(display=shown.display)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_a_notebook_has_a_bar_and_keeps_the_rows(capsys: pytest.CaptureFixture[str], notebook: Shown) -> None:
    assert train(capsys, STEP, *EPOCHS) == ""
    bars = [state["text/html"] for state in notebook.states if "<progress" in state["text/html"]]
    assert 'value="0.300"' in bars[0]
    assert "loss 1.2500" in bars[0]
    last = notebook.states[-1]
    assert "<progress" not in last["text/html"]
    assert last["text/plain"].splitlines()[0] == TITLE
    assert last["text/plain"].splitlines()[-1] == "12/12      2.7500    2.7500   41,234   1:01"


def test_ipython_in_a_terminal_is_no_notebook(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert train(capsys, *EPOCHS).startswith(TITLE)


# The commands


def test_every_command_has_quiet() -> None:
    import click

    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        for each in command.commands.values() if isinstance(command, click.Group) else [command]:
            assert [option for option in each.params if "--quiet" in option.opts], (name, each.name)


def test_quiet_shows_results_and_errors_alone(text_file, lstm_file, tmp_path) -> None:
    train = ("train", "lstm", "files", "--data", f"paths={text_file}", *SMALL_LSTM)
    loud, silent = (zoo(*train, "--run", tmp_path / name, *more) for name, more in
                    (("a", ()), ("b", ("--quiet",))))  # fmt: skip
    assert "next" in loud.stderr
    assert silent.stderr == ""
    assert silent.stdout == loud.stdout.replace(str(tmp_path / "a"), str(tmp_path / "b"))
    unknown = ("sample", lstm_file, "--prompt", "Ω", "--max-new-tokens", "5")
    loud, silent = zoo(*unknown), zoo(*unknown, "--quiet")
    assert "read as <unk>" in loud.stderr
    assert (silent.stdout, silent.stderr) == (loud.stdout, "")
    assert zoo("--quiet", *unknown).stderr == ""
    wrong = zoo("eval", "nothing", "--quiet")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("zoo: ")


@pytest.mark.parametrize("kind", ["text", "images"])
def test_what_comes_next_works_as_pasted(kind, text_file, tmp_path) -> None:
    words = {
        "text": ("lstm", "files", "--data", f"paths={text_file}", *SMALL_LSTM),
        "images": ("resnet-lite", "shapes", *SMALL_NET, *SMALL_SHAPES),
    }
    done = zoo("train", *words[kind], "--run", "my run", cwd=tmp_path)
    commands = [shlex.split(line.removeprefix("next")) for line in done.stderr.splitlines()[-3:]]
    assert [command[1] for command in commands] == {
        "text": ["eval", "sample", "analyze"],
        "images": ["eval", "analyze", "analyze"],
    }[kind]
    for name, *arguments in commands:
        assert name == "zoo"
        assert "./my run" in arguments, "a bare word would be a name"
        pasted = zoo(*arguments, cwd=tmp_path)
        assert pasted.returncode == 0, pasted.stderr


def test_train_with_json_suggests_nothing(text_file, tmp_path) -> None:
    words = ("train", "lstm", "files", "--data", f"paths={text_file}", *SMALL_LSTM)
    done = zoo(*words, "--run", tmp_path / "run", "--json")
    assert json.loads(done.stdout)["epochs"] == 2
    assert "zoo eval" not in done.stderr


def test_a_model_without_test_data_is_measured_on_its_validation_data(tmp_path) -> None:
    sizes = ("--data", "train_size=64", "--data", "val_size=16", "--data", "test_size=0")
    trained = zoo("train", "resnet-lite", "shapes", *SMALL_NET, *sizes, "--run", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(zoo("eval", tmp_path / "run", "--json").stdout)["split"] == "val"
    out = tmp_path / "out"
    analyzed = zoo("analyze", "grad-cam", tmp_path / "run", "--indices", "0", "--json", "--out", out)
    assert json.loads(analyzed.stdout)["split"] == "val"


def test_time_left_is_estimated_once_a_twentieth_of_an_epoch_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float, float | None]] = []

    def look(self: TrainingProgress, progress: Progress) -> None:
        if progress.is_step:
            seen.append((progress.epoch, progress.batch / progress.batches, progress.left))

    monkeypatch.setattr(TrainingProgress, "__call__", look)
    few = ("--data", "size=16", "--data", "train_size=200", "--data", "val_size=10", "--data", "test_size=0")
    small = ("--model", "widths=4", "--batch-size", "5", "--epochs", "2")
    done = zoo("train", "mlp", "shapes", *few, *small, "--run", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert {epoch for epoch, _, _ in seen} == {1, 2}
    assert all((left is None) == (share < 0.05) for _, share, left in seen)
    assert all(left >= 0 for _, _, left in seen if left is not None)
