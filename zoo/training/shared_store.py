"""A store shared by all processes of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.data.parts import part_of
from zoo.distributed.ranks import Ranks
from zoo.interfaces import State
from zoo.models.states import tensors_of, with_tensors
from zoo.training.host import Host
from zoo.training.saved import SavedState
from zoo.training.state import TrainState
from zoo.training.store import Store


def shared(host: Host, *, dims: list[int | None], lanes: int) -> Host:
    """Return a host that saves and stops all processes together; see `SharedStore`."""
    ranks = host.ranks
    if ranks.world_size == 1:
        return host
    store = SharedStore(host.store, ranks, dims, lanes)
    return replace(host, store=store, stop=lambda: ranks.all_max(host.stop())[0])


@dataclass
class SharedStore(Store):
    """The first process's store, shared by all processes: it decides when to save, and saves all streams.

    Args:
        store: store of the first process; the other processes' stores are not used.
        dims: see `lane_dims`.
        lanes: number of parallel streams in a batch.
    """

    store: Store
    ranks: Ranks
    dims: list[int | None]
    lanes: int

    @property
    def path(self) -> Path | None:
        """The run directory; None if there is none."""
        return self.store.path

    def restore(self, state: TrainState, *, device: str) -> None:
        """Restore the first process's state, with only this process's streams in the hidden state."""
        tensors, saved = dict[str, Tensor](), SavedState()
        if self.ranks.first:
            self.store.restore(state, device=device)
            tensors, saved = state.capture()
        saved = self.ranks.broadcast(lambda: saved, SavedState)
        tensors = self.ranks.broadcast_tensors(tensors)
        carried = [name for name in tensors if name.startswith("carried/")]
        for name, dim in zip(carried, self.dims, strict=bool(carried)):
            tensors[name] = tensors[name] if dim is None else self.ranks.shard(tensors[name], dim)
        state.restore(tensors, saved, device=device)

    def due(self, state: TrainState) -> bool:
        """Return whether a save is due in the first process's store."""
        return bool(self.ranks.all_max(self.ranks.first and self.store.due(state))[0])

    def save(self, state: TrainState) -> None:
        """Save the run, with the hidden states of all processes."""
        carried = self._carried(state.carried)
        if self.ranks.first:
            self.store.save(replace(state, carried=carried))

    def _carried(self, state: State) -> State:
        """Return the hidden state of all streams; None after a smaller last batch, which ends the epoch."""
        parts = [*zip(tensors_of(state).values(), self.dims, strict=False)]
        here, _ = part_of(self.lanes, rank=self.ranks.rank, world_size=self.ranks.world_size)
        lanes = here.stop - here.start
        fewer = any(dim is not None and part.shape[dim] != lanes for part, dim in parts)
        if self.ranks.all_max(fewer) != [0]:
            return None
        gather = self.ranks.all_gather
        wholes = [part if dim is None else gather(part, dim, self.lanes) for part, dim in parts]
        return with_tensors(state, iter(wholes))

    def keep_best(self, state: TrainState) -> None:
        """Save the current weights as the best so far."""
        if self.ranks.first:
            self.store.keep_best(state)

    def log(self, row: Mapping[str, Any]) -> None:
        """Log the row of an optimizer step."""
        if self.ranks.first:
            self.store.log(row)
