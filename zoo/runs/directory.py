"""A run directory: one owner, one commit point, and everything needed to continue or repeat the run.

A run resumes from `checkpoint.safetensors`, or from the previous checkpoint beside it if that file is
damaged. `metrics.jsonl`, `config.toml`, `curve.png`, `model.safetensors` and `best.safetensors` are derived
from it. Rows are appended to `steps.jsonl` between checkpoints; when a run resumes, rows after the checkpoint
are removed.

Files are written through the descriptor of the open directory. They therefore follow the directory if it is
moved, and are never written to a directory that replaced it. The run stops if this process no longer holds
the lock before a write, or if the path no longer leads to the directory after a save.
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
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import rtoml

from zoo.config.declarations import Option
from zoo.errors import RunError, WeightsError, warn
from zoo.files import run_files
from zoo.files.atomic import atomic_write
from zoo.files.canonical import canonical_json
from zoo.files.cards import Card
from zoo.files.private_store import remember
from zoo.models import weights
from zoo.runs.checkpoint import Checkpoint, Checkpoints
from zoo.runs.drift import changes_batches, drift, refuse_fixed, warn_of_another_cpu
from zoo.runs.lock import CONFIG_HEAD, claimed
from zoo.runs.save_interval import SaveInterval
from zoo.runs.step_log import StepLog
from zoo.training.saved import RunIdentity
from zoo.training.saved_hidden_state import widened
from zoo.training.state import TrainState

_LEFTOVER = re.compile(rf"\.({'|'.join(map(re.escape, run_files.ALL))})\..*\.tmp")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(eq=False)
class RunDirectory:
    """The Store of one run. Inside its `with` block, this process owns the directory.

    Args:
        path: path of the directory, which is created if it does not exist.
        resume: continue from the checkpoint, if there is one; if False, a directory that contains a run is
            rejected.
        checkpoints: checkpoints of the directory, if already opened.
        interval: how often to save the run within an epoch.
        plugin_files: one-file plugins required to continue the run.
        accept_changes: continue a run even if its options or its data have changed.
        options: declarations of the training options, such as whether a resumed run may change them.
        make_card: function that returns the card of the best weights, given the state and the changes so far.
        clock: function that returns the seconds since an arbitrary start.

    Attributes:
        changes: options that changed during the run, and the point at which each change was made.
        weights: file of the final weights.

    Raises:
        RunError: the directory cannot be written to, is in use, or contains a different run.
    """

    path: Path
    identity: RunIdentity
    _: KW_ONLY
    resume: bool = False
    checkpoints: Checkpoints | None = None
    interval: SaveInterval = field(default_factory=SaveInterval)
    plugin_files: Sequence[str] = ()
    accept_changes: bool = False
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])
    make_card: Callable[[TrainState, tuple[str, ...]], Card] | None = None
    clock: Callable[[], float] = time.monotonic
    changes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        try:
            self.path.resolve().name.encode()
        except UnicodeEncodeError:
            message = f"{str(self.path)!a} cannot be used as a run directory: its name is not valid UTF-8"
            raise RunError(message, hint="choose a different --run folder") from None
        self.weights = self.path / run_files.LAST
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
        """Restore `state` from the newest checkpoint that is intact and matches the run, if there is one."""
        while checkpoint := self._checkpoints.newest() if self.resume else None:
            try:
                self._restore(checkpoint, state, device=device)
                break
            except WeightsError as error:
                self._checkpoints.refuse(checkpoint.path, WeightsError(f"{checkpoint.path}: {error}"))
        self._saved = (state.steps, self.clock())
        with self.writing(self.path):
            self._write_config()
            if checkpoint is not None:
                self._write_metrics(state)
            self._steps = StepLog(
                self.path / run_files.STEPS, steps=state.steps, folder=self._owned.descriptor
            )
            self._stack.callback(self._steps.close)
        self._owned.check_place(saved=state.steps)

    def _restore(self, checkpoint: Checkpoint, state: TrainState, *, device: str) -> None:
        """Restore `state` from a checkpoint. Raises WeightsError if it does not match."""
        changes = drift(checkpoint.info.identity, self.identity, self.options)
        if changes and not self.accept_changes:
            hint = "resume with the previous options, add --accept-changes to continue anyway"
            message = f"{self.path} contains a different run ({'; '.join(changes.values())})"
            raise RunError(message, hint=f"{hint}, or choose a different --run folder")
        refuse_fixed(changes, self.options)
        options = changes_batches(changes, self.options)
        single = "train.precision" in changes and self.identity.recipe.train.get("precision") == "fp32"
        tensors = widened(checkpoint.tensors) if single else checkpoint.tensors
        state.restore(tensors, checkpoint.info.state, device=device)
        if options and state.batch:
            warn(f"epoch {state.epoch + 1} starts over because its batches changed ({', '.join(options)})")
            state.restart_epoch()
        self._restored = (state.epoch, state.steps, state.batch)
        self.changes = checkpoint.info.changes
        warn_of_another_cpu(checkpoint.info.identity, self.identity)
        if changes:
            change = f"from epoch {state.epoch + 1}, batch {state.batch + 1}: {'; '.join(changes.values())}"
            warn(f"continuing with changed options {change}")
            self.changes = (*self.changes, change)

    def save(self, state: TrainState) -> None:
        """Commit a checkpoint, then update the files derived from it."""
        with self.writing(self.path / run_files.STEPS):
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
        with self.writing(self.path / run_files.METRICS):
            self._write_metrics(state)
        self._owned.check_place(saved=state.steps)

    def due(self, state: TrainState) -> bool:
        """Return whether it is time to save a checkpoint within the epoch."""
        steps, seconds = self._saved
        return self.interval.due(steps=state.steps - steps, seconds=self.clock() - seconds)

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row to `steps.jsonl`."""
        with self.writing(self.path / run_files.STEPS):
            if self._steps is not None:
                self._steps.add(row)

    def keep_best(self, state: TrainState) -> None:
        """Write the current weights beside the checkpoint."""
        if self.make_card is not None:
            path = self.path / run_files.BEST
            self.write_weights(path, state, self.make_card(state, self.changes))

    def is_unchanged(self, state: TrainState) -> bool:
        """Return whether no training step was taken since the run was restored."""
        return bool(state.steps) and self._restored == (state.epoch, state.steps, state.batch)

    def write_weights(self, path: Path, state: TrainState, card: Card) -> Card:
        """Write the weights used for evaluation, which may be averaged, and return their card.

        An existing file with these weights is kept, even if it was written by other versions of zoo and
        torch.
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
        """Yield the descriptor of the open directory, for writing `path` in it.

        An OSError is converted to a RunError with a hint, such as to free some space or to grant permission.
        RunError is also raised if this process may no longer own the directory, or if the directory was
        deleted.
        """
        self._owned.check()
        try:
            yield self._owned.descriptor
        except OSError as error:
            self._owned.check()
            message, hint = f"{path} cannot be written: {error.strerror or error}", ""
            if error.errno == errno.ENOENT:  # somebody is deleting the directory at this moment
                message = f"{path} was deleted while it was being written"
            elif error.errno in _FULL:
                free = shutil.disk_usage(self.path).free
                message += f" ({f'{needs:,} bytes are needed, ' if needs else ''}{free:,} bytes are free)"
                hint = "free some space, then "
            elif error.errno in _FORBIDDEN:
                hint = "grant yourself write permission, then "
            raise RunError(
                message,
                hint=f"{hint}continue from the last checkpoint: `zoo resume {shlex.quote(str(self.path))}`",
            ) from error

    def _write_config(self) -> None:
        recipe = self.identity.recipe.to_dict()
        files = {"plugin_files": [*self.plugin_files]} if self.plugin_files else {}
        table = {"schema": 1, **files, "recipes": {self.path.resolve().name: recipe}}
        content = CONFIG_HEAD + rtoml.dumps(table, none_value=None).encode()  # None is also their default
        with atomic_write(self.path / run_files.CONFIG, folder=self._owned.descriptor) as file:
            file.write(content)
        remember("runs", hashlib.sha256(content).hexdigest())

    def _write_metrics(self, state: TrainState) -> None:
        with atomic_write(self.path / run_files.METRICS, folder=self._owned.descriptor) as file:
            for row in state.history:
                file.write(canonical_json(row).encode() + b"\n")
