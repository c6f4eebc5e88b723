"""A run's checkpoints: the newest and the previous one, both safetensors files with a checksum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from torch import Tensor

from zoo.config import options
from zoo.errors import OptionError, RunError, WeightsError, warn
from zoo.files import run_files
from zoo.files.canonical import canonical_json, parse_json
from zoo.files.cards import CHECKPOINT, KEY, Card
from zoo.files.container import StoredTensor, read_container, tensor_sha256, write_container
from zoo.models.weights import unpack
from zoo.training.saved import CheckpointInfo, RunIdentity, SavedState

SCHEMA = 10


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An intact checkpoint that was read from a file."""

    path: Path
    tensors: Mapping[str, Tensor]
    info: CheckpointInfo


class Checkpoints:
    """The checkpoints of a run directory: the newest and the previous one.

    Attributes:
        current: file of the newest checkpoint.
        previous: file of the previous checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.current = folder / run_files.CHECKPOINT
        self.previous = folder / run_files.PREVIOUS_CHECKPOINT
        self._damaged: dict[Path, str] = {}

    def newest(self) -> Checkpoint | None:
        """Return the newest intact checkpoint; None if there is no checkpoint.

        Raises:
            RunError: all checkpoints are damaged.
        """
        for path in (self.current, self.previous):
            if path not in self._damaged and path.exists():
                try:
                    return _read(path)
                except WeightsError as error:
                    self.refuse(path, error)
        if self._damaged:
            raise RunError(f"no checkpoint can be used: {'; '.join(self._damaged.values())}")
        return None

    def refuse(self, path: Path, error: WeightsError) -> None:
        """Treat a checkpoint that does not match as damaged, so that `newest` returns the previous one."""
        self._damaged[path] = str(error)
        if path == self.current and self.previous.exists():
            warn(f"{error}; continuing from the previous checkpoint")

    def write(
        self,
        tensors: Sequence[StoredTensor],
        state: SavedState,
        identity: RunIdentity,
        changes: tuple[str, ...],
        *,
        card: Card | None = None,
        folder: int | None = None,
    ) -> None:
        """Commit a checkpoint; keep the previous one unless it is damaged. Raises OSError.

        Args:
            card: card of the weights, so that the checkpoint can be used like a weights file.
            folder: descriptor of the open run directory.
        """
        info = CheckpointInfo(
            schema=SCHEMA,
            identity=identity,
            changes=changes,
            sha256=tensor_sha256(tensors),
            state=state,
        )
        metadata = {"format": "pt", CHECKPOINT: canonical_json(msgspec.to_builtins(info))}
        if card is not None:
            metadata[KEY] = msgspec.structs.replace(card, sha256=info.sha256).to_json()
        keep = None if self.current in self._damaged else self.previous
        write_container(self.current, tensors, metadata, keep=keep, folder=folder)
        self._damaged.clear()


def _read(path: Path) -> Checkpoint:
    container = read_container(path)
    try:
        data = parse_json(container.metadata[CHECKPOINT])
    except (KeyError, ValueError):
        raise WeightsError(f"{path} is not a zoo checkpoint") from None
    schema = cast("dict[str, Any]", data).get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        other = f"{path} is a checkpoint with schema {schema!r:.40}"
        raise WeightsError(f"{other}, but this version of zoo reads schema {SCHEMA}")
    if not container.has_checksum:
        raise WeightsError(f"{path} is damaged: its header has no checksum")
    try:
        info = options.convert_table(data, CheckpointInfo, what=f"{path} is not a zoo checkpoint")
    except OptionError as error:
        raise WeightsError(str(error)) from None
    if not info.identity.recipe.threads:  # a run always records how many it computes with
        raise WeightsError(f"{path} is damaged: threads must be at least 1 (got 0)")
    if container.tensor_sha256 != info.sha256:
        raise WeightsError(f"{path} is damaged: the sha256 of its tensors does not match its header")
    return Checkpoint(path, unpack(container.tensors.values()), info)
