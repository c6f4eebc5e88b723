"""One trial of a sweep, in this process or in a worker.

A worker may run on another machine that shares the file system. Therefore, paths are absolute, and the trial
includes the working folder and zoo's environment variables.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from zoo.api.training import train
from zoo.config.recipe import Recipe
from zoo.errors import Diverged, Interrupted, ZooError, ZooWarning
from zoo.registry.registry import Registry

# Whether a trial is running; another thread ends the process if its parent has ended
_BUSY = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial: the arguments of `zoo.train`, and the settings that a worker needs to run it elsewhere.

    Attributes:
        directory: absolute path of the run directory.
        training: arguments of `zoo.train`: `model`, `data`, `seed`, `threads` and training options.
        stop_after: number of epochs after which to stop; None to train to the end.
        folder: the working folder.
        environ: zoo's environment variables.
    """

    directory: str
    name: str | Recipe
    dataset: str | None
    training: Mapping[str, Any]
    stop_after: int | None = None
    device: str | None = None
    folder: str
    environ: Mapping[str, str]


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended: `done`, `diverged`, `stopped` by a signal, or `failed`, with the error."""

    status: str
    kind: str = ""
    message: str = ""
    hint: str | None = None


def environment() -> dict[str, str]:
    """Return zoo's environment variables, with absolute paths."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith("ZOO_")}
    for name in {"ZOO_DATA", "ZOO_CACHE", "ZOO_REGISTRY", "ZOO_STATE", "ZOO_WEIGHTS"} & chosen.keys():
        chosen[name] = os.pathsep.join(map(os.path.abspath, chosen[name].split(os.pathsep)))
    return chosen


def run_trial(trial: Trial, registry: Registry | None = None) -> TrialOutcome:
    """Train, or continue a stopped run. Errors of zoo are part of the outcome.

    Args:
        registry: registry to use in this process; by default, the one that a worker discovers.
    """
    try:
        place = _place_of(trial) if registry is None else contextlib.nullcontext()
        with _BUSY, place, warnings.catch_warnings(action="ignore", category=ZooWarning):
            train(
                trial.name,
                trial.dataset,
                run=trial.directory,
                resume=True,
                stop_after=trial.stop_after,
                device=trial.device,
                progress=False,
                registry=registry,
                **trial.training,
            )
    except Diverged as error:
        return TrialOutcome("diverged", "Diverged", str(error), error.hint)
    except Interrupted as error:
        return TrialOutcome("stopped", "Interrupted", str(error), error.hint)
    except ZooError as error:
        return TrialOutcome("failed", type(error).__name__, str(error), error.hint)
    return TrialOutcome("done")


@contextlib.contextmanager
def _place_of(trial: Trial) -> Generator[None]:
    """Work in the folder and with the variables of the process that made the trial."""
    before = dict(os.environ)
    folder = trial.folder if Path(trial.folder).is_dir() else os.curdir
    try:
        with contextlib.chdir(folder):
            os.environ.update(trial.environ)
            yield
    finally:
        for name in trial.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def leave_signals_to(parent: int) -> None:
    """In a new worker, ignore Ctrl-C, which the parent forwards as SIGTERM; save and end with the parent.

    Between trials, SIGTERM has no effect: a worker that ends breaks the others, too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore)
    threading.Thread(target=_watch, args=[parent], daemon=True).start()


def _ignore(number: int, _: FrameType | None) -> None:
    """Have no effect."""


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)  # the run is saved
    with _BUSY:
        os._exit(1)
