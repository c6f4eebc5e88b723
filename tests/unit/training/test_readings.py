"""Training on a device that the host does not wait for, tried on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.unit.training.test_golden import FAMILIES, Letters, Stripes
from zoo.console.reports import Progress
from zoo.errors import Diverged
from zoo.interfaces import make_task
from zoo.models.building import build_model
from zoo.registry.registry import Registry
from zoo.seeds import seed_for
from zoo.training import loop
from zoo.training.host import Host
from zoo.training.readings import Readings
from zoo.training.state import TrainState
from zoo.training.store import NoStore

# What makes the host wait for a GPU
READS = {
    "aten._local_scalar_dense.default",
    "aten.bincount.default",
    "aten.masked_select.default",
    "aten.nonzero.default",
}


class Unread(TorchDispatchMode):
    """Refuse to read a tensor."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if str(func) in READS:
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


@contextmanager
def unread(patch: pytest.MonkeyPatch) -> Generator[None]:
    """Refuse whatever reads a tensor; `tolist` and `numpy` are calls that no dispatch mode sees."""

    def refuse(*_: object) -> None:
        raise AssertionError("a tensor was read")

    with patch.context() as inner, Unread():
        inner.setattr(Tensor, "tolist", refuse)
        inner.setattr(Tensor, "numpy", refuse)
        yield


class Rows(NoStore):
    """Keep what is logged."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []

    def log(self, row: Mapping[str, Any]) -> None:
        self.rows.append({name: value for name, value in row.items() if name not in ("rate", "time")})


def fitted(name: str, registry: Registry, *, lr: float | None = None) -> tuple[TrainState, list[Any]]:
    """Return the state after one small epoch, and what was told of its steps."""
    arguments, config = FAMILIES[name]
    entry = registry.architecture(name)
    model = build_model(entry, arguments, seed=seed_for(0, "weights"))
    data = Letters() if entry.spec.task == "language-modeling" else Stripes()
    store, told = Rows(), list[Progress]()
    config = config.replace({"grad_accum_steps": 2} | ({"lr": lr} if lr else {}))
    state = loop.fit(
        model, make_task(registry, entry.spec.task), data, config, host=Host(report=told.append, store=store)
    )
    return state, [*((each.batch, each.loss, each.lr) for each in told if each.is_step), *store.rows]


@pytest.mark.parametrize("name", FAMILIES)
def test_no_step_reads_what_it_computes(
    name: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, told_at_once = fitted(name, registry)
    step: Callable[..., Tensor] = loop.train_step

    def checked(*args: Any, **kwargs: Any) -> Tensor:
        with unread(monkeypatch):
            return step(*args, **kwargs)

    monkeypatch.setattr(loop, "train_step", checked)
    monkeypatch.setattr(loop, "Readings", lambda at_once: Readings(at_once=not at_once))
    later, told_later = fitted(name, registry)
    assert told_later == told_at_once
    for one, other in zip(at_once.model.parameters(), later.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_first_number_that_is_not_finite_is_named_when_it_is_read(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Diverged) as at_once:
        fitted("charrnn/lstm", registry, lr=1e38)
    monkeypatch.setattr(loop, "Readings", lambda at_once: Readings(at_once=False))
    with pytest.raises(Diverged) as later:
        fitted("charrnn/lstm", registry, lr=1e38)
    assert str(later.value) == str(at_once.value)


def test_nothing_is_saved_that_was_not_looked_at(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    class Saving(NoStore):
        def due(self, state: TrainState) -> bool:
            return True

        def save(self, state: TrainState) -> None:
            raise AssertionError("saved")

    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return x.mean((1, 2, 3))[:, None] * self.weight + torch.full((4,), torch.nan)

    monkeypatch.setattr(loop, "Readings", lambda at_once: Readings(at_once=False))
    config = FAMILIES["convnet/resnet-lite"][1].replace({"ema_decay": 0.0})
    with pytest.raises(Diverged, match="batch 1: the loss is nan"):
        loop.fit(
            Broken(), make_task(registry, "classification"), Stripes(), config, host=Host(store=Saving())
        )


def test_what_is_given_later_is_read_in_order_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    readings, got = Readings(at_once=False), list[float]()
    for value in (1, 2.5, 3):
        readings.then(torch.tensor(value), got.append)
    monkeypatch.setattr("zoo.training.readings._INTERVAL", 3600.0)
    readings.read_if_due()
    assert got == []
    monkeypatch.setattr("zoo.training.readings._INTERVAL", 0.0)
    readings.read_if_due()
    readings.read()
    assert got == [1.0, 2.5, 3.0]
