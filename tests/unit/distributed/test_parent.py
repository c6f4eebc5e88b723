"""A process that torchrun started ends with torchrun, even if torchrun ends before torch is imported."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil

# The command line begins, and never gets to the training
CHILD = """
import time, zoo.__main__, zoo.cli
zoo.cli.main = lambda: (print("begun", flush=True), time.sleep(600))
zoo.__main__.main()
"""
# In place of torchrun: starts the process, and ends once it has begun
LAUNCHER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
"""


def test_a_process_ends_if_torchrun_ended_before_the_training() -> None:
    words = [sys.executable, "-c", LAUNCHER, CHILD]
    done = subprocess.run(
        words, env=os.environ | {"RANK": "0"}, capture_output=True, text=True, check=True, timeout=100
    )
    number = int(done.stdout)
    until = time.monotonic() + 60
    while running(number):
        assert time.monotonic() < until
        time.sleep(0.05)


def running(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
