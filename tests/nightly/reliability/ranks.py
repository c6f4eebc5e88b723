"""Promises about a run in several processes: killed, stopped, ended."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.nightly.reliability import toys
from tests.nightly.reliability.figure import Figure, counted

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
TOY = "lstm"
# Seconds after which a process that should have ended counts as left over
PATIENCE = 60


class Going:
    """A command that starts processes, in a session of its own, and what it and they say."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.log = folder / "going.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def ranks(self) -> list[int]:
        """The processes that it has started, in the order of their ranks."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, check=False)
        return [int(line) for line in found.stdout.split()]

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, file: Path) -> None:
        """Wait until a file is there, or the command has ended."""
        while not file.exists() and self.process.poll() is None:
            time.sleep(0.01)

    def ended(self) -> int:
        """Return the exit code, negative for a signal."""
        return self.process.wait(timeout=10 * PATIENCE)


def training(run: str, *, processes: int, launcher: bool, epochs: int = 6) -> list[str]:
    """Return a training of a toy that is saved after each step: by `--processes`, or by torchrun."""
    words = toys.train(TOY, run, "--threads", "1", "--save-every", "1", "--quiet", epochs=epochs)
    if launcher:
        return [*TORCHRUN, f"--nproc-per-node={processes}", "--max-restarts=3", "-m", "--", "zoo", *words]
    return [sys.executable, "-m", "zoo", *words, "--processes", str(processes)]


def killed(folder: Path, *, twos: int, threes: int) -> Figure:
    """Kill a random process at a random moment; torchrun starts all of them again."""
    draw, broken, kills = random.Random(1), list[str](), 0
    toys.lay_out(folder)
    for processes, runs in ((2, twos), (3, threes)):
        expected, seconds = _undisturbed(folder, processes) if runs else ({}, 0.0)
        for number in range(runs):
            run = folder / f"killed-{processes}-{number}"
            going = Going(folder, training(run.name, processes=processes, launcher=True))
            going.wait_for(run / "checkpoint.safetensors")
            time.sleep(draw.uniform(0, seconds))
            ranks = going.ranks
            if len(ranks) == processes:
                os.kill(draw.choice(ranks), signal.SIGKILL)
                kills += 1
            if code := going.ended():
                broken.append(f"{run.name} ended with {code}: {going.said[-300:]}")
            elif toys.outcome(run) != expected:
                broken.append(f"{run.name} is not bit-equal")
            shutil.rmtree(run)
    return counted(
        "one process of a run killed by SIGKILL, after which torchrun restarts all processes",
        twos + threes,
        broken,
        f"runs were bit-identical, {twos} in two processes and {threes} in three",
        f"{kills} kills",
    )


def stopped(folder: Path, *, runs: int) -> Figure:
    """Send SIGTERM to a process, to the command or to all, or kill the command; then resume."""
    draw, broken, left, midway = random.Random(2), list[str](), 0, 0
    toys.lay_out(folder)
    expected, seconds = _undisturbed(folder, 2)
    for number in range(runs):
        run, what = folder / f"stopped-{number}", ("killed", "one", "command", "all")[number % 4]
        going = Going(folder, training(run.name, processes=2, launcher=False))
        going.wait_for(run / "checkpoint.safetensors")
        time.sleep(draw.uniform(0, seconds))
        ranks = going.ranks
        meant = {"one": draw.sample(ranks, min(1, len(ranks))), "all": [going.process.pid, *ranks]}
        for pid in meant.get(what, [going.process.pid]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if what == "killed" else signal.SIGTERM)
        code = going.ended()
        midway += code != 0
        if code not in ((-9, 0) if what == "killed" else (143, 0)) or "Traceback" in going.said:
            broken.append(f"{run.name} ({what}) ended with {code}: {going.said[-300:]}")
        if not _gone(ranks):
            left += 1
            broken.append(f"{run.name} ({what}) left a process")
        again = Going(folder, training(run.name, processes=2, launcher=False))
        if (code := again.ended()) or toys.outcome(run) != expected:
            broken.append(f"{run.name} ({what}), resumed, ended with {code}: {again.said[-300:]}")
        shutil.rmtree(run)
    return Figure(
        "runs stopped by SIGTERM to one process, to all processes or to the command, or by SIGKILL "
        "to the command, and then resumed",
        runs,
        runs - len({text.split()[0] for text in broken}),
        "times, the exit code after SIGTERM was 143, all processes exited, and the resumed run was "
        "bit-identical",
        f"{midway} runs were stopped before they finished; {left} left a process running",
        tuple(broken),
    )


def ended_well(folder: Path, *, runs: int) -> Figure:
    """Let runs end by themselves."""
    broken: list[str] = []
    toys.lay_out(folder)
    for number in range(runs):
        run = folder / f"well-{number}"
        going = Going(folder, training(run.name, processes=2, launcher=bool(number % 2), epochs=1))
        if code := going.ended():
            broken.append(f"{run.name} ended with {code}: {going.said[-300:]}")
        shutil.rmtree(run)
    return counted(
        "uninterrupted runs in two processes, half of them started by torchrun",
        runs,
        broken,
        "ended with exit code 0",
    )


def _undisturbed(folder: Path, processes: int) -> tuple[dict[str, object], float]:
    """Return the outcome of a run that nothing disturbs, and its seconds after the first save."""
    run = folder / f"undisturbed-{processes}"
    going = Going(folder, training(run.name, processes=processes, launcher=False))
    going.wait_for(run / "checkpoint.safetensors")
    begun = time.perf_counter()
    going.wait_for(run / "model.safetensors")
    seconds = time.perf_counter() - begun
    assert going.ended() == 0, going.said
    return toys.outcome(run), seconds


def _gone(processes: Sequence[int]) -> bool:
    """Return whether processes end in time."""
    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
