"""Image classification: batches, cross-entropy, accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import TrainConfig
from zoo.interfaces import Batch, State, Step, Task
from zoo.plugin import wilson
from zoo_images.batches import ImageBatches
from zoo_images.class_balance import balanced_metrics
from zoo_images.fields import LabelFields
from zoo_images.views import Views

__all__ = ["Classification"]


class Classification(ImageBatches, Task):
    """Each image belongs to one of K classes."""

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Return the cross-entropy, and the sums: the loss and, as `accuracy`, the number of correct images.

        With more than ten classes, `top5_accuracy` counts images whose label is among the five most likely
        classes; in evaluation mode, the sums include the confusion matrix (K, K), with a row for each label.
        """
        logits: Tensor = model(batch.inputs)  # (B, K)
        logits = logits.float()
        smoothing = config.group("labels", LabelFields).label_smoothing if config else 0.0
        cross_entropy = partial(F.cross_entropy, logits, batch.targets, label_smoothing=smoothing)
        if batch.weights is None:
            loss = cross_entropy()
        else:
            loss = (cross_entropy(reduction="none") * batch.weights).mean()
        count = len(batch.targets)
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

    def views(self, model: nn.Module) -> nn.Module:
        """Return a classifier that averages the probabilities over six views of each image."""
        return Views(model)

    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return an accuracy of 1 / K, and a loss of ln K; empty for a single class."""
        classes = len(preprocess["classes"])
        return {"accuracy": 1 / classes, "loss": math.log(classes)} if classes > 1 else {}

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return accuracy in [0, 1], loss in nats per image and, for many classes, `top5_accuracy`.

        An evaluation adds `balanced_accuracy` and `macro_f1` if classes have different numbers of images.
        """
        names = ("accuracy", "loss", "top5_accuracy")
        metrics = {name: sums[name] / count for name in names if name in sums}
        return metrics | (balanced_metrics(sums["confusion"]) if "confusion" in sums else {})

    def details(self, sums: Mapping[str, Tensor], preprocess: Mapping[str, Any]) -> dict[str, Any]:
        """Return each class's count and accuracy, and the numbers of images `confusion[label][predicted]`.

        Each class's `interval` is the 95% confidence interval of its accuracy. The details include
        `missing_classes`, the classes without images.
        """
        confusion = sums["confusion"].long()
        rows = zip(
            preprocess["classes"], confusion.sum(1).tolist(), confusion.diagonal().tolist(), strict=True
        )
        classes = [
            {
                "class": name,
                "count": count,
                "accuracy": correct / count if count else None,
                "interval": [*wilson(correct, count)] if count else None,
            }
            for name, count, correct in rows
        ]
        missing = [row["class"] for row in classes if not row["count"]]
        return {"classes": classes, "missing_classes": missing, "confusion": confusion.tolist()}
