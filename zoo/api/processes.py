"""A training in several processes of this machine, which torchrun's launcher starts, watches and stops."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo import errors
from zoo.api.suspending import stopping_with_this_one
from zoo.config.torchrun import is_one_of_several
from zoo.console.terminal import lines_told
from zoo.errors import Interrupted, Lost, OptionError, RunError, ZooError, ZooWarning, warn

__all__ = ["report", "report_failure", "report_success", "require_processes", "run_together"]

# Seconds to finish a step and to save in, after a request to stop
_TO_STOP = 300
_MOST = 1_024
_FINISHED = "finished-"
# Signals that are handled while the others run; of any other this process dies, and they stop by themselves
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def require_processes(processes: int) -> None:
    """Raise OptionError for a number of processes that `run_together` cannot start here."""
    if not 1 <= processes <= _MOST:
        raise OptionError(f"processes must be between 1 and {_MOST:,} (got {processes:,})")
    if processes > 1 and ("TORCHELASTIC_RUN_ID" in os.environ or is_one_of_several()):
        message = f"processes must be 1 in each process that torchrun starts (got {processes:,})"
        hint = "RANK and WORLD_SIZE are set; torchrun has --nproc-per-node of its own"
        raise OptionError(message, hint=hint)


def run_together(processes: int, job: Mapping[str, Any], *, resume: str) -> None:
    """Run `python -m zoo.api.worker` in several processes; what they warned of is warned of in the end.

    Args:
        processes: how many; see `require_processes`.
        job: what to do, JSON data.
        resume: the command that continues what they did.

    Raises:
        ZooError: what the first of those that failed raised.
        RunError: one of them was killed.
        Interrupted: a signal stopped them before they had anything to save.
    """
    lines = lines_told()
    with tempfile.TemporaryDirectory(prefix="zoo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps({**job, "printed": lines is not None}, default=_refuse))
        with _quiet_launcher(), stopping_with_this_one(folder):
            codes, number = _launched(processes, folder)
        failures, told = [*_reports(folder, "failure")], [*_reports(folder, "warnings")]
        finished = {rank for rank in range(processes) if (folder / f"{_FINISHED}{rank}").exists()}
        codes |= dict.fromkeys({*range(processes)} - codes.keys() - finished, 0)
    saved = Path(job["directory"], "checkpoint.safetensors").exists()
    failure = _cause(processes, codes, number, failures, resume=resume if saved else "")
    for message in dict.fromkeys(itertools.chain(*told)):
        if lines is None:
            with contextlib.nullcontext() if failure is None else contextlib.suppress(ZooWarning):
                warn(message)
        else:
            lines.append(message)
    if failure is not None:
        raise failure


def _cause(
    processes: int,
    codes: Mapping[int, int],
    number: int,
    failures: Sequence[Mapping[str, Any]],
    *,
    resume: str,
) -> ZooError | None:
    """Return why a training in several processes has ended, or None if it is done.

    Args:
        codes: the exit code of each process that did not finish, negative for a signal.
        number: the signal that stopped all, or 0.
        failures: what processes have left by `report_failure`.
        resume: the command that continues what they did, if anything was saved.
    """
    hint = f"`{resume}` continues the run" if resume else None
    if own := [failure for failure in failures if failure["kind"] != "Lost"]:
        first = _failure(min(own, key=lambda failure: failure["rank"]))
        if isinstance(first, Interrupted):
            first.hint = resume if first.hint else None
            first.exit_code = 128 + number if number else first.exit_code
        return first
    if number:
        return Interrupted("interrupted", signal=number, hint=hint)
    if not codes:
        return None
    lost = {failure["rank"] for failure in failures}  # because of another one
    causes = {rank: code for rank, code in codes.items() if rank not in lost} or codes
    waited = max((failure["waited"] for failure in failures), default=0)
    rank, code = min(causes.items(), key=lambda item: _unlike_a_cause(item[1]))
    if waited:
        did = f"has not answered for {waited:,.0f} seconds"
    elif code < 0:
        did = f"was killed by signal {-code}"
    else:
        did = f"ended with exit code {code}" if code else "ended before the training was over"
    return RunError(f"process {rank} of {processes} {did}", hint=hint)


def report(what: str, content: object, folder: Path) -> None:
    """Leave the warnings or the failure of this process where `run_together` finds them."""
    with contextlib.suppress(OSError):  # the disk is full, or the command was killed
        (folder / f"{what}-{os.environ['RANK']}.json").write_text(json.dumps(content))


def report_success(folder: Path) -> None:
    """Let `run_together` know that this process has done its part: one that just ends has not."""
    with contextlib.suppress(OSError):
        (folder / f"{_FINISHED}{os.environ['RANK']}").touch()


def report_failure(error: ZooError, folder: Path) -> None:
    """Leave an error of this process where `run_together` finds it."""
    failure = {
        "rank": int(os.environ["RANK"]),
        "kind": type(error).__name__,
        "message": str(error),
        "hint": error.hint,
        "exit_code": error.exit_code,
        "waited": error.waited if isinstance(error, Lost) else 0,
    }
    report("failure", failure, folder)


def _reports(folder: Path, what: str) -> Generator[Any]:
    for file in sorted(folder.glob(f"{what}-*.json")):
        with contextlib.suppress(ValueError):  # the disk was full
            yield json.loads(file.read_text())


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


def _refuse(value: object) -> object:
    raise OptionError(f"{value!r:.80} is not JSON data, and cannot be passed to several processes")


def _unlike_a_cause(code: int) -> int:
    """Return how little an exit code looks like what ended the others, whom the launcher then stops."""
    return 2 if code in (-signal.SIGTERM, 128 + signal.SIGTERM) else int(code >= 0)


def _failure(failure: Mapping[str, Any]) -> ZooError:
    kind = getattr(errors, failure["kind"], RunError)
    error: ZooError = kind.__new__(kind)
    ZooError.__init__(error, failure["message"], hint=failure["hint"])
    error.exit_code = failure["exit_code"]
    return error


def _launched(processes: int, folder: Path) -> tuple[dict[int, int], int]:
    """Run the processes.

    Returns the exit codes, negative for signals, of those that failed, by rank; and the number of the signal
    that this process was sent, or 0.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
        shutdown_timeout=_TO_STOP,
        signals_to_handle="" if _is_ignored(signal.SIGTERM) else "SIGTERM",
    )
    # Without -P, Python would run files of the working directory that have the names of its own modules
    command: Sequence[str] = ("-P", "-m", "zoo.api.worker", str(folder), str(os.getpid()))
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise SignalException("SIGINT", signal.SIGTERM)  # which ends a Python that starts without a traceback

    if threading.current_thread() is threading.main_thread() and not _is_ignored(signal.SIGINT):
        signal.signal(signal.SIGINT, interrupt)
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        return {rank: failure.exitcode for rank, failure in error.failures.items()}, 0
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:  # the launcher may fail at the moment in which a signal stops it
            if isinstance(cause, SignalException):
                return {}, signal.SIGINT if interrupted else int(cause.sigval)
            cause = cause.__context__
        raise
    return {}, 0


@contextmanager
def _quiet_launcher() -> Generator[None]:
    """Keep the launcher from logging, and undo the signal handlers and the variable that it sets."""
    importlib.import_module("torch.distributed.launcher.api")  # whose loggers must exist
    main = threading.current_thread() is threading.main_thread()
    names = [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    listed = os.environ.get("TORCHELASTIC_SIGNALS_TO_HANDLE")
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for number, handler in handlers.items() if main else ():
            signal.signal(number, handler)
        os.environ.pop("TORCHELASTIC_SIGNALS_TO_HANDLE", None)
        if listed is not None:
            os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = listed
