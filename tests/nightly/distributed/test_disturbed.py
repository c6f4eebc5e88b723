"""A training in several processes that is stopped or killed continues as one that was not.

SIGTERM, and processes that torchrun starts again, are promises in `tests.nightly.reliability.ranks`.
"""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nightly.distributed.commands import (
    LSTM,
    command,
    ended,
    require_gone,
    started,
    stopped_by_sigterm,
    under_way,
    undropped,
    workers,
)
from tests.nightly.reliability import toys
from zoo.cli import run

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> dict[str, object]:
    """Return the outcome of a training in two processes that nobody stopped."""
    code, errors = ended(started(place, "undisturbed"))
    assert code == 0, errors
    return toys.outcome(place / "undisturbed")


Disturb = Callable[[subprocess.Popen[str]], None]
DISTURBANCES: dict[str, tuple[Disturb, int, str]] = {
    "a killed process": (
        lambda going: os.kill(workers(going)[1], signal.SIGKILL),
        1,
        "was killed by signal 9",
    ),
    "Ctrl-C": (lambda going: os.killpg(going.pid, signal.SIGINT), 130, "zoo resume Ctrl-C --processes 2"),
}


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_run_that_was_disturbed_continues_bit_for_bit(
    name: str, place: Path, undisturbed: dict[str, object]
) -> None:
    disturb, code, words = DISTURBANCES[name]
    directory = name.replace(" ", "-")
    going = started(place, directory, "--save-every", "1")
    mine = workers(going)
    assert len(mine) == 2
    disturb(going)
    returned, errors = ended(going)
    assert (returned, words in errors) == (code, True), errors
    assert "Traceback" not in errors
    require_gone(mine)
    again = toys.train(LSTM, directory, "--threads", "1", "--save-every", "1", epochs=6)
    done = command([*again, "--processes", "2"], place)
    assert done.returncode == 0, done.stderr
    assert toys.outcome(place / directory) == undisturbed


@pytest.mark.parametrize("wait", [pytest.param(0, marks=pytest.mark.slow), 0.3])
def test_processes_that_have_not_met_yet_end_with_their_command(
    wait: float, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    words = [*toys.train(LSTM, "early", "--threads", "1", epochs=6), "--processes", "2", "--quiet"]
    going = subprocess.Popen([sys.executable, "-m", "zoo", *words], cwd=place, text=True)
    while len(mine := workers(going)) < 2:
        time.sleep(0.01)
    time.sleep(wait)
    going.kill()
    going.wait()
    require_gone(mine)
    assert not (place / "early").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {f"torchinductor_{getpass.getuser()}"}


@pytest.mark.parametrize("when", ["", "libtorch_cpu"])
def test_ctrl_c_while_they_start_is_one_line(when: str, place: Path) -> None:
    words = [*toys.train(LSTM, "starting", "--threads", "1"), "--processes", "2", "--quiet"]
    going = subprocess.Popen(
        [sys.executable, "-m", "zoo", *words],
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    while len(mine := [pid for pid in workers(going) if when in mapped(pid)]) < 2:
        assert going.poll() is None, "torch was imported before anyone could look"
        time.sleep(0.001)
    os.killpg(going.pid, signal.SIGINT)
    code, errors = ended(going)
    assert (code, errors) == (130, "zoo: interrupted\n"), mine


def mapped(pid: int) -> str:
    """Return the libraries that a process has loaded, or is loading."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def states(pids: list[int]) -> set[str]:
    """Return the states of processes, such as T for stopped."""
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids}


def test_ctrl_z_stops_them_all_until_they_are_continued(place: Path, undisturbed: dict[str, object]) -> None:
    going = started(place, "suspended")
    all_of_them = [going.pid, *workers(going)]
    os.killpg(going.pid, signal.SIGTSTP)
    deadline = time.monotonic() + 10
    while states(all_of_them) != {"T"}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(going.pid, signal.SIGCONT)
    code, errors = ended(going)
    assert code == 0, errors
    assert toys.outcome(place / "suspended") == undisturbed


def test_a_command_that_is_stopped_and_then_ended_saves_first(place: Path) -> None:
    """As `kill %1` does in a shell after Ctrl-Z."""
    going = started(place, "ended")
    for number in (signal.SIGTSTP, signal.SIGTERM, signal.SIGCONT):
        os.killpg(going.pid, number)
        time.sleep(0.3)
    code, errors = ended(going)
    assert code == 143
    assert "is saved" in errors


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_processes_save_when_their_command_dies_of_any_signal(place: Path, number: signal.Signals) -> None:
    going = started(place, number.name, epochs=1_000)
    mine = workers(going)
    going.send_signal(number)
    code, _ = ended(going)
    assert code == -number
    require_gone(mine)
    assert toys.steps(place / number.name) >= toys.rows(place / number.name / "steps.jsonl")[-1]["step"]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_command_that_was_killed_leaves_nothing(
    stopped: bool, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    going = started(place, f"left-{stopped}")
    mine = workers(going)
    if stopped:
        os.killpg(going.pid, signal.SIGTSTP)
        while states([going.pid, *mine]) != {"T"}:
            time.sleep(0.01)
    going.kill()
    going.communicate()
    require_gone(mine)
    assert {path.name for path in tmp_path.iterdir()} <= {f"torchinductor_{getpass.getuser()}"}


@pytest.mark.parametrize("everybody", [False, True])
def test_torchrun_that_is_stopped_stops_a_run_that_continues_bit_for_bit(
    everybody: bool, place: Path, undisturbed: dict[str, object]
) -> None:
    """A scheduler may send a signal to torchrun, or to all, who get another one from torchrun."""
    directory = f"stopped-{everybody}"
    words = toys.train(LSTM, directory, "--threads", "1", "--save-every", "1", epochs=6)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    going = under_way([*launch, "--max-restarts=3", "-m", "--", "zoo", *words], place, directory)
    mine = workers(going)
    for pid in [*mine, going.pid] if everybody else [going.pid]:
        os.kill(pid, signal.SIGTERM)
    code, errors = ended(going)
    assert code != 0
    assert errors.count("zoo: stopped in epoch") == 1, errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in mine)
    done = command([*words, "--processes", "2"], place)
    assert done.returncode == 0, done.stderr
    assert toys.outcome(place / directory) == undisturbed


@pytest.fixture(scope="module")
def of_one(place: Path) -> dict[str, float]:
    """The validation of a run in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert run(undropped(LSTM, "whole", epochs=4)) == 0
    return toys.rows(place / "whole/metrics.jsonl")[-1]["val"]


@pytest.mark.parametrize(
    ("first", "then"), [pytest.param(2, 1, marks=pytest.mark.slow), (1, 2), (2, 3), (3, 2)]
)
def test_a_run_continues_in_another_number_of_processes(
    first: int, then: int, place: Path, of_one: dict[str, float]
) -> None:
    """What they learn differs by rounding alone; the checkpoint has the hidden states of all lanes."""
    directory = f"moved-{first}-{then}"
    words = [*undropped(LSTM, directory, epochs=4), "--save-every", "1", "--quiet", "--processes"]
    stopped_by_sigterm([*words, str(first)], place, directory)
    done = command([*words, str(then)], place)
    assert done.returncode == 0, done.stderr
    moved = toys.rows(place / directory / "metrics.jsonl")[-1]["val"]
    assert moved["loss"] == pytest.approx(of_one["loss"], abs=1e-6)
