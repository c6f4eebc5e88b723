"""TensorBoard: event files in the run directory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Literal

from zoo.errors import RunError
from zoo.runs.tracking import TrackedRow, TrackedRun, Tracker


class TensorBoard(Tracker):
    """Write event files to the folder `tensorboard` of the run directory, without TensorFlow."""

    def __init__(self) -> None:
        self._proto = import_module("tensorboard.compat.proto.event_pb2")
        self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        self._files = import_module("tensorboard.summary.writer.event_file_writer")
        self._hparams = import_module("tensorboard.plugins.hparams.summary_v2")
        self._reading = import_module("tensorboard.backend.event_processing.event_accumulator")

    def begin(self, run: TrackedRun) -> int:
        """Begin a file, which discards the last step of older files because that step may lack metrics."""
        folder = run.directory / f"tensorboard{f'-part-{run.part}' if run.part > 1 else ''}"
        if folder.is_symlink() or not all(path.is_file() for path in folder.glob("*tfevents*")):
            raise RunError(f"{folder} is not a folder of event files", hint="delete it, or move it")
        folder.mkdir(exist_ok=True)
        settings = {"size_guidance": {"scalars": 0}, "purge_orphaned_data": False}
        found = self._reading.EventAccumulator(str(folder), **settings).Reload()
        steps = {event.step for tag in found.Tags()["scalars"] for event in found.Scalars(tag)}
        last = max(steps, default=0)
        self._writer = self._files.EventFileWriter(str(folder))
        if last:
            start = self._proto.SessionLog(status=self._proto.SessionLog.START)
            self._add(time.time(), step=last, session_log=start)
        self._add(time.time(), summary=self._hparams.hparams_pb(dict(run.options), trial_id=run.name))
        self._writer.flush()
        return max(last - 1, 0)

    def log(self, rows: Sequence[TrackedRow]) -> None:
        for row in rows:
            values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in row.values.items()]
            self._add(row.time, step=row.step, summary=self._summary(value=values))
        self._writer.flush()

    def end(self, status: Literal["finished", "stopped"]) -> None:
        self._writer.close()

    def _add(self, moment: float, **content: Any) -> None:
        self._writer.add_event(self._proto.Event(wall_time=moment, **content))
