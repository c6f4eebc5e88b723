"""Launchers and ranks killed at random moments, from the first one on.

A third of the runs is started by torchrun, the others by `--processes 2`.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import psutil

from tests.nightly.reliability import toys
from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.ranks import Going, training

# Seconds after its start within which a process is killed
_EARLY = 6.0
# Seconds after which nothing may be left; torchrun, when it is stopped, waits 30 s for its processes
_GONE, _GONE_WITH_TORCHRUN = 30.0, 45.0


def orphans(folder: Path, *, kills: int) -> Figure:
    """Kill the command that has started two processes, or one of them, by SIGKILL or SIGTERM."""
    draw, broken = random.Random(3), list[str]()
    toys.lay_out(folder)
    for number in range(kills):
        launcher = number % 3 == 0
        going = Going(folder, training(f"orphans-{number}", processes=2, launcher=launcher, epochs=1_000))
        time.sleep(draw.uniform(0, _EARLY))
        started = psutil.Process(going.process.pid)
        family = [started, *started.children(recursive=True)]
        meant, signal_number = draw.choice(family), draw.choice([signal.SIGKILL, signal.SIGTERM])
        os.kill(meant.pid, signal_number)
        if launcher and meant is not started:
            going.process.send_signal(signal.SIGKILL)  # or it would start the processes again
        deadline = time.monotonic() + (_GONE_WITH_TORCHRUN if launcher else _GONE)
        while (left := [each for each in family if _runs(each)]) and time.monotonic() < deadline:
            going.process.poll()
            time.sleep(0.05)
        if left:
            who = "torchrun" if launcher else "zoo"
            what = f"{signal_number.name} to {family.index(meant)}"
            broken.append(f"{who}, {what}: {[(family.index(each), each.status()) for each in left]}")
        for each in left:
            each.kill()
        going.process.wait()
    return counted(
        "the command that starts two processes, or one of the processes, killed within the first 6 s",
        kills,
        broken,
        "times, all processes had exited after 30 s, or after 45 s in the third of the runs that torchrun "
        "started, since torchrun waits 30 s for its processes",
    )


def _runs(process: psutil.Process) -> bool:
    """Return whether a process is there, and not only waiting to be looked at."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
