"""What torchrun's launcher raises becomes an error of zoo."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from zoo.api.processes import run_together
from zoo.errors import Interrupted, RunError


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
