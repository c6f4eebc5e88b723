"""Bases for tasks on independent items, such as rows of a table, recordings or images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import default_collate

from zoo.config.train_config import TrainConfig
from zoo.data.devices import moved
from zoo.data.draws import Draws
from zoo.data.item_batches import Indices, item_batches, one_ahead
from zoo.data.parts import part_of
from zoo.data.shard_order import shard_order
from zoo.data.views import View
from zoo.errors import DataError
from zoo.evaluation.intervals import wilson
from zoo.evaluation.matched_classes import Renumbered, match_classes
from zoo.files.cards import Card
from zoo.interfaces import Batch, Dataset, HasShards, ReadsBatches, Split, State, Step, Task
from zoo.processors import TakesItems
from zoo.seeds import seed_for

# The keys of `preprocess` whose values a trained model keeps, regardless of the data
_SCALES = ("mean", "std", "target_mean", "target_std")


class ItemTask(Task):
    """Batches of independent items. A task adds `step`, `metrics` and `baseline`.

    A split is a map-style dataset of (input, target), in which all inputs have the same shape; it can
    implement `ReadsBatches`. If the dataset's `preprocess` has `mean` and `std`, lists of one number for each
    position of an input's first axis, or of a single number, they normalize the inputs. The processor is a
    `zoo.plugin.ItemProcessor`.

    A batch is read, moved to the device and prepared; in training, it is also augmented. A task can override
    each of these steps: `order`, `read`, `augment`, `prepare`, `prepare_targets`.
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

    def augment(
        self, batches: Iterator[tuple[Tensor, Tensor, Draws]], dataset: Dataset, config: TrainConfig
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs and targets of each training batch in the form that `step` expects.

        By default, they are prepared as in an evaluation. An override can change items before it prepares
        them, and blend them after.

        Args:
            batches: the inputs and targets of each batch as read, (B, ...), on the device, and random numbers
                for its items, the only permitted source of randomness.
        """
        preprocess = dataset.preprocess
        for inputs, targets, _ in batches:
            yield self.prepare(inputs, preprocess), self.prepare_targets(targets, preprocess)

    def overlap(self, config: TrainConfig) -> int:
        """Return how many items before its part of a batch a process reads too, for `augment` to blend.

        zoo drops them from the result of `augment`. The item before a batch's first one is its last one. By
        default, there are none.
        """
        return 0

    def order(self, split: Any, config: TrainConfig, draws: torch.Generator) -> Tensor:
        """Return the indices of the items of an epoch, (N,); by default, every item once, shuffled.

        A split that implements `HasShards` is shuffled shard by shard.
        """
        count = len(split)
        if isinstance(split, HasShards):
            return shard_order(split.shard_lengths, count, draws)
        return torch.randperm(count, generator=draws)

    def class_weights(self, split: Any, config: TrainConfig) -> Tensor | None:
        """Return the weight of each class in the loss, (K,), from which `Batch.weights` follow, or None."""
        return None

    def read(
        self, split: Any, wanted: Sequence[Sequence[int]], *, keep_on: str = "cpu"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs (B, ...) and targets of each batch of indices, in order.

        The generators of torch, NumPy and `random` are seeded for each item that draws from them. A thread
        reads one batch ahead if the split implements `HasShards`, or if its items are slow to read and do not
        draw.

        Args:
            wanted: the indices of all batches, so that an override can read ahead.
            keep_on: the device of a training, which reads the split in each epoch. An override can keep a
                copy of the split there.
        """
        if isinstance(split, ReadsBatches):
            each = ([*indices] for indices in wanted)
            read = one_ahead if isinstance(split, HasShards) else map
            yield from read(split.read_batch, each)
        else:
            yield from map(default_collate, item_batches(split, wanted))

    def eval_batch_size(self, preprocess: Mapping[str, Any]) -> int:
        """Return how many items to evaluate at a time; by default, 250."""
        return 250

    def feed(self, dataset: Dataset, card: Card) -> Dataset:
        """Return the data with the card's `preprocess`, and its labels, if any, matched by name.

        Data may have the model's labels in any order, or only some of them. Raises DataError if it has other
        labels, or if its dims or other values of `preprocess`, except means and deviations, differ.
        """
        dim, key = self.spec.labels or ("", "")
        expected = {name: card.arguments[name] for name in dataset.dims if name != dim}
        expected |= {name: value for name, value in card.preprocess.items() if name not in (key, *_SCALES)}
        for name, value in expected.items():
            if (found := dataset.dims.get(name, dataset.preprocess.get(name))) != value:
                hint = f"the model was trained on {card.dataset.name}"
                raise DataError(f"the data has {name}={found}, but the model has {name}={value}", hint=hint)
        dims, split = {**dataset.dims}, dataset.split
        if key:
            theirs, ours = ([*map(str, of.preprocess[key])] for of in (dataset, card))
            dims[dim] = len(ours)
            if theirs != ours:
                numbers = torch.tensor(match_classes(theirs, ours))

                def split(name: Split) -> Any:
                    return self.renumbered(dataset.split(name), numbers, len(ours))

        return View(dims=dims, preprocess=card.preprocess, split=split, fingerprint=dataset.fingerprint)

    def renumbered(self, split: Any, numbers: Tensor, count: int) -> Any:
        """Return a split of data whose labels differ from those of a model, with the model's labels.

        Args:
            split: its targets are labels; or rows (K,), which are not 0 for each label of an item.
            numbers: the model's number of each label of the data, (K,).
            count: number of labels of the model.
        """
        return Renumbered(split, numbers, count)

    def class_counts(self, dataset: Dataset, split: Split) -> dict[str, int]:
        """Return the number of items per label in a split with a tensor `labels`, (N,) or (N, K)."""
        labels = getattr(dataset.split(split), "labels", None)
        if self.spec.labels is None or not isinstance(labels, Tensor) or labels.is_floating_point():
            return {}
        names = dataset.preprocess[self.spec.labels[1]]
        counts = labels.sum(0) if labels.ndim == 2 else torch.bincount(labels, minlength=len(names))
        return dict(zip(names, counts.tolist(), strict=False))

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
        """Yield the items of an epoch, in the order of `order`; the last batch may be smaller.

        Raises DataError if there are no items.
        """
        split = dataset.split("train")
        if len(split) == 0:
            raise DataError("the training split is empty")
        chunks = _chunks_of(self.order(split, config, _generator(seed, "order", epoch)), config.batch_size)
        preprocess = dataset.preprocess
        by_class = self.class_weights(split, config)
        by_class = None if by_class is None else moved(by_class, device)
        before = self.overlap(config) if world_size > 1 else 0
        parts = [part_of(len(chunk), rank=rank, world_size=world_size) for chunk in chunks]
        places = [
            torch.arange(mine.start - before, mine.stop) % len(chunk)
            for chunk, (mine, _) in zip(chunks, parts, strict=True)
        ]
        wanted = Indices([chunk[own] for chunk, own in zip(chunks, places, strict=True)], (seed, epoch))
        turns = _turns(len(split), seed=seed, epoch=epoch)

        def read() -> Iterator[tuple[Tensor, Tensor, Draws]]:
            for index, pair in enumerate(self.read(split, wanted[start:], keep_on=device), start):
                draws = Draws(
                    _generator(seed, "augment", epoch, index, 0),
                    len(chunks[index]),
                    places[index],
                    turns[chunks[index]],
                    (seed, epoch, index),
                )
                inputs, targets = (moved(part, device) for part in pair)
                yield inputs, targets, draws

        for index, pair in enumerate(self.augment(read(), dataset, config), start):
            inputs, targets = (part[before:] for part in pair)
            weights = None if by_class is None else _weights_of(targets, by_class)
            step_seed = seed_for(seed, "step", epoch, index, rank)
            more: dict[str, Any] = {"share": parts[index][1], "weights": weights, "preprocess": preprocess}
            yield Batch(inputs, targets, index, len(chunks), step_seed, **more)

    def batches_of(
        self, items: Any, preprocess: Mapping[str, Any], *, device: str = "cpu"
    ) -> Iterator[Batch]:
        """Yield every item once, in order."""
        size, count = self.eval_batch_size(preprocess), len(items)
        wanted = [range(first, min(first + size, count)) for first in range(0, count, size)]
        for index, (inputs, targets) in enumerate(self.read(items, wanted)):
            inputs = self.prepare(moved(inputs, device), preprocess)
            targets = self.prepare_targets(moved(targets, device), preprocess)
            yield Batch(inputs, targets, index, len(wanted), 0, preprocess=preprocess)


class ClassificationTask(ItemTask):
    """Each item belongs to one of K classes, and a model returns logits (B, K).

    The targets of a split are class numbers. The names of the classes are `classes` in `preprocess`, and the
    task's spec has `labels=("num_classes", "classes")`. The processor is a
    `zoo.plugin.ClassificationProcessor`.
    """

    def loss(self, logits: Tensor, batch: Batch, config: TrainConfig | None) -> Tensor:
        """Return the mean loss of logits (B, K): the cross-entropy, with the weights of the items, if any."""
        if batch.weights is None:
            return F.cross_entropy(logits, batch.targets)
        return (F.cross_entropy(logits, batch.targets, reduction="none") * batch.weights).mean()

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


def _scaled(values: Tensor, preprocess: Mapping[str, Any], of: str) -> Tensor:
    """Return values (B, C, ...) minus the mean, divided by the standard deviation, each (C,) or (1,)."""
    scales = torch.tensor([preprocess[f"{of}mean"], preprocess[f"{of}std"]])
    mean, std = moved(scales, values.device).view(2, -1, *[1] * (values.ndim - 2))
    return (values - mean) / std


def _weights_of(targets: Tensor, by_class: Tensor) -> Tensor:
    """Return the weight of each item, (B,), for labels (B,) or blended labels (B, K)."""
    if targets.is_floating_point():
        return targets[:, : len(by_class)] @ by_class  # the last classes may have no items
    return by_class[targets]


def _turns(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return which items are mirrored in an epoch, (count,); the others are mirrored in the next epoch."""
    first = torch.rand(count, generator=_generator(seed, "turns")) < 0.5
    return ~first if epoch % 2 else first


def _generator(*position: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for(*position))


def _chunks_of(order: Tensor, size: int) -> list[Tensor]:
    """Split an order of items (N,) into batches of `size` items; the last one may be smaller.

    A single leftover item joins the previous batch, since BatchNorm cannot train on one item.
    """
    chunks = list(order.split(size))
    if size > 1 and len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks
