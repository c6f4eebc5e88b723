"""Progress on a terminal and elsewhere."""

from __future__ import annotations

import pytest

from zoo.api.progress import Reporter
from zoo.training.clock import Progress

STEP = Progress(epoch=1, epochs=2, batch=3, batches=10, loss=1.25, lr=0.1, rate=1234.0, left=75.0, row=None)
ROW = {"train": {"loss": 1.5}, "val": {"accuracy": 0.5}, "clock": {"rate": 2000.0, "seconds": 61.0}}
END = Progress(epoch=1, epochs=2, batch=10, batches=10, loss=1.0, lr=0.1, rate=2000.0, left=61.0, row=ROW)


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool) -> str:
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if terminal else "0")
    monkeypatch.setenv("COLUMNS", "120")
    with Reporter("lstm on text in runs/x[/y]") as report:
        report(STEP)
        report(END)
    return capsys.readouterr().err


def test_a_terminal_shows_rate_loss_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    err = told(monkeypatch, capsys, terminal=True)
    for word in ("epoch 1/2", "loss 1.2500", "1,234/s", "1:15 left"):
        assert word in err


def test_elsewhere_there_is_one_plain_line_an_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    err = told(monkeypatch, capsys, terminal=False)
    assert "\x1b" not in err
    assert err.splitlines() == [
        "lstm on text in runs/x[/y]",
        "epoch 1/2  |  train loss 1.5000  |  val accuracy 50.00%  |  2,000/s  1:01",
    ]
