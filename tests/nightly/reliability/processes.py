"""Processes to kill: each is forked from one that has already imported torch, and so starts at once.

Each runs a function, or a command line as `zoo` would, with stdout and stderr in a log file.
"""

from __future__ import annotations

import contextlib
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

import psutil

import zoo.cli

_BEFOREHAND = (
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "torch._dynamo",
    "zoo.api.training",
    "zoo.cli.train",
    "zoo.runs.lifecycle",
    "zoo_charrnn.lstm",
    "zoo_charrnn.rnn",
    "zoo_convnet.resnet_lite",
    "zoo_images.folder",
    "zoo_text.corpora",
)
"""What a run imports on use; importing this module imports it all."""

for _name in _BEFOREHAND:
    importlib.import_module(_name)

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["pytest", "tests.nightly.reliability.full"])
PATIENCE = 60.0
"""Seconds after which a process that should have ended counts as a failure."""


@dataclass
class Child:
    """A process that was started, and its log file."""

    process: Any
    log: Path

    def __post_init__(self) -> None:
        self._group = self.process.pid

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """Everything it has written to stdout and stderr."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def send(self, number: int) -> None:
        """Send a signal, if the process is still running."""
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if self.process.is_alive():
                os.kill(self.process.pid, number)

    def begun(self) -> None:
        """Wait until the process catches SIGTERM, as zoo does from its first line on, or has ended."""
        status = Path(f"/proc/{self.pid}/status")
        deadline = time.monotonic() + PATIENCE
        while self.process.is_alive() and time.monotonic() < deadline:
            try:
                caught = int(status.read_text(encoding="ascii").partition("SigCgt:")[2].split()[0], 16)
            except OSError:  # it has ended, or this system has no /proc
                return
            if caught >> (signal.SIGTERM - 1) & 1:
                return
            time.sleep(0.001)

    def wait(self, patience: float = PATIENCE) -> int:
        """Return the exit code, negative for the signal that ended the process."""
        self.process.join(patience)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {patience} s: {self.output}")
        code = self.process.exitcode
        self.process.close()
        return code

    def left_processes(self) -> bool:
        """Return whether a process of its process group still runs five seconds later.

        `git` may have been asked for the commit when the process was killed. It ends by itself, and is then a
        zombie until the first process of the machine has looked at it.
        """
        deadline = time.monotonic() + 5
        while any(_runs_in(self._group, one) for one in psutil.process_iter()):
            if time.monotonic() > deadline:
                return True
            time.sleep(0.05)
        return False


def _runs_in(group: int, process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def start(log: Path, target: Callable[..., None], *arguments: Any) -> Child:
    """Start a process that calls a function of a module."""
    process = _CONTEXT.Process(target=_begin, args=(str(log), os.environ.copy(), target, arguments))
    process.start()
    return Child(process, log)


def start_zoo(log: Path, folder: Path, arguments: Sequence[str]) -> Child:
    """Start a command line in a folder."""
    return start(log, run_zoo, str(folder), list(arguments))


def run_zoo(folder: str, arguments: list[str]) -> None:
    """Do what the `zoo` command does."""
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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore both
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    target(*arguments)
