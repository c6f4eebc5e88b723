"""Bases for tasks on independent items, such as rows of a table, recordings or images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import default_collate

from zoo.config.train_config import TrainConfig
from zoo.data.devices import moved
from zoo.data.parts import part_of
from zoo.data.views import View
from zoo.errors import DataError
from zoo.evaluation.intervals import wilson
from zoo.files.cards import Card
from zoo.interfaces import Batch, Dataset, ReadsBatches, Split, State, Step, Task
from zoo.processors import TakesItems
from zoo.seeds import seed_for

# Items evaluated at a time
_EVALUATED = 250
# The keys of `preprocess` whose values a trained model keeps, regardless of the data
_SCALES = ("mean", "std", "target_mean", "target_std")


class ItemTask(Task):
    """Batches of independent items. A task adds `step`, `metrics` and `baseline`.

    A split is a map-style dataset of (input, target), in which all inputs have the same shape; it can
    implement `ReadsBatches`. If the dataset's `preprocess` has `mean` and `std`, lists of one number for each
    position of an input's first axis, or of a single number, they normalize the inputs. The processor is a
    `zoo.plugin.ItemProcessor`.
    """

    def example(self, dims: Mapping[str, int]) -> Tensor:
        """Return the processor's generated input, (1, ...)."""
        return torch.from_numpy(cast(TakesItems, self.processor).item(dims))[None].float()

    def prepare(self, items: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return inputs (B, C, ...) as (x - mean) / std, or unchanged if `preprocess` has no mean."""
        return _scaled(items, preprocess, "") if "mean" in preprocess else items

    def prepare_targets(self, targets: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return the targets (B, ...) of a split in the form that `step` expects; by default, unchanged."""
        return targets

    def feed(self, dataset: Dataset, card: Card) -> Dataset:
        """Return the data with the card's `preprocess`, and its labels, if any, matched by name.

        Data may have the model's labels in any order, or only some of them. Raises DataError if it has other
        labels, or if its dims or other values of `preprocess`, except means and deviations, differ.
        """
        dims, split, hint = {**dataset.dims}, dataset.split, f"the model was trained on {card.dataset.name}"
        expected = {key: value for key, value in card.preprocess.items() if key not in _SCALES}
        if self.spec.labels:
            dim, key = self.spec.labels
            theirs, ours = (list[str](names) for names in (dataset.preprocess[key], expected.pop(key)))
            if unknown := [name for name in theirs if name not in ours]:
                raise DataError(f"the data has {unknown[0]!r}, which is not in the model's {key}", hint=hint)
            if theirs != ours:
                dims[dim], numbers = len(ours), [ours.index(name) for name in theirs]
                split = partial(_Renumbered, dataset.split, numbers)
        for key, value in {**{dim: card.arguments[dim] for dim in dims}, **expected}.items():
            if (found := dims.get(key, dataset.preprocess.get(key))) != value:
                raise DataError(f"the data has {key}={found}, but the model has {key}={value}", hint=hint)
        return View(dims=dims, preprocess=card.preprocess, split=split, fingerprint=dataset.fingerprint)

    def train_batches(
        self,
        dataset: Dataset,
        config: TrainConfig,
        *,
        seed: int,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: str = "cpu",
    ) -> Iterator[Batch]:
        """Yield every training item once, reshuffled each epoch; the last batch may be smaller.

        Raises DataError if there are no items.
        """
        split = dataset.split("train")
        if len(split) == 0:
            raise DataError("the training split is empty")
        draws = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
        chunks = chunks_of(torch.randperm(len(split), generator=draws), config.batch_size)
        for index in range(start, len(chunks)):
            mine, share = part_of(len(chunks[index]), rank=rank, world_size=world_size)
            pair = self._fetched(split, chunks[index][mine], dataset.preprocess, device)
            step_seed = seed_for(seed, "step", epoch, index, rank)
            yield Batch(*pair, index, len(chunks), step_seed, share=share)

    def batches_of(
        self, items: Any, preprocess: Mapping[str, Any], *, device: str = "cpu"
    ) -> Iterator[Batch]:
        """Yield every item once, in order."""
        chunks = torch.arange(len(items)).split(_EVALUATED)
        for index, chunk in enumerate(chunks if len(items) else ()):
            yield Batch(*self._fetched(items, chunk, preprocess, device), index, len(chunks), 0)

    def _fetched(
        self, split: Any, chunk: Tensor, preprocess: Mapping[str, Any], device: str
    ) -> tuple[Tensor, Tensor]:
        """Return the inputs and the targets at some indices, ready for `step`."""
        indices = chunk.tolist()
        if isinstance(split, ReadsBatches):
            pair = split.read_batch(indices)
        else:
            pair = default_collate([split[index] for index in indices])
        inputs, targets = (moved(part, device) for part in pair)
        return self.prepare(inputs, preprocess), self.prepare_targets(targets, preprocess)


class ClassificationTask(ItemTask):
    """Each item belongs to one of K classes, and a model returns logits (B, K).

    The targets of a split are class numbers. The names of the classes are `classes` in `preprocess`, and the
    task's spec has `labels=("num_classes", "classes")`. The processor is a
    `zoo.plugin.ClassificationProcessor`.
    """

    def loss(self, logits: Tensor, batch: Batch, config: TrainConfig | None) -> Tensor:
        """Return the mean loss of logits (B, K): the cross-entropy."""
        return F.cross_entropy(logits, batch.targets)

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Return the loss, and the sums: the loss and, as `accuracy`, the number of correct items.

        With more than ten classes, `top5_accuracy` counts items whose label is among the five most likely
        classes; in evaluation mode, the sums include the confusion matrix (K, K), with a row for each label.
        """
        logits: Tensor = model(batch.inputs)  # (B, K)
        logits = logits.float()
        loss, count = self.loss(logits, batch, config), len(batch.targets)
        labels = batch.targets.argmax(1) if batch.targets.is_floating_point() else batch.targets
        logits = logits.detach()
        predicted, classes = logits.argmax(1), logits.shape[1]
        correct = {"accuracy": predicted == labels}  # (B,)
        if classes > 10:
            correct["top5_accuracy"] = (logits.topk(5).indices == labels[:, None]).any(1)
        sums = {"loss": loss.detach() * count} | {name: each.sum() for name, each in correct.items()}
        if model.training:
            return Step(loss, sums, count)
        pairs = labels * classes + predicted  # (B,)
        sums["confusion"] = torch.bincount(pairs, minlength=classes**2).view(classes, classes)

        def items() -> dict[str, Tensor]:
            losses = F.cross_entropy(logits, batch.targets, reduction="none")
            return {"loss": losses, "confusion": pairs, **correct}

        return Step(loss, sums, count, items=items)

    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return an accuracy of 1 / K, and a loss of ln K; empty for a single class."""
        classes = len(preprocess["classes"])
        return {"accuracy": 1 / classes, "loss": math.log(classes)} if classes > 1 else {}

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return accuracy in [0, 1], loss in nats per item and, for many classes, `top5_accuracy`."""
        names = ("accuracy", "loss", "top5_accuracy")
        return {name: sums[name] / count for name in names if name in sums}

    def details(self, sums: Mapping[str, Tensor], preprocess: Mapping[str, Any]) -> dict[str, Any]:
        """Return each class's count and accuracy, and the numbers of items `confusion[label][predicted]`.

        Each class's `interval` is the 95% confidence interval of its accuracy. The details include
        `missing_classes`, the classes without items.
        """
        confusion = sums["confusion"].long()
        counts, right = confusion.sum(1).tolist(), confusion.diagonal().tolist()
        classes = [
            {
                "class": name,
                "count": count,
                "accuracy": correct / count if count else None,
                "interval": [*wilson(correct, count)] if count else None,
            }
            for name, count, correct in zip(preprocess["classes"], counts, right, strict=True)
        ]
        missing = [row["class"] for row in classes if not row["count"]]
        return {"classes": classes, "missing_classes": missing, "confusion": confusion.tolist()}


class RegressionTask(ItemTask):
    """Each item has K numbers to predict, and a model returns (B, K).

    The targets of a split are numbers (K,), or a number. `preprocess` has `targets`, their names, and
    `target_mean` and `target_std`, their means and standard deviations in the training split. A model
    predicts (target - mean) / std. The processor is a `zoo.plugin.RegressionProcessor`.
    """

    def prepare_targets(self, targets: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return targets as (target - mean) / std, float32 (B, K)."""
        return _scaled(targets.float().view(len(targets), -1), preprocess, "target_")

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Return the mean squared error of scaled targets, and sums over the items.

        The sums are `loss`, a number, and the `squared` and `absolute` errors of scaled targets, (K,). In
        training too, `items` returns the loss (B,) and the errors (B, K) of each item.
        """
        outputs: Tensor = model(batch.inputs)  # (B, K)
        errors = outputs.float().view_as(batch.targets) - batch.targets
        squared = errors.square()
        each = {"loss": squared.mean(1), "squared": squared, "absolute": errors.abs()}
        each = {name: value.detach() for name, value in each.items()}
        sums = {name: value.sum(0) for name, value in each.items()}
        return Step(squared.mean(), sums, len(errors), items=lambda: each)

    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return the loss and the RMSE of a model that always predicts the mean."""
        std: list[float] = preprocess["target_std"]
        return {"loss": 1.0, "rmse": math.hypot(*std) / math.sqrt(len(std))}

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return `mae` and `rmse` in the unit of the targets, and the loss, the MSE of the scaled targets.

        All are means over items and over targets.
        """
        std = torch.tensor(preprocess["target_std"], dtype=torch.float64)
        mae, mse = (std * sums["absolute"]).mean() / count, (std**2 * sums["squared"]).mean() / count
        return {"mae": float(mae), "rmse": float(mse.sqrt()), "loss": sums["loss"] / count}


class _Renumbered:
    """A split whose labels are replaced by a model's."""

    def __init__(self, split: Callable[[Split], Any], numbers: Sequence[int], name: Split) -> None:
        self._split, self._numbers = split(name), numbers

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        item, label = self._split[index]
        return item, self._numbers[int(label)]


def _scaled(values: Tensor, preprocess: Mapping[str, Any], of: str) -> Tensor:
    """Return values (B, C, ...) minus the mean, divided by the standard deviation, each (C,) or (1,)."""
    scales = torch.tensor([preprocess[f"{of}mean"], preprocess[f"{of}std"]])
    mean, std = moved(scales, values.device).view(2, -1, *[1] * (values.ndim - 2))
    return (values - mean) / std


def chunks_of(order: Tensor, size: int) -> list[Tensor]:
    """Split an order of items (N,) into batches of `size` items; the last one may be smaller.

    A single leftover item joins the previous batch, since BatchNorm cannot train on one item.
    """
    chunks = list(order.split(size))
    if size > 1 and len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks
