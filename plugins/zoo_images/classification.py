"""Image classification: options of labels, and metrics that balance classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError, TrainConfig
from zoo.interfaces import Batch
from zoo.plugin import ClassificationTask
from zoo_images.class_balance import balanced_metrics, balanced_order, balanced_weights
from zoo_images.fields import LabelFields
from zoo_images.image_task import ImageTask
from zoo_images.views import Views


class Classification(ImageTask, ClassificationTask):
    """Each image belongs to one of K classes."""

    def order(self, split: Any, config: TrainConfig, draws: torch.Generator) -> Tensor:
        """Return the indices of an epoch's images, (N,); with `balanced_sampling`, drawn with replacement."""
        balanced = config.group("labels", LabelFields).balanced_sampling
        return balanced_order(split, draws) if balanced else super().order(split, config, draws)

    def class_weights(self, split: Any, config: TrainConfig) -> Tensor | None:
        """Return the weight of each class in the loss, (K,), or None."""
        balanced = config.group("labels", LabelFields).class_weights == "balanced"
        return balanced_weights(split) if balanced else None

    def loss(self, logits: Tensor, batch: Batch, config: TrainConfig | None) -> Tensor:
        """Return the mean cross-entropy, with label smoothing and the weights of the images, if any."""
        smoothing = config.group("labels", LabelFields).label_smoothing if config else 0.0
        if config and config.loss and smoothing:
            message = f"label_smoothing={smoothing} has no effect with loss={config.loss}"
            raise OptionError(message, hint="set label_smoothing=0")
        cross_entropy = partial(F.cross_entropy, logits, batch.targets, label_smoothing=smoothing)
        if batch.weights is None:
            return cross_entropy()
        return (cross_entropy(reduction="none") * batch.weights).mean()

    def views(self, model: nn.Module) -> nn.Module:
        """Return a classifier that averages the probabilities over six views of each image."""
        return Views(model)

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return accuracy in [0, 1], loss in nats per image and, for many classes, `top5_accuracy`.

        An evaluation adds `balanced_accuracy` and `macro_f1` if classes have different numbers of images.
        """
        metrics = super().metrics(sums, count, preprocess)
        return metrics | (balanced_metrics(sums["confusion"]) if "confusion" in sums else {})
