"""Processes to kill: each is forked from one that has imported torch, and so begins at once.

It runs a command line as `zoo` does, from a folder of its own toys, with stdout and stderr in a file.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zoo.cli

_BEFOREHAND = (
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "torch._dynamo",
    "zoo.api.progress",
    "zoo.cli.train",
    "zoo.training",
    "zoo_charrnn.lstm",
    "zoo_charrnn.rnn",
    "zoo_convnet.resnet_lite",
    "zoo_images.folder",
    "zoo_text.corpora",
)
"""What a run imports on use: whoever imports this has it."""

for _name in _BEFOREHAND:
    importlib.import_module(_name)

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["pytest", "tests.reliability.full"])
PATIENCE = 60.0
"""Seconds after which a process that should have ended is a failure."""


@dataclass
class Child:
    """A process that was started, and where it writes what it has to say."""

    process: Any
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def begun(self) -> None:
        """Wait until it catches SIGTERM, as zoo does from its beginning on, or is over."""
        status = Path(f"/proc/{self.pid}/status")
        deadline = time.monotonic() + PATIENCE
        while self.process.is_alive() and time.monotonic() < deadline:
            try:
                caught = int(status.read_text(encoding="ascii").partition("SigCgt:")[2].split()[0], 16)
            except OSError:  # it is over, or this system has no /proc
                return
            if caught >> (signal.SIGTERM - 1) & 1:
                return
            time.sleep(0.001)

    def wait(self) -> int:
        """Return its exit code, negative for the signal that ended it."""
        self.process.join(PATIENCE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {PATIENCE} s: {self.told}")
        code = self.process.exitcode
        self.process.close()
        return code

    @property
    def told(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def leaves_nobody(self) -> bool:
        """Say whether its whole process group is gone."""
        try:
            os.killpg(self._group, 0)
        except ProcessLookupError:
            return True
        return False

    def __post_init__(self) -> None:
        self._group = self.process.pid


def start(log: Path, target: Callable[..., None], *arguments: Any) -> Child:
    """Start a process that calls a function of a module."""
    process = _CONTEXT.Process(target=_begin, args=(str(log), os.environ.copy(), target, arguments))
    process.start()
    return Child(process, log)


def start_zoo(log: Path, folder: Path, arguments: Sequence[str]) -> Child:
    """Start a command line in a folder."""
    return start(log, run_zoo, str(folder), list(arguments))


def run_zoo(folder: str, arguments: list[str]) -> None:
    """Do what `zoo` does."""
    os.chdir(folder)
    sys.argv = ["zoo", *arguments]
    zoo.cli.main()


def _begin(log: str, environment: dict[str, str], target: Callable[..., None], arguments: Any) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    target(*arguments)


def seconds(child: Child) -> float:
    """Wait for a process that should end well; return how long it took."""
    begun = time.perf_counter()
    code = child.wait()
    assert code == 0, child.told
    return time.perf_counter() - begun
