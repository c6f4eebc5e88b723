"""Language modelling: predict each token from those before it. `zoo.tasks.batching` cuts the text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import DataError
from zoo.interfaces import Batch, Dataset, Split, State, Step, Task
from zoo.registry.specs import Recipe, TaskName
from zoo.seeds import seed_for
from zoo.tasks.batching import cut, cut_lanes

__all__ = ["LanguageModelling", "detach"]


class LanguageModelling(Task):
    """Predict each token from all before it."""

    name: ClassVar[TaskName] = "language-modelling"
    headline: ClassVar[str] = "loss"
    headline_grows: ClassVar[bool] = False

    def train_batches(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        seed: int,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        device: str = "cpu",
    ) -> Iterator[Batch]:
        """Yield (T, B) batches as `recipe.batching` cuts them; rank r of `world` reads its own share."""
        cuts = cut(
            dataset.split("train"), recipe, seed=seed, epoch=epoch, start=start, rank=rank, world=world
        )
        for each in cuts:
            yield Batch(
                _column(each.inputs, device),
                _column(each.targets, device),
                each.index,
                each.total,
                seed_for(seed, "step", epoch, each.index, rank),
                each.fresh,
            )

    def eval_batches(
        self, dataset: Dataset, split: Split, *, device: str = "cpu", lanes: int = 16, steps: int = 128
    ) -> Iterator[Batch]:
        """Yield a split so that every token but the very first is predicted once.

        The text is read in 16 lanes, whatever the recipe, so that a figure does not depend on how a model
        was trained. What is left over is read as one more, short lane, from a state of zeros.
        """
        tokens = dataset.split(split)
        if len(tokens) == 0:
            return
        if len(tokens) < 2:
            raise DataError(f"the {split} split has one token, and predicting needs two")
        lanes = min(lanes, len(tokens) - 1)
        inputs, targets = cut_lanes(tokens, lanes, (len(tokens) - 1) // lanes)
        whole = inputs.numel()
        spare = tokens[whole:]  # at least the last target
        starts = range(0, inputs.shape[1], steps)
        total = len(starts) + (len(spare) > 1)
        for index, first in enumerate(starts):
            here = slice(first, first + steps)
            batch = _column(inputs[:, here], device), _column(targets[:, here], device)
            yield Batch(*batch, index, total, 0, fresh=index == 0)
        if len(spare) > 1:
            yield Batch(
                _column(spare[None, :-1], device), _column(spare[None, 1:], device), total - 1, total, 0, True
            )

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, label_smoothing: float = 0.0
    ) -> Step:
        """Return cross-entropy in nats per token and the state to carry on with.

        Targets (T', B) with fewer times than the inputs are those of the last T' positions. A penalty that
        the model hands back is part of the loss that is differentiated, and of no figure.
        """
        logits, state, *penalty = model(batch.inputs, None if batch.fresh else state)  # (T, B, V)
        logits = logits[-len(batch.targets) :]
        loss = F.cross_entropy(
            logits.flatten(0, 1).float(), batch.targets.flatten(), label_smoothing=label_smoothing
        )
        count = batch.targets.numel()
        sums = {"loss": loss.detach() * count}
        if not penalty:
            return Step(loss, sums, count, detach(state))
        return Step(loss + penalty[0], sums, count, detach(state), detach(penalty[0]))

    def unit(self, preprocess: Mapping[str, Any]) -> str:
        """Return `characters` or `tokens`."""
        return "characters" if preprocess.get("tokens", "char") == "char" else "tokens"

    def metrics(
        self, sums: Mapping[str, float], count: int, preprocess: Mapping[str, Any]
    ) -> dict[str, float]:
        """Return loss in nats per token, the same in bits (`bits_per_char` if it is one), and perplexity."""
        loss = sums["loss"] / count
        bits = "bits_per_char" if self.unit(preprocess) == "characters" else "bits_per_token"
        return {"loss": loss, bits: loss / math.log(2), "perplexity": math.exp(min(loss, 700.0))}


def detach(state: State) -> State:
    """Cut a state from the graph that made it, so that gradients stop here."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple | list):
        return type(state)(detach(part) for part in state)  # pyright: ignore[reportUnknownVariableType]
    return state


def _column(lanes: Tensor, device: str) -> Tensor:
    """(B, T) of a small integer type to (T, B) of int64 on the device."""
    return lanes.T.to(device, torch.int64)
