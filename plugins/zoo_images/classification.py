"""Image classification: batches, cross-entropy, accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError, TrainConfig
from zoo.interfaces import Batch
from zoo.plugin import ClassificationTask
from zoo_images.batches import ImageBatches
from zoo_images.class_balance import balanced_metrics
from zoo_images.fields import LabelFields
from zoo_images.views import Views


class Classification(ImageBatches, ClassificationTask):
    """Each image belongs to one of K classes."""

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
