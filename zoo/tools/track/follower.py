"""Follow a run: read its logs as they grow, and send each new row to a tracker once.

The logs are small, at most about a thousand rows of steps, so they are read in full each time. A log that was
shortened and replaced on resuming therefore needs no special care: rows that were already sent are skipped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from zoo.config.options import text
from zoo.errors import RunError, ZooError, cause, warn
from zoo.files import run_files
from zoo.files.regular import open_regular
from zoo.registry.registry import Registry
from zoo.runs.run_directories import require_run
from zoo.runs.run_table import list_runs
from zoo.runs.step_log import read_rows
from zoo.runs.tracking import TrackedRow, TrackedRun, Tracker
from zoo.training.best_epoch import epochs_in
from zoo.training.saved import Row, StepRow, named_metrics

# Seconds between two looks at the logs
_POLL = 1.0
# Seconds after which the libraries have stored what they were given; W&B writes its file every 15 s
_SETTLED = 20.0
# Rows that a tracker is given at once
_MOST = 50
# Seconds to wait for another follower of the run that is about to end
_PATIENCE = 5.0
# Seconds after which a tracker that has not responded is reported
_SILENT = 10.0

Status = Literal["running", "finished", "stopped"]


@dataclass(frozen=True)
class Followed:
    """The outcome: how many rows were sent, the last step that the tracker has, and the state of the run."""

    rows: int
    step: int
    status: Status


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What a tracker was sent, as `track-NAME.json` in the run directory remembers it.

    Attributes:
        id, part, options: the run for the tracker; see `TrackedRun`.
        tracker: options of the tracker.
        after: time of the last row of the previous part.
        until: time of the last row that was sent.
        step, epoch: last step whose row was sent, and last step whose epoch's row was sent.
    """

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    part: int
    options: dict[str, str | int | float]
    tracker: dict[str, Any] = {}
    after: float = 0.0
    until: float = 0.0
    step: int = 0
    epoch: int = 0


def follow(
    directory: Path,
    name: str,
    make: Callable[..., Tracker],
    registry: Registry,
    *,
    options: Mapping[str, Any] | None = None,
    waiting: Callable[[], bool] = lambda: False,
) -> Followed:
    """Send the rows of a run to a tracker until the run is finished, or is stopped without `waiting`.

    Args:
        name: name of the tracker.
        make: function that maps options to a new tracker, for each part of the run.
        options: options of the tracker; by default, those with which this run is already being sent.
        waiting: function that returns whether to wait for a run that does not exist yet or is stopped.

    Raises:
        RunError: the directory does not contain a run, another process is tracking it, the tracker failed, or
            it was begun with other options.
    """
    while not (directory / run_files.CONFIG).is_file() and waiting():
        time.sleep(_POLL)
    require_run(directory)
    with _locked(directory / f"track-{name}.json", name) as file:
        follower = _Follower(directory, name, make, registry, file, options or {})
        try:
            waited_for = waiting()
            while (status := follower.look()) == "running" or (status == "stopped" and waited_for):
                time.sleep(_POLL)
                waited_for = waiting()
        except BaseException:  # Ctrl-C, too
            with contextlib.suppress(ZooError):
                follower.end("stopped")
            raise
        follower.end(status)
        return Followed(follower.rows, follower.step, status)


class _Follower:
    """Sends the rows of one run to one tracker.

    Args:
        file: descriptor of the open file that remembers what was sent.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        make: Callable[..., Tracker],
        registry: Registry,
        file: int,
        options: Mapping[str, Any],
    ) -> None:
        self._directory, self._name, self._make, self._registry = directory, name, make, registry
        self._file = file
        path = directory / f"track-{name}.json"
        self._sent = _read_sent(path, file)
        self._options = msgspec.to_builtins(dict(options)) or (self._sent.tracker if self._sent else {})
        if self._sent and self._sent.tracker != self._options:
            before = ", ".join(f"{key}={text(value)}" for key, value in self._sent.tracker.items())
            message = f"{directory} is already being sent to {name} with {before or 'the default options'}"
            raise RunError(message, hint=f"omit the options, or delete {path} to send it as a new run")
        self._whole: _Sent | None = None  # without the last step: W&B stores a step once the next one begins
        self._unsettled: deque[tuple[float, _Sent]] = deque()
        self._tracker: Tracker | None = None
        self.rows = 0

    @property
    def step(self) -> int:
        """The last step that was sent."""
        return max(self._sent.step, self._sent.epoch) if self._sent else 0

    def look(self) -> Status:
        """Send the rows that are new, and return the status that the run had before."""
        runs = list_runs(self._directory, registry=self._registry)
        if not runs:
            raise RunError(f"{self._directory} cannot be read as a run")
        sent = self._part(runs.options()[0])
        rows = _new_rows(self._directory, sent)
        for start in range(0, len(rows), _MOST):
            self._send(rows[start : start + _MOST])
        self._settle()
        return runs[0]["status"]

    def end(self, status: Literal["finished", "stopped"]) -> None:
        """End the tracker's run, after which everything is stored."""
        if self._tracker is not None:
            tracker, self._tracker = self._tracker, None
            with self._naming():
                tracker.end(status)
            self._unsettled.clear()
            if self._sent is not None:
                self._write(self._sent)

    def _part(self, options: Mapping[str, Any]) -> _Sent:
        """Begin or continue the part of the run that has these options, and return what of it was sent."""
        sent = self._sent
        if sent is None:
            sent = self._new(options, part=1)
        elif sent.options != options:
            self.end("stopped")
            time.sleep(_POLL)  # until the resumed run has shortened its logs, just after it wrote its options
            number, until = sent.part + 1, sent.until
            sent = self._new(options, part=number, after=until, until=until)
        if self._tracker is None:
            self._whole = sent = self._begun(sent)
        self._sent = sent
        return sent

    def _new(self, options: Mapping[str, Any], **place: Any) -> _Sent:
        return _Sent(id=uuid.uuid4().hex, options=dict(options), tracker=self._options, **place)

    def _begun(self, sent: _Sent) -> _Sent:
        """Begin or continue the tracker's run, and return what of it the tracker has."""
        self._write(sent)  # its id, before anything else has that id
        place = self._directory.resolve()
        run = TrackedRun(
            name=place.name + f"-part-{sent.part}" * (sent.part > 1),
            id=sent.id,
            directory=place,
            part=sent.part,
            options=sent.options,
        )
        with self._naming():
            tracker = self._make(**self._options)
            last = tracker.begin(run)
        self._tracker = tracker
        return sent if last is None else replace(sent, step=last, epoch=last)

    def _send(self, rows: Sequence[tuple[bool, TrackedRow]]) -> None:
        """Send rows, each with whether it is that of an epoch."""
        assert self._tracker is not None
        assert self._sent is not None
        with self._naming():
            self._tracker.log([row for _, row in rows])
        for of_epoch, row in rows:
            if row.step > self.step:
                self._whole = self._sent
            until = max(self._sent.until, row.time)
            place = {"epoch": row.step} if of_epoch else {"step": row.step}
            self._sent = replace(self._sent, until=until, **place)
        self.rows += len(rows)
        if self._whole is not None:
            self._unsettled.append((time.monotonic(), self._whole))

    def _settle(self) -> None:
        """Remember what was sent so long ago that it is stored."""
        settled: _Sent | None = None
        while self._unsettled and self._unsettled[0][0] <= time.monotonic() - _SETTLED:
            settled = self._unsettled.popleft()[1]
        if settled is not None:
            self._write(settled)

    def _write(self, sent: _Sent) -> None:
        """Remember what was sent."""
        line = msgspec.json.encode(sent) + b"\n"
        try:
            if os.pwrite(self._file, line, 0) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(self._file, len(line))
        except OSError as error:
            path, run = self._directory / f"track-{self._name}.json", shlex.quote(str(self._directory))
            message = f"{path} cannot be written: {error.strerror}"
            raise RunError(message, hint=f"run `zoo track {run} --to {self._name}` to continue") from None

    @contextlib.contextmanager
    def _naming(self) -> Generator[None]:
        """Raise a tracker's error as a RunError, unless a module is missing. Report a slow tracker."""
        waiting = f"{self._name} has not responded for {_SILENT:.0f} seconds; press Ctrl-C to stop waiting"
        notice = threading.Timer(_SILENT, warn, [waiting])
        notice.start()
        try:
            yield
        except (ZooError, ModuleNotFoundError):
            raise
        except Exception as error:
            run = shlex.quote(str(self._directory))
            message = f"the tracker {self._name} failed: {cause(error)}"
            raise RunError(message, hint=f"run `zoo track {run} --to {self._name}` to continue") from error
        finally:
            notice.cancel()


def _new_rows(directory: Path, sent: _Sent) -> list[tuple[bool, TrackedRow]]:
    """Return the rows that were not sent yet, in order, each with whether it is that of an epoch."""
    epochs = read_rows(directory / run_files.METRICS, Row)
    steps = read_rows(directory / run_files.STEPS, StepRow)
    now = time.time()  # for the rows of a log without times
    found: list[tuple[bool, TrackedRow]] = []
    for row in steps:
        # not before the row of the epoch before
        if row["step"] > sent.step and row["epoch"] <= epochs_in(epochs) + 1:
            values = {name: row[name] for name in ("loss", "lr", "rate")}
            found.append((False, TrackedRow(step=row["step"], time=row.get("time") or now, values=values)))
    for row in epochs:
        if row["steps"] > sent.epoch:
            logged = row["clock"].get("time") or now
            found.append((True, TrackedRow(step=row["steps"], time=logged, values=named_metrics(row))))
    found.sort(key=lambda each: (each[1].step, each[0]))
    return [each for each in found if each[1].time > sent.after]


@contextlib.contextmanager
def _locked(path: Path, name: str) -> Generator[int]:
    """Open and lock the file that remembers what was sent. Raises RunError if another process has it."""
    try:
        opened = open_regular(path, write=True)
    except OSError as error:
        hint = "delete it to send this as a new run" if os.path.lexists(path) else None
        raise RunError(f"{path} cannot be written: {error.strerror}", hint=hint) from None
    with opened as file:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    run = path.parent
                    message = f"another process is already sending {run} to {name}"
                    raise RunError(message, hint="wait until it ends, or stop it") from None
                time.sleep(0.1)
        yield file.fileno()


def _read_sent(path: Path, file: int) -> _Sent | None:
    """Return what was sent, None if nothing was. The file may end with the rest of a longer line."""
    line = os.pread(file, 1 << 20, 0).partition(b"\n")[0]
    try:
        return msgspec.json.decode(line, type=_Sent) if line else None
    except (msgspec.MsgspecError, RecursionError) as error:
        hint = "delete the file to send this as a new run"
        raise RunError(f"{path} is damaged: {cause(error)}", hint=hint) from None
