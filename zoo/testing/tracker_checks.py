"""Checks of a tracker, on made-up runs in an empty folder, with the usual settings of its library."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from zoo.errors import MissingModule, SpecError, ZooError
from zoo.files import run_files
from zoo.runs.tracking import TrackedRow, TrackedRun, Tracker
from zoo.testing._case import Case, Failure, Skip, Warned, failing, message, without_extra
from zoo.testing._data import empty_folder
from zoo.testing._fresh import Fresh

_OPTIONS = {"dataset": "images/shapes", "seed": 0, "lr": 0.1, "model.depth": 20}
# The logs of a run; a tracker reads rows from zoo, and nothing from them
_FILES = {run_files.CONFIG: "schema = 1\n", run_files.METRICS: "", run_files.STEPS: '{"step": 1}\n'}
_LAST = 4
# A value that is easy to recognize, and its forms in a file
_VALUE = 0.28515625
_FORMS = [str(_VALUE).encode(), *(struct.pack(form, _VALUE) for form in ("<d", ">d", "<f", ">f"))]
_SLOW = 5.0
_connect = socket.socket.connect
_ROWS = [
    *(TrackedRow(step=step, time=1.8e9 + step, values={"loss": 1 / step, "lr": 0.1}) for step in (1, 2)),
    TrackedRow(step=2, time=1.8e9 + 3, values={"train/loss": 0.75, "val/loss": 0.5}),
    *(TrackedRow(step=step, time=1.8e9 + 4, values={"loss": 1 / step, "lr": 0.1}) for step in (3, _LAST)),
    TrackedRow(step=_LAST, time=1.8e9 + 5, values={"train/loss": _VALUE, "val/loss": 0.2}),
]


def makes_a_tracker(case: Case) -> None:
    """The target can be called without arguments and without torch, and returns a Tracker."""
    _made(case)
    with failing(
        expected="a tracker that can be created without torch",
        usually="`import torch` in its module, or `zoo.interfaces`, which imports torch",
    ):
        Fresh(case.plugin).ask("tracker", tracker=case.spec.name)


def continues_its_runs(case: Case) -> None:
    """A new run has no steps; a later process finds the last step of a run by its id, or returns None."""
    found = case.kept("tried", lambda: _try(case))
    assert found.new in (0, None), message(
        expected="0 or None for a new run",
        got=f"{found.new!r}",
        usually="the step of another run, found by its name instead of its id",
    )
    assert found.again is None or 0 < found.again <= _LAST, message(
        expected=f"a step from 1 to {_LAST}, or None, for a run that has {_LAST} steps",
        got=f"{found.again!r}",
        usually="a run that is not found by its id, the number of rows instead of the last step, or the next "
        "step instead of the last",
    )
    assert found.other in (0, None), message(
        expected="0 or None for another run of the same name",
        got=f"{found.other!r}",
        usually="a run that is found by its name instead of its id",
    )


def leaves_the_run_alone(case: Case) -> None:
    """Tracking does not change or delete the files of the run; a tracker may add its own files."""
    changed = case.kept("tried", lambda: _try(case)).changed
    assert not changed, message(
        expected="unchanged files of the run",
        got=f"a change in {', '.join(changed)}",
        usually="a tracker that writes to a log of the run instead of its own file",
    )


def stores_what_it_logs(case: Case) -> None:
    """The logged values are in a file, or were sent somewhere, and logging six rows takes at most 5 s.

    A tracker that is slow, or whose files do not show the values, gets a warning.
    """
    found = case.kept("tried", lambda: _try(case))
    assert found.written or found.connected or found.again, message(
        expected="rows that are stored in a file or a service",
        got="no file, no connection, and None from begin()",
        usually="a log() that only keeps the rows in memory, or an end() that does not wait for a thread",
    )
    if found.seconds > _SLOW:
        raise Warned(
            message(
                expected=f"six rows to be stored within {_SLOW:g} s",
                got=f"{found.seconds:.0f} s",
                usually="a request for each row, or a sleep; `zoo train --track` waits for the last rows",
            )
        )
    shown = any(form in content for content in found.written for form in _FORMS)
    if found.written and not shown:
        raise Warned(
            message(
                expected="the logged values in the files that the tracker wrote",
                got=f"{len(found.written)} files without them, as text or as floats",
                usually="rows that are not written, or compressed files, which the kit cannot read",
            )
        )


@dataclass(frozen=True)
class _Tried:
    """The results of a tracker for a new run, the same run and another run, and the files that it changed.

    Also the contents of the files that it wrote, whether it opened a connection, and how long it took.
    """

    new: int | None
    again: int | None
    other: int | None
    changed: list[str]
    written: list[bytes]
    connected: bool
    seconds: float


def _try(case: Case) -> _Tried:
    """Send a run in two parts, and another run, from an empty folder. Raises Failure if that fails."""
    with empty_folder() as folder, contextlib.chdir(folder):
        place = folder / "runs" / "mine"
        place.mkdir(parents=True)
        for name, text in _FILES.items():
            (place / name).write_text(text, encoding="utf-8")
        with failing(
            expected="begin(), log() and end() to work",
            usually="a service that cannot be reached (configure the library for offline use), or an "
            "option of an unsupported type",
        ):
            begun = time.perf_counter()
            with mock.patch.object(socket.socket, "connect", autospec=True, side_effect=_connect) as connect:
                new = _send(case, place, "0" * 31 + "1", _ROWS)
            seconds = time.perf_counter() - begun
            again = _send(case, place, "0" * 31 + "1", [])
            other = _send(case, place.with_name("other"), "0" * 31 + "2", [])
        changed = [name for name, text in _FILES.items() if _text(place / name) != text]
        files = [path for path in folder.rglob("*") if path.is_file() and path.name not in _FILES]
        written = [path.read_bytes() for path in files]
    return _Tried(new, again, other, changed, written, connect.called, seconds)


def _send(case: Case, place: Path, run_id: str, rows: list[TrackedRow]) -> int | None:
    """Send rows with a new tracker, as a new process would; return the step at which it begins."""
    place.mkdir(exist_ok=True)
    options: Mapping[str, str | int | float] = _OPTIONS
    tracker = _made(case)
    begun = tracker.begin(TrackedRun(name="mine", id=run_id, directory=place, part=1, options=options))
    for start in range(0, len(rows), 3):
        tracker.log(rows[start : start + 3])
    tracker.end("stopped")
    return begun


def _made(case: Case) -> Tracker:
    """Return the tracker. Raises Skip if its extra is not installed, and Failure if it is not a Tracker."""
    try:
        return case.entry.make({}, Tracker, flag="--to")
    except ModuleNotFoundError as error:
        problem: ZooError = MissingModule(f"it requires {error.name}, which is not installed", module="")
    except ZooError as error:
        problem = error
    if isinstance(problem, MissingModule) and case.spec.extra:
        raise without_extra(case.spec, problem) from None
    if isinstance(problem, SpecError) and "cannot be imported" in str(problem):
        raise Skip(str(problem))  # which targets_resolve finds
    raise Failure(
        expected="a target that returns a Tracker when called without arguments",
        got=str(problem),
        usually="a class that does not subclass zoo.plugin.Tracker, or an argument without a default",
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
