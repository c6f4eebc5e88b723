"""The environment of the training loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from zoo.console.reports import Progress
from zoo.distributed.ranks import ALONE, Ranks
from zoo.training.store import NoStore, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The environment of the training loop: it saves, reports and stops training, and connects processes.

    Attributes:
        store: saves the run after each epoch, at intervals and when training is stopped, and restores it on
            resume.
        report: called for each batch, after each evaluated batch and after each epoch.
        stop: called after each optimizer step and evaluated batch; if it returns a signal number, the run is
            saved and stopped.
        ranks: the rank of this process, and the other processes of the run.
        stop_after: number of epochs after which training stops; the schedule still covers all epochs.
    """

    store: Store = field(default_factory=NoStore)
    report: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], int] = lambda: 0
    ranks: Ranks = ALONE
    stop_after: int = sys.maxsize
