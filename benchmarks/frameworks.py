"""Training speed beside fastai, Lightning and a minimal loop, in turn, in one process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import lightning  # pyright: ignore[reportMissingImports]
import torch
from fastai.data.core import DataLoaders  # pyright: ignore[reportMissingImports]
from fastai.learner import Learner  # pyright: ignore[reportMissingImports]
from fastai.optimizer import OptimWrapper  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.measuring import benchmark, in_turn, median_of, ratio_of, seconds
from benchmarks.rows import Row
from benchmarks.training_speed import Contest
from zoo import Registry
from zoo.models.precision import autocast, resolve
from zoo.training.optimizers import make_optimizer


@benchmark(minutes=20, needs="CIFAR-10, fastai, Lightning")
def frameworks(*, name: str = "resnet-lite", rounds: int = 7) -> Iterator[Row]:
    """Training speed, relative to fastai, Lightning and a minimal loop, which have their batches in memory.

    All train the same network on as many batches with the same optimizer, in fp32 and in the precision that
    zoo chooses; the others at a constant rate. zoo also shuffles, augments and normalizes its data, and
    writes a checkpoint.
    """
    contest = Contest(name, Registry.discover(), device="cpu")
    pairs: Any = [(batch.inputs, batch.targets) for batch in contest.batches]
    batches = DataLoader(pairs, batch_size=None)
    ways = {
        "zoo": contest.zoo,
        "fastai": lambda: _with_fastai(_network(contest), contest, batches),
        "Lightning": lambda: _with_lightning(_network(contest), contest, batches),
        "a bare loop": contest.bare,
    }
    for precision in ("fp32", "auto"):
        contest.config = contest.config.replace({"precision": precision})
        times = in_turn({way: lambda train=train: seconds(train) for way, train in ways.items()}, rounds)
        images = sum(len(batch.targets) for batch in contest.batches)
        yield median_of(name, f"rate, {precision}", [images / taken for taken in times["zoo"]], "img/s")
        for other in ("fastai", "Lightning", "a bare loop"):
            yield ratio_of(name, f"beside {other}, {precision}", times[other], times["zoo"], "times as fast")


def _network(contest: Contest) -> nn.Module:
    """Return the network in the precision in which zoo trains it."""
    model, precision = contest.build(), resolve(contest.config.precision, "cpu")
    forward = model.forward

    def cast(images: Tensor) -> Tensor:
        with autocast(precision, "cpu"):
            return forward(images).float()

    model.forward = cast
    return model


def _with_fastai(model: nn.Module, contest: Contest, batches: Any) -> None:
    wrapped = OptimWrapper(opt=make_optimizer(model, contest.config))
    made: Any = lambda *_, **__: wrapped  # noqa: E731 - annotated, because fastai declares an optimizer here
    learner = Learner(DataLoaders(batches, []), model, loss_func=F.cross_entropy, opt_func=made)
    with contextlib.redirect_stdout(io.StringIO()):
        learner.fit(1)


def _with_lightning(model: nn.Module, contest: Contest, batches: Any) -> None:
    class Module(lightning.LightningModule):
        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return F.cross_entropy(model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return make_optimizer(model, contest.config)

    module = Module()
    module.model = model  # Lightning puts it in training mode
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    lightning.Trainer(max_epochs=1, accelerator="cpu", **dict.fromkeys(quiet, False)).fit(module, batches)
