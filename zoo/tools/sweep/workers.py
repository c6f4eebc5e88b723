"""Run trials one after another or several at a time, wherever joblib can run them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from importlib import import_module
from typing import Any

from zoo.errors import Interrupted, OptionError, RunError, first_line
from zoo.registry.extras import needing_extra
from zoo.registry.registry import Registry
from zoo.runs.signals import listening
from zoo.tools.sweep.sweep_trial import Trial, TrialOutcome, leave_signals_to, run_trial

# Seconds to wait for a cluster to answer
_PATIENCE = 10
# Seconds after which a worker without a trial ends; others may train for hours
_IDLE = 24 * 3600


def run_all(
    trials: Sequence[Trial], *, jobs: int, on: str, registry: Registry | None
) -> Iterator[tuple[Trial, TrialOutcome]]:
    """Run trials, and yield each with its outcome as soon as it has ended.

    Args:
        jobs: number of trials at a time; 0 for one on this machine, or one per worker of a cluster.
        on: `local`, `dask://HOST:PORT` or `ray://HOST:PORT`.
        registry: custom registry, which works only in this process; None for the discovered one.

    Raises:
        OptionError: `on` or `jobs` is invalid.
        SpecError: a package is missing.
        RunError: the cluster does not respond, or a worker was lost.
        Interrupted: SIGINT or SIGTERM arrived. Trials that were running on this machine are saved.
    """
    if on == "local" and jobs <= 1:
        yield from _one_by_one(trials, registry)
        return
    if registry is not None and not registry.discovered:
        raise OptionError(f"jobs must be 1 with a custom registry (got {jobs})")
    if trials:
        yield from _several(trials, jobs, on)


def _one_by_one(trials: Sequence[Trial], registry: Registry | None) -> Iterator[tuple[Trial, TrialOutcome]]:
    for trial in trials:
        outcome = run_trial(trial, registry)
        if outcome.status == "stopped":
            raise Interrupted(outcome.message, signal=signal.SIGINT, hint=outcome.hint)
        yield trial, outcome


def _several(trials: Sequence[Trial], jobs: int, on: str) -> Iterator[tuple[Trial, TrialOutcome]]:
    joblib = required("joblib", "sweep")
    stopping = listening(also=_stop_workers if on == "local" else None)
    with stopping as stop, _backend(joblib, on, min(jobs, len(trials))) as settings:
        tasks = (joblib.delayed(_numbered)(*pair) for pair in enumerate(trials) if not stop())
        try:
            for number, outcome in joblib.Parallel(**settings)(tasks):
                yield trials[number], outcome
        except Exception as error:  # of joblib, or of the code of a model in a worker
            if not stop():
                message = f"the workers failed: {type(error).__name__}: {first_line(error)}"
                raise RunError(message, hint="run the same command again to continue the runs") from error
        if stop():
            raise Interrupted("stopped; the runs are saved", signal=stop())


def _numbered(number: int, trial: Trial) -> tuple[int, TrialOutcome]:
    return number, run_trial(trial)


def _stop_workers() -> None:
    """Send SIGTERM to the workers on this machine, so that they save what they train."""
    import psutil

    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            child.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def _backend(joblib: Any, on: str, jobs: int) -> Generator[dict[str, Any]]:
    """Choose joblib's backend, and yield the arguments of `Parallel`."""
    scheme, _, address = on.partition("://")
    settings: dict[str, Any] = {"batch_size": 1, "pre_dispatch": "n_jobs", "return_as": "generator_unordered"}
    if on == "local":
        begin = {"initializer": leave_signals_to, "initargs": (os.getpid(),)}
        with joblib.parallel_config("loky", n_jobs=jobs, idle_worker_timeout=_IDLE, **begin):
            yield settings
    elif scheme == "dask" and address:
        with _dask(address) as client, joblib.parallel_config("dask", client=client, n_jobs=jobs or -1):
            yield settings
    elif scheme == "ray" and address:
        _connect_to_ray(on)
        with joblib.parallel_config("ray", n_jobs=jobs or -1):
            yield settings | {"return_as": "list"}
    else:
        raise OptionError(f"on must be local, dask://HOST:PORT or ray://HOST:PORT (got {on!r:.80})")


@contextlib.contextmanager
def _dask(address: str) -> Generator[Any]:
    distributed = required("distributed", "dask")
    try:
        client = distributed.Client(f"tcp://{address}", timeout=_PATIENCE)
    except OSError as error:
        raise RunError(f"no Dask scheduler answers at {address}: {first_line(error)}") from None
    with client:
        yield client


def _connect_to_ray(address: str) -> None:
    ray = required("ray", "ray")
    try:
        if not ray.is_initialized():
            ray.init(address, logging_level="WARNING", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(f"no Ray cluster answers at {address}: {first_line(error)}") from None
    import_module("ray.util.joblib").register_ray()


def quiet_optuna() -> Any:
    """Import Optuna without its log of each study and trial."""
    optuna = required("optuna", "sweep")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def required(module: str, extra: str) -> Any:
    """Import a module of an extra. Raises SpecError with the command that installs it."""
    with needing_extra(extra, "this"):
        return import_module(module)
