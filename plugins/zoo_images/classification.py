"""Image classification: batches, cross-entropy, accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import TrainConfig
from zoo.interfaces import Batch, State, Step, Task
from zoo_images.batches import ImageBatches
from zoo_images.fields import LabelFields
from zoo_images.views import Views

__all__ = ["Classification"]


class Classification(ImageBatches, Task):
    """Each image belongs to one of K classes."""

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Return the cross-entropy, and the sums: the loss and the number of correctly classified images.

        With more than ten classes, the sums also count images whose label is among the five most likely
        classes; in evaluation mode they include the confusion matrix (K, K), with a row for each label.
        """
        logits: Tensor = model(batch.inputs)  # (B, K)
        logits = logits.float()
        smoothing = config.group("labels", LabelFields).label_smoothing if config else 0.0
        loss = F.cross_entropy(logits, batch.targets, label_smoothing=smoothing)
        count = len(batch.targets)
        labels = batch.targets.argmax(1) if batch.targets.is_floating_point() else batch.targets
        logits = logits.detach()
        predicted, classes = logits.argmax(1), logits.shape[1]
        sums = {"loss": loss.detach() * count, "correct": (predicted == labels).sum()}
        if classes > 10:
            sums["correct_of_5"] = (logits.topk(5).indices == labels[:, None]).sum()
        if not model.training:
            pairs = torch.bincount(labels * classes + predicted, minlength=classes**2)
            sums["confusion"] = pairs.view(classes, classes)
        return Step(loss, sums, count)

    def views(self, model: nn.Module) -> nn.Module:
        """Return a classifier that averages the probabilities over six views of each image."""
        return Views(model)

    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return an accuracy of 1 / K, and a loss of ln K; empty for a single class."""
        classes = len(preprocess["classes"])
        return {"accuracy": 1 / classes, "loss": math.log(classes)} if classes > 1 else {}

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return accuracy in [0, 1], loss in nats per image and, for many classes, `top5_accuracy`."""
        metrics = {"accuracy": sums["correct"] / count, "loss": sums["loss"] / count}
        if "correct_of_5" in sums:
            metrics["top5_accuracy"] = sums["correct_of_5"] / count
        return metrics

    def details(self, sums: Mapping[str, Tensor], preprocess: Mapping[str, Any]) -> dict[str, Any]:
        """Return each class's count and accuracy, and the numbers of images `confusion[label][predicted]`.

        The details include `missing_classes`, the classes without images.
        """
        confusion = sums["confusion"].long()
        counts = confusion.sum(1)
        shares = confusion.diagonal().double() / counts.clamp(min=1)
        rows = zip(preprocess["classes"], counts.tolist(), shares.tolist(), strict=True)
        classes = [{"class": name, "count": n, "accuracy": share if n else None} for name, n, share in rows]
        missing = [row["class"] for row in classes if not row["count"]]
        return {"classes": classes, "missing_classes": missing, "confusion": confusion.tolist()}
