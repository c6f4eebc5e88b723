"""A sweep gives the same table for any number of jobs, on clusters that lose a worker, and after any kill."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import zoo
from tests.nightly.sweeps.sweeping import Command, dask_cluster, ray_cluster

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the table of the sweep in one process, one trial after another."""
    return Command(tmp_path_factory.mktemp("plain")).finish()


def test_jobs_and_the_threads_of_the_environment_change_nothing(
    expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert len({row["metrics"]["val"]["loss"] for row in expected}) == 8
    assert Command(tmp_path, "--jobs", "2", OMP_NUM_THREADS="2").finish() == expected


def test_two_threads_a_trial_change_nothing_either(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = Command(tmp_path / "one", "--threads", "2", OMP_NUM_THREADS="1").finish()
    assert Command(tmp_path / "two", "--threads", "2", "--jobs", "2").finish() == one


def test_twenty_kills_change_nothing(expected: list[dict[str, Any]], tmp_path: Path) -> None:
    draw, command = random.Random(0), Command(tmp_path, "--jobs", "2")
    kills = sum(command.kill_after(draw.uniform(0.5, 5)) for _ in range(20))
    print(f"{kills} kills found the command running")
    assert kills >= 10
    assert command.finish() == expected


def _wait_for_epochs(folder: Path, count: int) -> None:
    end = time.monotonic() + 120
    while not (folder.exists() and sum(row["epochs"] for row in zoo.list_runs(folder)) >= count):
        assert time.monotonic() < end, "nothing was trained"
        time.sleep(0.1)


def test_dask_gives_the_trial_of_a_lost_worker_to_another(
    expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    with dask_cluster(tmp_path) as (address, workers):
        process = Command(tmp_path, "--on", address).start()
        _wait_for_epochs(tmp_path / "sweep", 2)
        workers[0].kill()
        out, err = process.communicate(timeout=600)
        print("the command went on by itself" if process.returncode == 0 else err[-300:])
        if process.returncode:
            assert "run the same command again to continue" in out + err
        assert Command(tmp_path, "--on", address).finish() == expected


def test_on_ray_the_same_command_goes_on_after_a_worker_was_lost(
    expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    with ray_cluster(tmp_path) as address:
        process = Command(tmp_path, "--on", address).start()
        _wait_for_epochs(tmp_path / "sweep", 2)
        _kill_a_worker_that_trains(tmp_path / "sweep")
        out, err = process.communicate(timeout=600)
        print("the command went on by itself" if process.returncode == 0 else err[-300:])
        if process.returncode:
            assert "run the same command again to continue" in out + err
        assert Command(tmp_path, "--on", address).finish() == expected


def _kill_a_worker_that_trains(folder: Path) -> None:
    running = [row["run"] for row in zoo.list_runs(folder) if row["status"] == "running"]
    lock = (Path(running[0]) / ".lock").read_text()
    os.kill(int(lock.split()[1]), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whole_group", [True, False])
def test_a_signal_saves_what_is_trained(
    number: signal.Signals, whole_group: bool, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    command = Command(tmp_path, "--jobs", "2")
    process = command.start()
    _wait_for_epochs(tmp_path / "sweep", 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number) if whole_group else os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in out + err
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    begun = [row for row in zoo.list_runs(tmp_path / "sweep") if row["status"] == "stopped"]
    assert begun
    for row in begun:
        steps = zoo.Run(row["run"]).steps
        resumed = zoo.resume(row["run"], progress=False)  # from its last step, not from its last epoch
        assert resumed.steps[: len(steps)] == steps
    assert command.finish() == expected
