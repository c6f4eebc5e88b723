"""The errors that end training early: divergence, running out of memory, a signal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from zoo.config.train_config import TrainConfig
from zoo.errors import Diverged, Interrupted, RunError, ZooError, cause, first_line
from zoo.files import run_files
from zoo.models.finite import not_finite

# What torch says on a CPU and in libraries for a GPU; other errors speak of what was allocated, too
_NO_MEMORY = re.compile(
    r"(out of|not enough) memory|Allocator|allocate memory|failed to allocate|bad_alloc|ALLOC(ATION)?_FAILED",
    re.IGNORECASE,
)


def diverged(what: str, config: TrainConfig, where: str) -> Diverged:
    """Return the error for a value that is not finite; `where` is its place, such as `epoch 1, batch 3`."""
    clipping = "" if config.clip_grad_norm else ", or --clip-grad-norm 1"
    hint = f"try --lr {lower(config.lr)}{clipping}; `zoo lr-find` suggests a learning rate"
    return Diverged(f"training diverged in {where}: {what}", hint=hint)


def lower(lr: float) -> str:
    """Return a lower learning rate to try."""
    return f"{min(lr / 10, 0.01):g}"


def require_finite(
    model: nn.Module, config: TrainConfig, where: str, *, infinite: Collection[str] = ()
) -> None:
    """Raise Diverged if a parameter, or a buffer other than `infinite`, has a value that is not finite."""
    if name := not_finite(model.state_dict(), infinite):
        raise diverged(f"{name} has values that are not finite", config, where)


def interrupted(signal: int, where: str, steps: int, directory: Path | None) -> Interrupted:
    """Return the error for a stopped run, with the place, the checkpoint, and the command to continue.

    Args:
        steps: number of optimizer steps.
        directory: the run directory; None if nothing is saved.
    """
    if directory is None:
        return Interrupted(f"stopped in {where}", signal=signal)
    return Interrupted(
        f"stopped in {where}; step {steps:,} is saved in {directory / run_files.CHECKPOINT}",
        signal=signal,
        hint=f"zoo resume {shlex.quote(str(directory))}",
    )


@contextmanager
def out_of_memory_as_error(config: TrainConfig, where: str) -> Generator[None]:
    """Convert an out-of-memory error to a RunError that suggests a batch size."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = first_line(error)
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_MEMORY.search(reason):
            raise
        half = max(config.batch_size // 2, 1)
        steps = f" --grad-accum-steps {2 * config.grad_accum_steps}" if half < config.batch_size else ""
        raise RunError(
            f"out of memory in {where}, with batch_size={config.batch_size}{reason and f' ({reason})'}",
            hint=f"try --batch-size {half}{steps}; add --resume --accept-changes to continue the run",
        ) from error


@contextmanager
def misfit_as_error(untried: bool) -> Generator[None]:
    """Convert errors in a step to a RunError, if it is the first step after a checkpoint was restored."""
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        if not untried:
            raise
        raise RunError(
            f"the first step after resuming failed: {cause(error)}",
            hint="the checkpoint may not match this model; choose a different --run folder to start over",
        ) from error
