"""A run directory: one owner at a time, one commit point, everything needed to continue or repeat the run.

Only `checkpoint.safetensors` counts for resuming; the previous one is kept beside it. `metrics.jsonl`,
`config.toml`, `curve.png`, `model.safetensors` and `best.safetensors` are derived from it. `steps.jsonl` is
appended to between checkpoints, and cut back to the checkpoint from which a run continues.

Files are written through the open directory, so they follow a directory that is moved, and are never written
to one that was deleted and recreated. Before each write, this process must still hold the lock; after each
save, the path must still lead to the directory. Otherwise the run stops.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import rtoml

from zoo.errors import RunError, WeightsError, warn
from zoo.files.atomic import atomic_write
from zoo.files.canonical import canonical_json
from zoo.files.cards import Card
from zoo.files.remembering import remember
from zoo.models import weights
from zoo.runs.checkpoint import Checkpoint, Checkpoints
from zoo.runs.drift import changes_batches, drift, refuse_fixed, warn_of_another_cpu
from zoo.runs.lock import CONFIG_HEAD, RUN_FILES, claimed
from zoo.runs.save_interval import SaveInterval
from zoo.runs.step_log import StepLog
from zoo.training.hidden import widened
from zoo.training.saved import RunIdentity
from zoo.training.state import TrainState

_LEFTOVER = re.compile(rf"\.({'|'.join(map(re.escape, RUN_FILES))})\..*\.tmp")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(eq=False)
class RunDirectory:
    """The Store of one run. Inside its `with` block, this process owns the directory.

    Args:
        path: created if it does not exist.
        resume: continue from the checkpoint, if there is one; if False, a directory with a run is rejected.
        checkpoints: checkpoints of the directory, if they have been opened already.
        interval: how often to save the run within an epoch.
        plugin_files: one-file plugins that are required to continue the run.
        accept_changes: continue a run even if its options or its data have changed.
        make_card: returns the card of the best weights, given the state and the changes so far.
        clock: seconds from an arbitrary start.

    Attributes:
        changes: options changed during the run, and when.
        weights: file of the final weights.

    Raises:
        RunError: the directory cannot be written, is in use, or holds another run.
    """

    path: Path
    identity: RunIdentity
    _: KW_ONLY
    resume: bool = False
    checkpoints: Checkpoints | None = None
    interval: SaveInterval = field(default_factory=SaveInterval)
    plugin_files: Sequence[str] = ()
    accept_changes: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    cutting: Collection[str] = ()
    make_card: Callable[[TrainState, tuple[str, ...]], Card] | None = None
    clock: Callable[[], float] = time.monotonic
    changes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        try:
            self.path.resolve().name.encode()
        except UnicodeEncodeError:
            message = f"{str(self.path)!a} cannot be used as a run directory: its name is not UTF-8"
            raise RunError(message, hint="choose another --run") from None
        self.weights = self.path / "model.safetensors"
        self._checkpoints = self.checkpoints or Checkpoints(self.path)
        self._saved = (0, self.clock())
        self._steps: StepLog | None = None
        self._restored = (0, 0, 0)

    def __enter__(self) -> RunDirectory:
        with contextlib.ExitStack() as stack:
            self._owned = stack.enter_context(claimed(self.path, resume=self.resume))
            for name in os.listdir(self._owned.descriptor):  # noqa: PTH208 - of a descriptor
                if _LEFTOVER.fullmatch(name):  # this process owns the folder now
                    with contextlib.suppress(IsADirectoryError, PermissionError):  # a folder is not zoo's
                        os.unlink(name, dir_fd=self._owned.descriptor)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restore(self, state: TrainState, *, device: str) -> None:
        """Restore `state` from the newest checkpoint that is intact and matches, if there is one."""
        while checkpoint := self._checkpoints.newest() if self.resume else None:
            try:
                self._restore(checkpoint, state, device=device)
                break
            except WeightsError as error:
                self._checkpoints.refuse(checkpoint, error)
        self._saved = (state.steps, self.clock())
        with self.writing(self.path):
            self._write_config()
            if checkpoint is not None:
                self._write_metrics(state)
            self._steps = StepLog(self.path / "steps.jsonl", steps=state.steps, folder=self._owned.descriptor)
            self._stack.callback(self._steps.close)
        self._owned.check_place(saved=state.steps)

    def _restore(self, checkpoint: Checkpoint, state: TrainState, *, device: str) -> None:
        """Restore `state` from a checkpoint. Raises WeightsError if it does not match."""
        changes = drift(checkpoint.info.identity, self.identity, self.defaults)
        if changes and not self.accept_changes:
            hint = "resume with the options it had before, continue anyway with --accept-changes"
            message = f"{self.path} holds a different run ({'; '.join(changes.values())})"
            raise RunError(message, hint=f"{hint}, or choose another --run")
        refuse_fixed(changes)
        options = changes_batches(changes, self.cutting)
        single = "train.precision" in changes and self.identity.recipe.train.get("precision") == "fp32"
        tensors = widened(checkpoint.tensors) if single else checkpoint.tensors
        state.restore(tensors, checkpoint.info.state, device=device)
        if options and state.batch:
            warn(f"epoch {state.epoch + 1} starts over: its batches changed with {', '.join(options)}")
            state.restart_epoch()
        self._restored = (state.epoch, state.steps, state.batch)
        self.changes = checkpoint.info.changes
        warn_of_another_cpu(checkpoint.info.identity, self.identity)
        if changes:
            change = f"from epoch {state.epoch + 1}, batch {state.batch + 1}: {'; '.join(changes.values())}"
            warn(f"continuing with changed options, {change}")
            self.changes = (*self.changes, change)

    def save(self, state: TrainState) -> None:
        """Commit a checkpoint, then update the files derived from it."""
        with self.writing(self.path / "steps.jsonl"):
            if self._steps is not None:
                self._steps.sync()  # before the checkpoint: it must have the rows of all its steps
        tensors, data = state.capture()
        packed = weights.pack(tensors)
        size = sum(tensor.data.nbytes for tensor in packed)
        with self.writing(self._checkpoints.current, needs=size) as folder:
            card = self.make_card(state, self.changes) if self.make_card else None
            self._checkpoints.write(packed, data, self.identity, self.changes, card=card, folder=folder)
        self._saved = (state.steps, self.clock())
        with self.writing(self.weights), contextlib.suppress(FileNotFoundError):
            os.unlink(self.weights.name, dir_fd=self._owned.descriptor)  # those of a run that now goes on
        with self.writing(self.path / "metrics.jsonl"):
            self._write_metrics(state)
        self._owned.check_place(saved=state.steps)

    def due(self, state: TrainState) -> bool:
        """Return whether it is time for a checkpoint within the epoch."""
        steps, seconds = self._saved
        return self.interval.due(steps=state.steps - steps, seconds=self.clock() - seconds)

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row to `steps.jsonl`."""
        with self.writing(self.path / "steps.jsonl"):
            if self._steps is not None:
                self._steps.add(row)

    def keep_best(self, state: TrainState) -> None:
        """Write the current weights beside the checkpoint."""
        if self.make_card is not None:
            path = self.path / "best.safetensors"
            self.write_weights(path, state, self.make_card(state, self.changes))

    def is_unchanged(self, state: TrainState) -> bool:
        """Return whether nothing was trained since the run was restored."""
        return bool(state.steps) and self._restored == (state.epoch, state.steps, state.batch)

    def write_weights(self, path: Path, state: TrainState, card: Card) -> Card:
        """Write the weights for evaluation, averaged ones if there are any; return their card.

        An existing file with these weights is kept, even if other versions of zoo and torch wrote it.
        """
        if self.is_unchanged(state) and (kept := weights.kept(path, state.best, card)):
            return kept
        size = sum(tensor.nbytes for tensor in state.best.state_dict().values())
        with self.writing(path, needs=size) as folder:
            card = weights.save(path, state.best, card, infinite=state.infinite, folder=folder)
        self._owned.check_place(saved=state.steps)
        return card

    @contextlib.contextmanager
    def writing(self, path: Path, *, needs: int = 0) -> Generator[int]:
        """Yield the descriptor of the open directory, to write `path` in it.

        An OSError becomes a RunError with a hint, such as to free space or to grant permission. Raises
        RunError also if this process may no longer own the directory, or if the directory was deleted.
        """
        self._owned.check()
        try:
            yield self._owned.descriptor
        except OSError as error:
            self._owned.check()
            message, hint = f"{path} cannot be written: {error.strerror or error}", ""
            if error.errno == errno.ENOENT:  # somebody is deleting the directory at this moment
                message = f"{path} was removed during the run, while it was written"
            elif error.errno in _FULL:
                free = shutil.disk_usage(self.path).free
                message += f" ({f'it needs {needs:,} bytes, ' if needs else ''}{free:,} bytes are free)"
                hint = "free some space, then "
            elif error.errno in _FORBIDDEN:
                hint = "grant yourself write permission, then "
            raise RunError(
                message,
                hint=f"{hint}continue from the last checkpoint: `zoo resume {shlex.quote(str(self.path))}`",
            ) from error

    def _write_config(self) -> None:
        recipe = _without_none(self.identity.recipe.to_dict())
        files = {"plugin_files": [*self.plugin_files]} if self.plugin_files else {}
        table = {"schema": 1, **files, "recipes": {self.path.resolve().name: recipe}}
        content = CONFIG_HEAD + rtoml.dumps(table).encode()
        with atomic_write(self.path / "config.toml", folder=self._owned.descriptor) as file:
            file.write(content)
        remember("runs", hashlib.sha256(content).hexdigest())

    def _write_metrics(self, state: TrainState) -> None:
        with atomic_write(self.path / "metrics.jsonl", folder=self._owned.descriptor) as file:
            for row in state.history:
                file.write(canonical_json(row).encode() + b"\n")


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """Omit options that are None: TOML has no null, and None is also their default."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }
