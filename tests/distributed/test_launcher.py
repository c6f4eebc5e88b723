"""What torchrun's launcher raises becomes an error of zoo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch._C._distributed_c10d import TCPStore

import zoo
from zoo.api.processes import run_together
from zoo.console.terminal import is_first_to_say, warnings_as_lines
from zoo.distributed.ranks import joined
from zoo.errors import Interrupted, OptionError, RunError, ZooWarning
from zoo.registry.registry import Registry


def done(*words: str) -> None:
    """Leave what two processes leave that have trained to the end."""
    for rank in range(2):
        Path(words[3], f"finished-{rank}").touch()


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
    with pytest.raises(Interrupted, match=r"^interrupted(?m:$)"):
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
        def run(*words: str) -> None:
            listened.extend(config.signals_to_handle.split(","))
            monkeypatch.setenv("TORCHELASTIC_SIGNALS_TO_HANDLE", config.signals_to_handle)
            for name in listened:
                signal.signal(getattr(signal, name), lambda *_: None)
            done(*words)

        return run

    monkeypatch.setattr(api, "elastic_launch", launch)
    before = {each: signal.getsignal(each) for each in signal.Signals if each not in (9, 19)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        run_together(2, {"directory": "runs/x"}, resume="zoo resume runs/x")
        assert listened == ["SIGTERM"]
        after = {each: signal.getsignal(each) for each in before}
        assert after == before | {signal.SIGHUP: signal.SIG_IGN}
        assert "TORCHELASTIC_SIGNALS_TO_HANDLE" not in os.environ
    finally:
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, before[number])


def test_a_report_that_a_full_disk_cut_short_does_not_hide_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.launcher import api

    def launch(*_: Any) -> Callable[..., None]:
        def run(*words: str) -> None:
            Path(words[3], "failure-0.json").touch()
            Path(words[3], "warnings-0.json").write_text('["a war')
            raise SignalException("SIGINT", signal.SIGINT)

        return run

    monkeypatch.setattr(api, "elastic_launch", launch)
    with pytest.raises(Interrupted) as caught:
        run_together(2, {"directory": "runs/x"}, resume="zoo resume runs/x")
    assert caught.value.exit_code == 130


@pytest.mark.parametrize("mode", ["python", "lines", "quiet"])
def test_what_processes_warn_of_is_a_warning_in_python_and_a_line_in_the_command(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    from torch.distributed.launcher import api

    printed: list[bool] = []

    def launch(*_: Any) -> Callable[..., None]:
        def run(*words: str) -> None:
            printed.append(json.loads(Path(words[3], "job.json").read_text())["printed"])
            Path(words[3], "warnings-0.json").write_text('["a", "b"]')
            Path(words[3], "warnings-1.json").write_text('["b", "c"]')
            done(*words)

        return run

    monkeypatch.setattr(api, "elastic_launch", launch)
    if mode == "python":
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run_together(2, {"directory": "runs/x"}, resume="")
        assert [(str(each.message), each.category) for each in caught] == [(n, ZooWarning) for n in "abc"]
        assert printed == [False]
        return
    with warnings_as_lines() as told:
        if mode == "quiet":
            warnings.simplefilter("ignore", ZooWarning)
        run_together(2, {"directory": "runs/x"}, resume="")
    assert told == ([] if mode == "quiet" else ["a", "b", "c"])
    assert printed == [mode == "lines"]


def test_what_cannot_be_passed_to_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="is not JSON data, and cannot be passed to several processes"):
        run_together(2, {"directory": "runs/x", "device": object()}, resume="")
    with pytest.raises(OptionError, match="processes must be 1 with a registry of your own"):
        zoo.train("mlp", "shapes", processes=2, registry=Registry(Registry.discover().plugins))
    for variables in ({"TORCHELASTIC_RUN_ID": "x"}, {"RANK": "1", "WORLD_SIZE": "4"}):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            with pytest.raises(OptionError, match="processes must be 1 in each process that torchrun starts"):
                zoo.train("mlp", "shapes", processes=2)


def test_a_warning_that_is_an_error_does_not_hide_why_a_training_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.distributed.launcher import api

    finished = [0, 1]

    def launch(*_: Any) -> Callable[..., None]:
        def run(*words: str) -> None:
            Path(words[3], "warnings-0.json").write_text('["a"]')
            for rank in finished:
                Path(words[3], f"finished-{rank}").touch()

        return run

    monkeypatch.setattr(api, "elastic_launch", launch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZooWarning):
            run_together(2, {"directory": "runs/x"}, resume="")
        finished.pop()
        with pytest.raises(RunError, match=r"^process 1 of 2 ended before the training was over(?m:$)"):
            run_together(2, {"directory": "runs/x"}, resume="")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "RANK and WORLD_SIZE are set, but not MASTER_ADDR"),
        ({"MASTER_ADDR": "x", "MASTER_PORT": "1", "RANK": "0", "WORLD_SIZE": "many"}, "WORLD_SIZE must be a"),
        ({"MASTER_ADDR": "x", "MASTER_PORT": "a", "RANK": "0", "WORLD_SIZE": "2"}, "MASTER_PORT must be a"),
        ({"MASTER_ADDR": "x", "MASTER_PORT": "1", "RANK": "2", "WORLD_SIZE": "2"}, "RANK must be less than"),
    ],
)
def test_variables_that_torchrun_would_not_set_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=words), joined("cpu"):
        pass


def test_several_processes_do_not_train_on_apples_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MASTER_ADDR", "x"), ("MASTER_PORT", "1"), ("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="several processes cannot train on Apple's GPU"), joined("mps"):
        pass


@pytest.mark.parametrize(
    ("patience", "last"),
    [("", "stopped"), ("1", "another process of this run has not answered for 1 seconds")],
    ids=["a signal", "nobody comes"],
)
def test_a_process_that_waits_for_the_others_can_be_stopped(patience: str, last: str) -> None:
    """PyTorch waits for them in C++, where no signal is handled."""
    code = """
import signal, sys
from zoo.errors import ZooError
from zoo.distributed.ranks import joined

def stop(*_):
    sys.exit("stopped")

signal.signal(signal.SIGALRM, stop)
signal.alarm(int(sys.argv[1]))
try:
    with joined("cpu"):
        pass
except ZooError as error:
    sys.exit(str(error))
"""
    launcher = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(launcher.port), "RANK": "0", "WORLD_SIZE": "2"}
    place["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    done = subprocess.run(
        [sys.executable, "-c", code, "20" if patience else "3"],
        env={**os.environ, **place, "ZOO_PATIENCE": patience},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1:] == [last]


def test_an_interrupt_that_python_wraps_while_it_imports_is_no_failure(tmp_path: Path) -> None:
    """As Python 3.11 does with what is raised while it makes a class."""
    code = f"""
import os, runpy, signal, sys
import zoo.api.training

def interrupted(job):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:
        raise RuntimeError("Error calling __set_name__") from error

zoo.api.training.train_job = interrupted
sys.argv = ["worker", {str(tmp_path)!r}, str(os.getppid())]
runpy.run_module("zoo.api.worker", run_name="__main__")
"""
    (tmp_path / "job.json").write_text('{"printed": true}')
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "RANK": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (143, "")
    assert not [*tmp_path.glob("failure-*")]


def test_one_process_of_a_machine_says_what_all_would_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "attempt_0").mkdir()
    said = [_said_by(rank, words, tmp_path) for words in ("no such option", "another") for rank in (1, 0, 2)]
    assert said == [True, False, False, True, False, False]
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "elsewhere/0/error.json"))
    assert is_first_to_say("no such option")


def _said_by(rank: int, words: str, folder: Path) -> bool:
    """Return whether a process says something, and would say it again."""
    twice = "say(sys.argv[1]) + say(sys.argv[1])"
    code = f"import sys; from zoo.console.terminal import is_first_to_say as say; print({twice})"
    file = folder / f"attempt_0/{rank}/error.json"
    done = subprocess.run(
        [sys.executable, "-c", code, words],
        env={**os.environ, "TORCHELASTIC_ERROR_FILE": str(file)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {"2": True, "0": False}[done.stdout.strip()]
