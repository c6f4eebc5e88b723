"""What torchrun's launcher raises becomes an error of zoo."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.api.processes import run_together
from zoo.errors import Interrupted, OptionError, RunError, ZooWarning


def test_a_launcher_that_fails_as_a_signal_stops_it_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stopwatch reads a time that it has not taken yet, if the signal comes right before."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.launcher import api

    def launch(*_: Any) -> Callable[..., None]:
        def run(*_: str) -> None:
            try:
                raise SignalException("SIGTERM", signal.SIGTERM)
            finally:
                raise UnboundLocalError("start")

        return run

    monkeypatch.setattr(api, "elastic_launch", launch)
    with pytest.raises(Interrupted, match=r"^interrupted$"):
        run_together(2, {"directory": "runs/x"}, resume="zoo resume runs/x")


def test_another_failure_of_the_launcher_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.launcher import api

    def launch(*_: Any) -> Callable[..., None]:
        def run(*_: str) -> None:
            raise RuntimeError("no port is free")

        return run

    monkeypatch.setattr(api, "elastic_launch", launch)
    with pytest.raises(RuntimeError, match="no port is free"):
        run_together(2, {"directory": "runs/x"}, resume="zoo resume runs/x")


def test_the_process_that_was_killed_is_named_not_one_that_the_launcher_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
    from torch.distributed.launcher import api

    ended = {0: -signal.SIGTERM, 1: -signal.SIGKILL, 2: 1}
    failures = {
        rank: ProcessFailure(local_rank=rank, pid=rank + 1, exitcode=code, error_file="")
        for rank, code in ended.items()
    }

    def launch(*_: Any) -> Callable[..., None]:
        def run(*_: str) -> None:
            raise ChildFailedError("zoo", failures)

        return run

    monkeypatch.setattr(api, "elastic_launch", launch)
    with pytest.raises(RunError, match="process 1 of 3 was killed by signal 9"):
        run_together(3, {"directory": "runs/x"}, resume="zoo resume runs/x")


def test_only_what_was_saved_can_be_continued(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
    from torch.distributed.launcher import api

    def launch(*_: Any) -> Callable[..., None]:
        def run(*_: str) -> None:
            failure = ProcessFailure(local_rank=0, pid=1, exitcode=-signal.SIGKILL, error_file="")
            raise ChildFailedError("zoo", {0: failure})

        return run

    def hint() -> str | None:
        with pytest.raises(RunError) as caught:
            run_together(2, {"directory": str(tmp_path)}, resume="zoo resume x")
        return caught.value.hint

    monkeypatch.setattr(api, "elastic_launch", launch)
    assert hint() is None
    (tmp_path / "checkpoint.safetensors").touch()
    assert hint() == "`zoo resume x` continues the run"


def test_the_launcher_leaves_no_handler_and_passes_on_no_signal_that_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.distributed.launcher import api

    listened: list[str] = []

    def launch(config: Any, _: str) -> Callable[..., None]:
        def run(*_: str) -> None:
            listened.extend(config.signals_to_handle.split(","))
            monkeypatch.setenv("TORCHELASTIC_SIGNALS_TO_HANDLE", config.signals_to_handle)
            for name in listened:
                signal.signal(getattr(signal, name), lambda *_: None)

        return run

    monkeypatch.setattr(api, "elastic_launch", launch)
    before = {each: signal.getsignal(each) for each in signal.Signals if each not in (9, 19)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        run_together(2, {"directory": "runs/x"}, resume="zoo resume runs/x")
        assert listened == ["SIGTERM", "SIGINT", "SIGQUIT"]
        after = {each: signal.getsignal(each) for each in before}
        assert after == before | {signal.SIGHUP: signal.SIG_IGN}
        assert "TORCHELASTIC_SIGNALS_TO_HANDLE" not in os.environ
    finally:
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, before[number])


@pytest.mark.parametrize(
    ("given", "told"),
    [(np.float32(0.5), 0.5), (np.arange(2), [0, 1]), (Path("x"), None)],
    ids=["number", "array", "path"],
)
def test_a_job_is_told_in_json(monkeypatch: pytest.MonkeyPatch, given: object, told: object) -> None:
    from torch.distributed.launcher import api

    jobs: list[Any] = []

    def launch(*_: Any) -> Callable[..., None]:
        return lambda *words: jobs.append(json.loads(Path(words[3], "job.json").read_text()))

    monkeypatch.setattr(api, "elastic_launch", launch)
    job = {"directory": "runs/x", "given": given}
    if told is None:
        with pytest.raises(OptionError, match="is not JSON data, and cannot be passed to several processes"):
            run_together(2, job, resume="")
        return
    for action in ("default", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action, ZooWarning)
            run_together(2, job, resume="")
    assert jobs == [{**job, "given": told, "quiet": False}, {**job, "given": told, "quiet": True}]
