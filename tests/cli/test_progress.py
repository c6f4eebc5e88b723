"""Progress on a terminal and elsewhere."""

from __future__ import annotations

import pytest

from zoo.api.progress import Bar, TrainingProgress
from zoo.training.clock import Progress

STEP = Progress(epoch=1, epochs=2, batch=3, batches=10, loss=1.25, lr=0.1, rate=1234.0, left=75.0, row=None)
ROW = {"train": {"loss": 1.5}, "val": {"accuracy": 0.5}, "clock": {"rate": 2000.0, "seconds": 61.0}}
END = Progress(epoch=1, epochs=2, batch=10, batches=10, loss=1.0, lr=0.1, rate=2000.0, left=61.0, row=ROW)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")


def train(capsys: pytest.CaptureFixture[str], *, steps: int = 1) -> str:
    with TrainingProgress("lstm on text in runs/x[/y]") as report:
        for _ in range(steps):
            report(STEP)
        report(END)
    return capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_rate_loss_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    err = train(capsys)
    for word in ("\x1b[", "epoch 1/2", "loss 1.2500", "1,234/s", "1:15 left", "runs/x[/y]"):
        assert word in err


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_the_text_beside_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar() as bar:
        bar(0.5, "3 of 6 [images]")
    err = capsys.readouterr().err
    assert "\x1b[" in err
    assert "3 of 6 [images]" in err


def test_elsewhere_there_is_one_plain_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(capsys).splitlines() == [
        "lstm on text in runs/x[/y]",
        "epoch 1/2  |  train loss 1.5000  |  val accuracy 50.00%  |  2,000/s  1:01",
    ]


def test_a_long_epoch_prints_a_plain_line_every_15_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("zoo.api.progress.time.monotonic", lambda: next(clock))
    lines = train(capsys, steps=9).splitlines()
    assert lines[1:-1] == ["epoch 1/2  30%  loss 1.2500  1,234/s  1:15 left"] * 2


def test_short_work_prints_nothing_outside_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar() as bar:
        bar(0.5, "half")
    assert capsys.readouterr() == ("", "")
