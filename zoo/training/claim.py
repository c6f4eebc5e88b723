"""A claim to a run directory: its lock, and that no files in it would be overwritten. Torch-free."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import RunError
from zoo.files.regular import open_regular
from zoo.training.lock import Owned, owned

__all__ = ["CHECKPOINTS", "CONFIG_HEAD", "RUN_FILES", "claimed"]

# The newest checkpoint, and the one before it
CHECKPOINTS = ("checkpoint.safetensors", "checkpoint.previous.safetensors")
RUN_FILES = (
    "best.safetensors",
    *CHECKPOINTS,
    "config.toml",
    "curve.png",
    "metrics.jsonl",
    "model.safetensors",
    "steps.jsonl",
)
# What a run may have written before its first checkpoint
_BEFORE_A_CHECKPOINT = ("config.toml", "metrics.jsonl", "steps.jsonl")
CONFIG_HEAD = b"# Exactly what this run is: `ZOO_REGISTRY=config.toml zoo train NAME` runs it again.\n"


@contextmanager
def claimed(path: Path, *, resume: bool) -> Generator[Owned]:
    """Make a run directory, if there is none, and hold its lock.

    Raises RunError if it cannot be written, is in use, holds a run that is not to be resumed, or holds files
    that no run here wrote or whose checkpoint is gone.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            mine = stack.enter_context(owned(path))
        except FileExistsError:
            raise RunError(f"{path} is a file, not a folder", hint="choose another --run") from None
        except OSError as error:
            raise RunError(f"{path} cannot be used as a run directory: {error.strerror}") from None
        _refuse_foreign_files(path, resume=resume)
        yield mine


def _refuse_foreign_files(path: Path, *, resume: bool) -> None:
    if any((path / name).exists() for name in CHECKPOINTS):
        if not resume:
            finished = (path / "model.safetensors").is_file()
            does = "`zoo eval {}/model.safetensors` measures" if finished else "`zoo resume {}` continues"
            hint = f"{does.format(shlex.quote(str(path)))} it; or choose another --run"
            raise RunError(f"{path} already holds a {'finished ' * finished}run", hint=hint)
        return
    begun = False
    with contextlib.suppress(OSError), open_regular(path / "config.toml") as file:
        begun = file.read(len(CONFIG_HEAD)) == CONFIG_HEAD
    for name in RUN_FILES:
        if os.path.lexists(path / name) and not (begun and name in _BEFORE_A_CHECKPOINT):
            message = f"{path} contains {name} but no checkpoint, and training would overwrite it"
            raise RunError(message, hint="choose another --run, or move the file away")
