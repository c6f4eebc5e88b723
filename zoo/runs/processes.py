"""Train in several processes on this machine, with the environment variables that torchrun would set."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from zoo import errors
from zoo.config.torchrun import is_one_of_several
from zoo.console.terminal import lines_told
from zoo.errors import Interrupted, OptionError, RunError, ZooError, ZooWarning, warn
from zoo.files import run_files
from zoo.runs.signals import listening

# Seconds that processes have to finish a step and to save, after a request to stop; and after one has failed,
# those for the others to notice it, and to end
_TO_STOP, _TO_NOTICE, _TO_FOLLOW = 300, 5, 30
_MOST = 1_024
# Without -P, Python would run files of the working directory that have the names of its own modules
_WORKER = (sys.executable, "-P", "-m", "zoo.runs.worker")


def require_processes(processes: int) -> None:
    """Raise OptionError if `run_together` cannot start this number of processes here."""
    if not 1 <= processes <= _MOST:
        raise OptionError(f"processes must be between 1 and {_MOST:,} (got {processes:,})")
    if processes > 1 and ("TORCHELASTIC_RUN_ID" in os.environ or is_one_of_several()):
        message = f"processes must be 1 in a process that torchrun started (got {processes:,})"
        hint = "RANK and WORLD_SIZE are set; pass --nproc-per-node to torchrun instead"
        raise OptionError(message, hint=hint)


def run_together(processes: int, job: Mapping[str, Any], *, resume: str) -> None:
    """Run `python -m zoo.runs.worker` in several processes; repeat the first process's warnings at the end.

    Args:
        processes: number of processes; see `require_processes`.
        job: the job, as JSON data.
        resume: the command that continues the run.

    Raises:
        ZooError: the error of the first process that failed.
        RunError: a process was killed.
        Interrupted: a signal stopped the processes before anything was saved.
    """
    lines = lines_told()
    content = json.dumps({**job, "printed": lines is not None}, default=_refuse).encode()
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(processes)]
        stop = stack.enter_context(listening())
        codes = _exit_codes(content, files, stop)
        reports = [_report(file) for file in files]
        number = stop()
    saved = Path(job["directory"], run_files.CHECKPOINT).exists()
    failure = _cause(codes, reports, number, resume=resume if saved else "")
    warnings: list[str] = reports[0]["warnings"]
    if lines is not None:  # it has printed them
        lines.extend(warnings)
        warnings = []
    with contextlib.suppress(ZooWarning) if failure else contextlib.nullcontext():
        for message in warnings:
            warn(message)
    if failure:
        raise failure


def _exit_codes(job: bytes, reports: Sequence[IO[bytes]], stop: Callable[[], int]) -> list[int]:
    """Run a process for each report file, which receives its stdout; return the processes' exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    size = str(len(reports))
    world = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for rank, report in enumerate(reports):
            _start_worker(workers, world | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, job, report)
        _wait(workers, stop)
    finally:
        for worker in workers:
            worker.kill()
        codes = [worker.wait() for worker in workers]
    return codes


def _start_worker(
    workers: list[subprocess.Popen[bytes]], variables: Mapping[str, str], job: bytes, report: IO[bytes]
) -> None:
    """Start a process and add it to `workers`. It reads `job` from stdin and writes stdout to `report`.

    It is in the terminal's process group, so Ctrl-C and Ctrl-Z reach it directly.
    """
    command = [*_WORKER, str(os.getpid())]
    # Python would print a traceback on a Ctrl-C before the worker's first line, which unblocks it; and here a
    # Ctrl-C between the start and `append` would leave a process that nobody ends
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        worker = subprocess.Popen(command, env=os.environ | variables, stdin=subprocess.PIPE, stdout=report)
        workers.append(worker)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError), worker.stdin:
        worker.stdin.write(job)


def _wait(workers: Sequence[subprocess.Popen[bytes]], stop: Callable[[], int]) -> None:
    """Wait until all processes have ended. Forward signals; when a process fails, ask the others to stop."""
    to_ask = deadline = math.inf
    while None in (codes := [worker.poll() for worker in workers]):
        failed = [code for code in codes if code]
        now = time.monotonic()
        if deadline == math.inf and (stop() or failed):
            asked = stop() or failed[0] > 128  # one that saw a signal ends while the first one saves
            to_ask = now if stop() else now + _TO_NOTICE
            deadline = now + (_TO_STOP if asked else _TO_FOLLOW)
        if now >= to_ask:
            to_ask = math.inf
            for worker in workers:
                worker.terminate()
        if now > deadline:
            break
        time.sleep(0.05)


def _report(file: IO[bytes]) -> dict[str, Any]:
    """Return the report in the last line of a process's stdout, or an empty report if it was killed."""
    file.seek(0)
    with contextlib.suppress(ValueError):
        return json.loads(file.read().rpartition(b"\n")[2])
    return {"warnings": [], "error": None, "finished": False}


def _cause(
    codes: Sequence[int], reports: Sequence[Mapping[str, Any]], number: int, *, resume: str
) -> ZooError | None:
    """Return the error that ended training in several processes; None if training has finished.

    Args:
        codes: the exit codes of the processes, negative for a signal.
        reports: the report of each process; see `zoo.runs.worker`.
        number: number of the signal that stopped all processes, or 0.
        resume: the command that continues the run, if anything was saved.
    """
    hint = f"`{resume}` continues the run" if resume else None
    told = [report["error"] for report in reports if report["error"]]
    if own := [error for error in told if error["kind"] != "Lost"]:
        first = errors.told(own[0]["kind"], own[0]["message"], own[0]["hint"])
        first.exit_code = own[0]["exit_code"]
        if isinstance(first, Interrupted):
            first.hint = resume if first.hint else None
            first.exit_code = 128 + number if number else first.exit_code
        return first
    left = {rank: code for rank, code in enumerate(codes) if not reports[rank]["finished"]}
    if number and left:
        return Interrupted("interrupted", signal=number, hint=hint)
    if not left:
        return None
    # Not one that only lost another, nor, if possible, one that was stopped because of it
    causes = {rank: code for rank, code in left.items() if not reports[rank]["error"]} or left
    rank = min(causes, key=lambda rank: causes[rank] == -signal.SIGTERM)
    waited = max((error["waited"] for error in told), default=0)
    if waited:
        did = f"has not responded for {waited:,.0f} seconds"
    elif codes[rank] < 0:
        did = f"was killed by signal {-codes[rank]}"
    else:
        did = f"exited with code {codes[rank]}" if codes[rank] else "exited before training finished"
    if codes[rank] == -signal.SIGABRT:  # as gloo does if messages differ in size
        hint = "if the model randomly skips BatchNorm layers, use --no-sync-batch-norm or a single process"
    return RunError(f"process {rank} of {len(codes)} {did}", hint=hint)


def _refuse(value: object) -> object:
    raise OptionError(f"{value!r:.80} is not JSON-serializable, so it cannot be passed to other processes")
