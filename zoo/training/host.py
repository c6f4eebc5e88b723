"""What a training runs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from zoo.console.reports import Progress
from zoo.distributed.ranks import ALONE, Ranks
from zoo.training.store import NoStore, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a training runs in: it is saved, reported, stopped, and shared between processes.

    Attributes:
        store: saves the run after each epoch, when a save is due and when stopped; resuming starts from it.
        report: called for each batch, after each evaluated batch and after each epoch.
        stop: called after each optimizer step and evaluated batch; a signal number saves and stops the run.
        ranks: this process among those of the run.
    """

    store: Store = field(default_factory=NoStore)
    report: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], int] = lambda: 0
    ranks: Ranks = ALONE
