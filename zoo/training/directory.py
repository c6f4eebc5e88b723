"""A run directory: one owner at a time, one commit point, everything needed to go on or to run again.

`checkpoint.safetensors` is the only file that counts for resuming, and the one before it is kept beside it.
`metrics.jsonl`, `config.toml`, `curve.png`, `model.safetensors` and `best.safetensors` are made from it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import tomli_w
import torch
from torch import Tensor

from zoo.errors import RunError, WeightsError
from zoo.files import storage
from zoo.files.cards import Card
from zoo.models import weights
from zoo.registry.experiment import Experiment
from zoo.registry.specs import Recipe
from zoo.training.cadence import Cadence
from zoo.training.state import TrainState

__all__ = ["Begun", "RunDirectory", "begun_in"]

SCHEMA = 4
READABLE = (3, 4)
"""Checkpoints of schema 3 have no seal, and know of no changes."""
_OURS = (
    "best.safetensors",
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
    "config.toml",
    "curve.png",
    "metrics.jsonl",
    "model.safetensors",
)
_CONFIG_HEAD = b"# Exactly what this run is: `ZOO_REGISTRY=config.toml zoo train NAME` runs it again.\n"
KEY = "zoo-checkpoint"
_FIXED = ("train.optimizer", "train.freeze", "train.lr_decay_by_depth", "train.norm_bias_lr")
"""Options that say what the optimizer's memory is of."""
_CUTTING = (
    "seed",
    "train.accumulate",
    "train.batch_size",
    "train.batching",
    "train.bptt",
    "train.bptt_jitter",
)
"""Options, beside those of the data, that say which items a batch has."""
_HELD = {"carried", "experiment", "fingerprint", "history", "position", "scaler", "start", "threads"}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a checkpoint says of its run."""

    model: dict[str, Any]
    """The options of its model."""
    start: dict[str, str]
    """What it started from."""


class RunDirectory:
    """The Store of one experiment. Use it as a context manager, which is what owning it means.

    Args:
        path: made if it does not exist.
        resume: go on from the checkpoint there is; without it a directory that holds a run is refused.
        fingerprint: of the data and of the weights it starts from, so that a run never goes on with others
            under the same name.
        start: what a card says of those weights, kept for when they are gone.
        describe: writes the card of the best weights, which are kept apart from the last.
        every: how often a run is saved within an epoch.
        accept_changes: go on with a run whose options or data were others.
        clock: seconds, from any beginning.

    Attributes:
        notices: what the user should be told, once the run is restored.
        changes: what was changed in the course of the run, and when.
        epochs_found: whole epochs that a restored run had done.

    Raises:
        RunError: the directory cannot be written, is in use, or holds another run.
    """

    def __init__(
        self,
        path: Path,
        experiment: Experiment,
        *,
        resume: bool,
        fingerprint: str = "",
        start: Mapping[str, str] | None = None,
        describe: Callable[[TrainState], Card] | None = None,
        every: Cadence = Cadence(),  # noqa: B008
        accept_changes: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.experiment = experiment
        self.fingerprint = fingerprint
        self.resume = resume
        self._start = dict(start or {})
        self._describe = describe
        self.notices: list[str] = []
        self.changes: list[str] = []
        self.epochs_found = 0
        self._every = every
        self._accept_changes = accept_changes
        self._clock = clock
        self._saved = (0, clock())
        self._damaged: dict[Path, str] = {}
        self._stack = contextlib.ExitStack()

    @property
    def weights(self) -> Path:
        """Where the result goes."""
        return self.path / "model.safetensors"

    @property
    def best(self) -> Path:
        """Where the weights of the epoch go whose validation was best."""
        return self.path / "best.safetensors"

    def __enter__(self) -> RunDirectory:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._stack.enter_context(_owned(self.path))
        except FileExistsError:
            raise RunError(
                f"{self.path} is a file, not a folder to run in", hint="choose another --run"
            ) from None
        except OSError as error:
            raise RunError(f"{self.path} cannot be used as a run directory: {error.strerror}") from None
        try:
            if not self.resume and (self._current.exists() or self._previous.exists()):
                raise RunError(
                    f"{self.path} holds a run already",
                    hint="--resume goes on with it, --run DIR starts elsewhere",
                )
            self._refuse_foreign()
            for name in _OURS:
                for leftover in self.path.glob(f".{name}.*.tmp"):  # of a writer that died; we own this now
                    leftover.unlink(missing_ok=True)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _refuse_foreign(self) -> None:
        """Refuse to write over files that no run here wrote, or whose checkpoint is gone."""
        if self._current.exists() or self._previous.exists():
            return
        config = self.path / "config.toml"
        begun = config.exists() and config.read_bytes().startswith(_CONFIG_HEAD)
        for name in _OURS:
            if (self.path / name).exists() and not (begun and name in ("config.toml", "metrics.jsonl")):
                raise RunError(
                    f"{self.path} holds a {name} and no checkpoint: it would be written over",
                    hint="choose another --run, or move the file away",
                )

    def restore(self, state: TrainState, *, device: str) -> None:
        """Bring `state` to the newest good checkpoint, if there is one."""
        found = self._newest() if self.resume else None
        if found is not None:
            tensors, data = found
            changes = self._changes(data["experiment"], data["fingerprint"])
            state.restore(tensors, data, device=device)
            self.epochs_found = state.epoch
            self.changes = list(data.get("changes", []))
            if changes:
                self._change(state, changes)
        self._saved = (state.steps, self._clock())
        with self.writing(self.path):
            self._write_config()
            if found is not None:
                self._write_metrics(state)

    def _change(self, state: TrainState, changes: Mapping[str, str]) -> None:
        """Note what is not as it was; where batches are others, the epoch under way begins anew."""
        cut = [key for key in changes if key in _CUTTING or key.startswith("data")]
        if cut and state.batch:
            self.notices.append(
                f"epoch {state.epoch + 1} begins anew: with other {', '.join(cut)} its batches are others"
            )
            state.begin_epoch_anew()
        told = f"from epoch {state.epoch + 1}, batch {state.batch + 1}: {'; '.join(changes.values())}"
        self.notices.append(f"going on with a changed run, {told}")
        self.changes.append(told)

    def threads(self) -> int | None:
        """Return the thread count the run began with: another one would round differently."""
        found = self._newest() if self.resume else None
        return found[1]["threads"] if found else None

    def save(self, state: TrainState) -> None:
        """Commit a checkpoint, then bring the files made from it up to date."""
        tensors, data = state.capture()
        packed = weights.pack(tensors)
        data |= {
            "schema": SCHEMA,
            "experiment": self.experiment.to_dict(),
            "fingerprint": self.fingerprint,
            "start": self._start,
            "changes": self.changes,
            "threads": torch.get_num_threads(),
            "sha256": storage.tensor_sha256(packed),
        }
        metadata = {"format": "pt", KEY: storage.canonical_json(data)}
        keep = None if self._current in self._damaged else self._previous
        with self.writing(self._current, needs=sum(tensor.data.nbytes for tensor in packed)):
            storage.write_container(self._current, packed, metadata, keep=keep)
        self._damaged.clear()
        self._saved = (state.steps, self._clock())
        with self.writing(self.path / "metrics.jsonl"):
            self._write_metrics(state)

    def due(self, state: TrainState) -> bool:
        """Say whether it is time for a checkpoint within the epoch."""
        steps, seconds = self._saved
        return self._every.due(steps=state.steps - steps, seconds=self._clock() - seconds)

    def keep_best(self, state: TrainState) -> None:
        """Write the weights as they are now beside the checkpoint."""
        if self._describe is not None:
            with self.writing(self.best, needs=sum(each.nbytes for each in state.best.state_dict().values())):
                weights.save(self.best, state.best, self._describe(state))

    @contextlib.contextmanager
    def writing(self, path: Path, *, needs: int = 0) -> Generator[None]:
        """Say of what cannot be written what is needed, and that nothing is lost: bytes, or a permission."""
        try:
            yield
        except OSError as error:
            told = f"{path} cannot be written: {error.strerror or error}"
            do = ""
            if error.errno in _FULL:
                free = shutil.disk_usage(self.path).free
                told += (
                    f"; it takes {needs:,} bytes, and {free:,} are free"
                    if needs
                    else f"; {free:,} bytes are free"
                )
                do = "make room, then "
            elif error.errno in _FORBIDDEN:
                do = "give yourself the right to write there, then "
            raise RunError(told, hint=f"{do}--resume goes on from the last checkpoint") from error

    @property
    def _current(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def _previous(self) -> Path:
        return self.path / "checkpoint.previous.safetensors"

    def _newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        for path in (self._current, self._previous):
            if path.exists() and path not in self._damaged:
                try:
                    return _read_checkpoint(path)
                except WeightsError as error:
                    self._damaged[path] = str(error)
                    if path == self._current and self._previous.exists():
                        self.notices.append(f"{error}; going on from the checkpoint before it")
        if self._damaged:
            raise RunError(f"no checkpoint in {self.path} can be read: {'; '.join(self._damaged.values())}")
        return None

    def _changes(self, before: Mapping[str, Any], fingerprint: str) -> dict[str, str]:
        """Return what differs from the run that is there. Raises RunError unless changes are accepted."""
        now = _flat(storage.parse_json(storage.canonical_json(self.experiment.to_dict())))
        then = _flat(before)
        changes = {
            key: f"{key}: {then.get(key)!r} then, {now.get(key)!r} now"
            for key in sorted(then | now)
            # where data and weights lie, not what they are: that is the fingerprint's to say
            if then.get(key) != now.get(key) and key not in ("data.root", "start")
        }
        if not changes and fingerprint != self.fingerprint:
            changes = {"data": "the data has changed since, or the weights it started from"}
        told = "; ".join(changes.values())
        if changes and not self._accept_changes:
            raise RunError(
                f"{self.path} holds a run of something else ({told})",
                hint="resume with the options in its config.toml; --accept-changes goes on all the same, "
                "--run DIR starts elsewhere",
            )
        fixed = [key for key in changes if key in _FIXED]
        if fixed:
            raise RunError(
                f"{', '.join(fixed)} cannot be changed in a run that has begun ({told})",
                hint="choose another --run; --from takes over the weights",
            )
        return changes

    def _write_config(self) -> None:
        with storage.atomic_write(self.path / "config.toml") as file:
            file.write(_CONFIG_HEAD)
            recipe = _without_none(self.experiment.to_dict())
            tomli_w.dump({"schema": 1, "recipes": {self.path.resolve().name: recipe}}, file)

    def _write_metrics(self, state: TrainState) -> None:
        with storage.atomic_write(self.path / "metrics.jsonl") as file:
            for row in state.history:
                file.write(storage.canonical_json(row).encode() + b"\n")


def begun_in(path: Path) -> Begun | None:
    """Return what the run in a directory is, or None if it has no checkpoint that can be read."""
    for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        with contextlib.suppress(WeightsError):
            data = _read_position(path / name, storage.read_header(path / name))
            return Begun(model=data["experiment"]["model"], start=data["start"])
    return None


def _flat(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment with its tables' keys spelt out: `train.epochs`.

    A field of the recipe that an older zoo did not know has its default.
    """
    flat: dict[str, Any] = {f"train.{name}": value for name, value in Recipe().to_dict().items()}
    for key, value in experiment.items():
        flat |= (
            {f"{key}.{name}": held for name, held in value.items()}
            if isinstance(value, dict)
            else {key: value}
        )
    return flat


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what TOML cannot say: an option that is None is one that is not given."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    header = storage.read_header(path)
    data = _read_position(path, header)
    return weights.read_tensors(path, header, data["sha256"]), data


def _read_position(path: Path, header: storage.Header) -> dict[str, Any]:
    """Return all that a checkpoint holds beside tensors."""
    try:
        data = storage.parse_json(header.metadata[KEY])
        schema, _ = data["schema"], data["sha256"]
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{path} is not a zoo checkpoint") from None
    if schema not in READABLE:
        told = " and ".join(map(str, READABLE))
        raise WeightsError(f"{path} is a checkpoint of schema {schema!r:.40}, and this zoo reads {told}")
    if schema > 3 and not header.sealed:
        raise WeightsError(f"{path} is damaged: its header lacks its sha256")
    if lacking := _HELD - data.keys():
        raise WeightsError(f"{path} is not a zoo checkpoint: it lacks {', '.join(sorted(lacking))}")
    return data


@contextlib.contextmanager
def _owned(folder: Path) -> Generator[None]:
    """Hold a lock the kernel lets go of when its process dies, so that a dead owner is no obstacle."""
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{folder} is in use by {_owner(file)}", hint="wait for it, or choose another --run"
            ) from None
        file.truncate(0)
        file.write(
            f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        )
        file.flush()
        yield


def _owner(file: IO[str]) -> str:
    """Return who holds a lock: whoever has just taken it may not have written that down yet."""
    for _ in range(100):
        file.seek(0)
        told = file.read(300)
        found = re.match(r"process (\d+) on (.+) since ", told)
        if found and (found[2] != socket.gethostname() or storage.is_running(int(found[1]))):
            return told
        time.sleep(0.02)
    return "another process"
