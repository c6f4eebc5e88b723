"""How many threads zoo computes with, and what it leaves to the user."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from zoo.config.threads import idle_threads
from zoo.errors import OptionError
from zoo.files.exported import Port, Signature
from zoo.models import torch_threads
from zoo.models.runners import usual_threads

TRAIN = ("mlp", "images/shapes", "--data", "train_size=64", "--data", "val_size=0", "--epochs", "1")


def train_without_omp(directory: Path, *words: str) -> tuple[str, Mapping[str, Any]]:
    """Train in a process of its own; return the first line and the recipe in its config.toml."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "zoo", "train", *TRAIN, "--run", str(directory), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    recipe = tomllib.loads((directory / "config.toml").read_text())["recipes"][directory.name]
    return done.stderr.splitlines()[0], recipe


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that gives this machine other cores, each with the percent that it is busy."""

    def give(*busy: float, physical: int | None = None, in_torch: int = 64) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {*range(len(busy))}, raising=False)
        monkeypatch.setattr(psutil, "cpu_count", lambda logical: physical)
        monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: [*busy])
        monkeypatch.setattr(torch, "get_num_threads", lambda: in_torch)

    return give


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ((0,), 1),
        ((100,), 1),
        ((0, 0), 2),
        ((10, 20), 2),
        ((100, 0), 1),
        ((100, 100), 1),
        ((0,) * 8, 8),
        ((100,) * 3 + (0,) * 5, 5),
    ],
)
def test_a_training_takes_the_idle_cores(
    busy: Sequence[float], expected: int, cores: Callable[..., None]
) -> None:
    cores(*busy)
    assert idle_threads() == expected


def test_two_hyper_threads_are_one_core(cores: Callable[..., None]) -> None:
    cores(*[0] * 16, physical=8)
    assert idle_threads() == 8


def test_cores_of_others_do_not_count(cores: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    cores(0, 100, 0, 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3}, raising=False)
    assert idle_threads() == 2


def test_fewer_threads_in_torch_are_kept_whatever_the_load(cores: Callable[..., None]) -> None:
    cores(100, 100, 100, 0, in_torch=3)
    assert idle_threads() == 3


@pytest.mark.slow  # in a process
def test_a_training_beside_busy_processes_computes_with_one_thread(tmp_path: Path) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        line, recipe = train_without_omp(tmp_path / "run")
        assert (line.rpartition(" with ")[2], recipe["threads"]) == ("1 thread", 1)
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.slow  # in a process
def test_the_number_that_the_user_gives_a_training_is_kept(tmp_path: Path) -> None:
    line, recipe = train_without_omp(tmp_path / "run", "--threads", "3")
    assert (line.rpartition(" with ")[2], recipe["threads"]) == ("3 threads", 3)


@pytest.mark.parametrize(("cores", "computing", "expected"), [(1, 1, 1), (2, 2, 1), (8, 8, 7), (16, 8, 8)])
def test_outside_of_a_training_a_core_is_left_to_other_work(
    cores: int, computing: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: computing)
    monkeypatch.setattr(torch_threads, "cores", lambda: cores)
    assert torch_threads.default_threads() == expected


@pytest.mark.parametrize(("processes", "expected"), [(2, 4), (3, 2), (16, 1)])
def test_several_processes_divide_the_cores(
    processes: int, expected: int, cores: Callable[..., None]
) -> None:
    cores(*[0] * 8)
    assert idle_threads(processes) == expected


def test_the_number_that_the_user_chose_is_kept(
    cores: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(*[0] * 2, in_torch=2)
    assert torch_threads.default_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert torch_threads.default_threads() == 2


def test_the_number_is_restored_after_an_error() -> None:
    before, seen = torch.get_num_threads(), list[int]()

    def fail() -> None:
        with torch_threads.computing_with(before + 1):
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [*seen, torch.get_num_threads()] == [before + 1, before]


@pytest.mark.parametrize(("cores", "most"), [(2, 64), (64, 256)])
def test_a_number_of_threads_that_makes_no_sense_here_is_refused(
    cores: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("zoo.config.threads.cores", lambda: cores)
    message = rf"^threads must be at most {most}, since this machine has {cores} cores \(got 5,000\)(?m:$)"
    with pytest.raises(OptionError, match=message), torch_threads.computing_with(5_000):
        pass
    assert torch.get_num_threads() == before


COMMAND = """
import os, sys
NAMES = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
from zoo import cli
cli._invoke = lambda session, arguments: print(*map(os.environ.get, NAMES)) or 0
cli.main()
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "1000 None"),
        ({"OMP_WAIT_POLICY": "passive"}, "None passive"),
        ({"OMP_NUM_THREADS": "2"}, "1000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
    ],
)
def test_the_command_limits_how_long_threads_spin_unless_the_user_does(
    given: dict[str, str], expected: str
) -> None:
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], env=environment | given, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == expected, done.stderr


@pytest.mark.parametrize(("cores", "classifying", "generating"), [(1, 1, 1), (2, 2, 2), (16, 16, 4)])
def test_an_exported_file_uses_the_cores_that_its_work_can_use(
    cores: int, classifying: int, generating: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps of a language model are short."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {*range(cores)}, raising=False)
    classifier = Signature(inputs=(Port(name="inputs", dtype="uint8", shape=(None, 3, 8, 8)),), outputs=())
    steps = replace(classifier, state={"state_0": "next_state_0"})
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [usual_threads(classifier), usual_threads(steps)] == [classifying, generating]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [usual_threads(classifier), usual_threads(steps)] == [3, 3]
