"""How processes are started, watched and stopped, and what is reported of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Generator
from pathlib import Path

import pytest
from torch._C._distributed_c10d import TCPStore

import zoo
from zoo.console.terminal import warnings_as_lines
from zoo.distributed.ranks import joined
from zoo.errors import DataError, Interrupted, OptionError, RunError, ZooWarning
from zoo.registry.registry import Registry
from zoo.runs import processes
from zoo.runs.processes import run_together

# What a process of a test begins with, in place of `zoo.runs.worker`
BEGIN = """
import json, os, signal, sys, time

rank, parent, job = int(os.environ["RANK"]), int(sys.argv[1]), json.load(sys.stdin)

def report(*warnings, finished=True, **error):
    told = {"warnings": warnings, "error": error or None, "finished": finished}
    print(json.dumps(told), end="", flush=True)

def lost(waited=0):
    report(finished=False, kind="Lost", message="lost", hint=None, exit_code=1, waited=waited)
    sys.exit(1)
"""
JOB = {"directory": "runs/x"}


@contextlib.contextmanager
def running(code: str) -> Generator[None]:
    """Let processes run some code of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_WORKER", (sys.executable, "-c", BEGIN + code))
        yield


def test_the_process_that_was_killed_is_named_not_one_that_was_stopped_or_lost_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = """
if rank == 0:
    time.sleep(100)
if rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(0.3)
lost()
"""
    monkeypatch.setattr(processes, "_TO_NOTICE", 1)
    with running(code), pytest.raises(RunError, match=r"^process 1 of 3 was killed by signal 9"):
        run_together(3, JOB, resume="zoo resume runs/x")


def test_a_process_that_fails_has_time_to_report_it() -> None:
    """The others may notice first, as it leaves them before it ends."""
    code = """
if rank == 0:
    lost()
time.sleep(0.5)
report(finished=False, kind="DataError", message="no such file", hint=None, exit_code=1, waited=0)
sys.exit(1)
"""
    with running(code), pytest.raises(DataError, match="no such file"):
        run_together(2, JOB, resume="zoo resume runs/x")


def test_a_process_that_gloo_aborts_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_TO_NOTICE", 0)
    with running("os.abort() if rank else time.sleep(100)"), pytest.raises(RunError) as caught:
        run_together(2, JOB, resume="zoo resume runs/x")
    assert str(caught.value) == "process 1 of 2 was killed by signal 6"
    assert "--no-sync-batch-norm" in str(caught.value.hint)


def test_a_process_that_does_not_answer_is_killed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_TO_FOLLOW", 0.5)
    code = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(100) if rank else lost(waited=3)
"""
    with running(code), pytest.raises(RunError, match=r"^process 1 of 2 has not responded for 3 seconds"):
        run_together(2, JOB, resume="zoo resume runs/x")


def test_only_what_was_saved_can_be_continued(tmp_path: Path) -> None:
    def hint() -> str | None:
        with running("os.kill(os.getpid(), signal.SIGKILL)"), pytest.raises(RunError) as caught:
            run_together(2, {"directory": str(tmp_path)}, resume="zoo resume x")
        return caught.value.hint

    assert hint() is None
    (tmp_path / "checkpoint.safetensors").touch()
    assert hint() == "`zoo resume x` continues the run"


def test_a_signal_is_passed_on_and_a_report_that_was_cut_short_does_not_hide_it() -> None:
    code = """
print('{"warnings": ["a war', end="", flush=True)
if rank == 0:
    os.kill(parent, signal.SIGINT)
time.sleep(100)
"""
    before = {each: signal.getsignal(each) for each in signal.Signals if each not in (9, 19)}
    with running(code), pytest.raises(Interrupted, match=r"^interrupted(?m:$)") as caught:
        run_together(2, JOB, resume="zoo resume runs/x")
    assert caught.value.exit_code == 130
    assert {each: signal.getsignal(each) for each in before} == before


def test_a_second_signal_does_not_wait_for_them(tmp_path: Path) -> None:
    code = f"""
signal.signal(signal.SIGTERM, lambda *_: rank or os.kill(parent, signal.SIGINT))
open({str(tmp_path)!r} + f"/{{os.getpid()}}", "w").close()
while len(os.listdir({str(tmp_path)!r})) < 2:
    time.sleep(0.01)
if rank == 0:
    os.kill(parent, signal.SIGINT)
while True:
    time.sleep(100)
"""
    with running(code), pytest.raises(KeyboardInterrupt):
        run_together(2, JOB, resume="zoo resume runs/x")
    assert not [pid for pid in os.listdir(tmp_path) if Path("/proc", pid).exists()]  # noqa: PTH208


@pytest.mark.parametrize("mode", ["python", "lines", "quiet"])
def test_what_processes_warn_of_is_a_warning_in_python_and_a_line_in_the_command(
    mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the first process warns, which has printed the lines itself."""
    code = f"""
open({str(tmp_path / "job")!r} + str(rank), "w").write(json.dumps(job))
report(*("c" if rank else "ab"))
"""
    with running(code), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if mode == "python":
            run_together(2, JOB, resume="")
            assert [(str(each.message), each.category) for each in caught] == [(n, ZooWarning) for n in "ab"]
        else:
            with warnings_as_lines() as told:
                if mode == "quiet":
                    warnings.simplefilter("ignore", ZooWarning)
                run_together(2, JOB, resume="")
            assert told == ([] if mode == "quiet" else ["a", "b"])
            assert not capsys.readouterr().err
    assert json.loads((tmp_path / "job1").read_text()) == {**JOB, "printed": mode == "lines"}


def test_what_cannot_be_passed_to_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        OptionError, match="is not JSON-serializable, so it cannot be passed to other processes"
    ):
        run_together(2, {"directory": "runs/x", "device": object()}, resume="")
    with pytest.raises(OptionError, match="processes must be 1 with a custom registry"):
        zoo.train("mlp", "shapes", processes=2, registry=Registry(Registry.discover().plugins))
    for variables in ({"TORCHELASTIC_RUN_ID": "x"}, {"RANK": "1", "WORLD_SIZE": "4"}):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            with pytest.raises(OptionError, match="processes must be 1 in a process that torchrun started"):
                zoo.train("mlp", "shapes", processes=2)


def test_a_warning_that_is_an_error_does_not_hide_why_a_training_failed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with running("report('a')"), pytest.raises(ZooWarning):
            run_together(2, JOB, resume="")
        ended = r"^process 1 of 2 exited before training finished(?m:$)"
        with running("if not rank: report('a')"), pytest.raises(RunError, match=ended):
            run_together(2, JOB, resume="")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR expected, but not set"),
        ({"MASTER_ADDR": "x", "MASTER_PORT": "1", "RANK": "0", "WORLD_SIZE": "many"}, "'many'"),
        ({"MASTER_ADDR": "x", "MASTER_PORT": "a", "RANK": "0", "WORLD_SIZE": "2"}, "'a'"),
    ],
)
def test_variables_that_torchrun_would_not_set_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=f"not as torchrun sets them: .*{words}"), joined("cpu"):
        pass


def test_several_processes_do_not_train_on_apples_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MASTER_ADDR", "x"), ("MASTER_PORT", "1"), ("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="distributed training does not support Apple GPUs"), joined("mps"):
        pass


@pytest.mark.parametrize(
    ("patience", "last"),
    [
        ("", "stopped"),
        pytest.param(
            "1", "another process of this run has not responded for 1 seconds", marks=pytest.mark.slow
        ),
    ],
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
        [sys.executable, "-c", code, "20" if patience else "1"],
        env={**os.environ, **place, "ZOO_PATIENCE": patience},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1:] == [last]
