"""Kills of the training and of the follower: what each of the four stores has afterwards, and the weights."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.nightly.reliability import toys
from tests.nightly.reliability.processes import Child, start_zoo
from tests.nightly.trackers.stores import READERS, logged, settings, stored

pytestmark = pytest.mark.timeout(600)

KILLS = 10
# Saves every three steps, so that a kill loses some that were logged
OFTEN = ("--save-every", "3")
# Epochs of about 28 steps
EPOCHS = 12
TRACKERS = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed"))
    for name in READERS
]
FOUL = '''\
"""A tracker that does not do its work, and says which process it is in."""

import os
import time
from pathlib import Path

from zoo import TrackerSpec, hookimpl
from zoo.plugin import Tracker


class Foul(Tracker):
    def begin(self, run):
        Path("{here}/pid").write_text(str(os.getpid()))
        return 0

    def log(self, rows):
        {does}

    def end(self, status):
        pass


@hookimpl
def zoo_trackers():
    return [TrackerSpec(name="foul", target="foul:Foul", summary="For a test")]
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the data of the toys."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    toys.lay_out(tmp_path)
    return tmp_path


def train(folder: Path, *more: str) -> Child:
    """Start the toy, or resume it."""
    return start_zoo(folder / "train.log", folder, toys.train("rnn", "run", *OFTEN, *more, epochs=EPOCHS))


def follow(folder: Path, tracker: str) -> subprocess.Popen[bytes]:
    """Start a follower that waits for the run until it is finished."""
    with (folder / "follow.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "zoo", "track", "run", "--to", tracker, "--wait"],
            cwd=folder,
            env=os.environ | settings(folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def last_step(run: Path) -> int:
    """Return the last step in the log of a run."""
    path = run / "steps.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    return json.loads(whole[-1])["step"] if whole else 0


def until_step(child: Child, run: Path, step: int) -> None:
    """Wait until a training has logged a step."""
    deadline = time.monotonic() + 60
    while last_step(run) < step:
        assert child.process.is_alive(), child.output
        assert time.monotonic() < deadline, child.output
        time.sleep(0.002)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_after_kills_of_the_training_the_store_has_each_step_once(tracker: str, folder: Path) -> None:
    run, drawn, repeated = folder / "run", random.Random(tracker), 0
    follower = follow(folder, tracker)
    try:
        for number in range(KILLS):
            child = train(folder)
            until_step(child, run, 10 + 25 * number + drawn.randrange(15))
            child.send(signal.SIGKILL)
            child.wait()
            before = last_step(run)
            time.sleep(1.0 + drawn.random())  # in which the follower may send rows that are then repeated
            repeated += before % 3
        assert train(folder).wait() == 0
        assert follower.wait(60) == 0, (folder / "follow.log").read_text()
    finally:
        follower.kill()
        follower.wait()
    assert repeated > 0, "no kill was between two saves"
    points = stored(tracker, run, folder)
    assert points == logged(run)
    assert {*points.values()} == {1}
    assert {name for name, _ in points} >= {"loss", "lr", "rate", "train/loss", "val/loss"}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_after_kills_of_the_follower_the_store_has_each_step(tracker: str, folder: Path) -> None:
    """TensorBoard and MLflow have each step exactly once, the others at least once.

    MLflow makes its database first: it does not survive a kill while it does that.
    """
    if tracker == "mlflow":
        assert not stored(tracker, folder / "none", folder)
    run = folder / "run"
    child = train(folder)
    until_step(child, run, 5)
    state = run / f"track-{tracker}.json"
    for number in range(KILLS):
        child.send(signal.SIGSTOP)
        follower = follow(folder, tracker)
        before = state.stat().st_mtime_ns if state.exists() else 0
        while not state.exists() or state.stat().st_mtime_ns == before:  # until the tracker begins
            assert follower.poll() is None, (folder / "follow.log").read_text()
            time.sleep(0.01)
        child.send(signal.SIGCONT)
        until_step(child, run, min(15 + 25 * number, 250))
        child.send(signal.SIGSTOP)
        time.sleep(25 if number == KILLS // 2 else number % 4)  # W&B writes every 15 s
        follower.kill()
        follower.wait()
        child.send(signal.SIGCONT)
    assert child.wait() == 0
    follower = follow(folder, tracker)
    assert follower.wait(60) == 0, (folder / "follow.log").read_text()
    points = stored(tracker, run, folder)
    assert points.keys() == logged(run).keys()
    if tracker in ("tensorboard", "mlflow"):
        assert {*points.values()} == {1}
    print(f"{tracker}: at most {max(points.values())} times", file=sys.stderr)
    assert max(points.values()) < KILLS - 2, "each follower began anew"


@pytest.mark.parametrize("does", ["raise OSError('no route')", "time.sleep(1000)", "os.kill(os.getpid(), 9)"])
def test_a_follower_that_fails_hangs_or_is_killed_leaves_the_weights_alone(does: str, folder: Path) -> None:
    assert train(folder).wait() == 0
    expected = toys.outcome(folder / "run")
    (folder / "run").rename(folder / "whole")
    (folder / "foul.py").write_text(FOUL.format(here=folder, does=does))
    tracked = train(folder, "--plugin", "foul.py", "--track", "foul")
    assert tracked.wait() == 0, tracked.output
    if "sleep" in does:
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
        assert "still being sent to foul" in tracked.output
    else:
        assert "tracking has stopped" in " ".join(tracked.output.split())
    assert toys.outcome(folder / "run") == expected
