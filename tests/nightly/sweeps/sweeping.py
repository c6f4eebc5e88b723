"""A small sweep, in a process of its own, and clusters of two workers to run it on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["EPOCHS", "Command", "dask_cluster", "ray_cluster", "table"]

EPOCHS = 10
_WORDS = (
    *("sweep", "mlp", "shapes", "--epochs", str(EPOCHS), "--batch-size", "20", "--model", "widths=64"),
    *("--data", "train_size=6000", "--data", "val_size=200", "--data", "test_size=20"),
    *("--over", "lr=0.01,0.03,0.1,0.2", "--over", "momentum=0.5,0.9"),
)


class Command:
    """`zoo sweep` in a folder, in a session of its own.

    Args:
        more: more options, such as `--jobs 2`.
        environ: more environment variables.
    """

    def __init__(self, folder: Path, *more: str, **environ: str) -> None:
        self.folder = folder
        self._words = [sys.executable, "-m", "zoo", *_WORDS, "--run", "sweep", "--quiet", *more]
        self._environ = {**os.environ, **environ}

    def start(self) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            [*self._words, "--json"],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> list[dict[str, Any]]:
        """Run the command to its end, and return its table."""
        process = self.start()
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, f"{out[-2000:]}\n{err[-2000:]}"
        return table(out)

    def kill_after(self, seconds: float) -> bool:
        """Kill the command but not its workers after some seconds; return whether it was still running."""
        process = self.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
            return False
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)  # until its workers have ended, too
        return True


def table(printed: str) -> list[dict[str, Any]]:
    """Return the rows of the trials that a command printed."""
    return json.loads(printed)["trials"]


def _wait_for_port(port: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < end, f"nothing listens on port {port}"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def _processes(lines: Sequence[Sequence[str]], folder: Path) -> Generator[list[subprocess.Popen[bytes]]]:
    started = [
        subprocess.Popen([sys.executable, "-m", *line], cwd=folder, stderr=subprocess.DEVNULL)
        for line in lines
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextlib.contextmanager
def dask_cluster(folder: Path) -> Generator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and two workers of one thread; yield the address for `--on`, and the workers."""
    port = _free_port()
    scheduler = [
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-dashboard",
    ]
    worker = ["distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny"]
    with _processes([scheduler], folder):
        _wait_for_port(port)
        with _processes([[*worker, "--no-dashboard"]] * 2, folder) as workers:
            yield f"dask://127.0.0.1:{port}", workers


@contextlib.contextmanager
def ray_cluster(folder: Path) -> Generator[str]:
    """Start a Ray node with two cores; yield the address for `--on`."""
    ray = str(Path(sys.executable).with_name("ray"))
    words = ["--num-cpus", "2", "--include-dashboard", "false", "--disable-usage-stats"]
    subprocess.run([ray, "start", "--head", *words], cwd=folder, check=True, capture_output=True)
    try:
        _wait_for_port(10001)
        yield "ray://127.0.0.1:10001"
    finally:
        subprocess.run([ray, "stop", "--force"], check=False, capture_output=True)
