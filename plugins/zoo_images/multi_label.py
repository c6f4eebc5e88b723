"""Multi-label image classification: binary cross-entropy, mean average precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from zoo import TrainConfig
from zoo.interfaces import Batch, State, Step
from zoo_images.average_precision import average_precision, histograms, places
from zoo_images.image_task import ImageTask
from zoo_images.views import Views, mean_of_sigmoids


class MultiLabel(ImageTask):
    """Each image belongs to any number of K classes, or to none."""

    def prepare_targets(self, targets: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
        """Return labels (B, K) as float32."""
        return targets.float()

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Return the binary cross-entropy, a mean over images and classes.

        The sums are the loss; the numbers of correct, missing and wrong labels at a probability threshold of
        0.5; and the histograms (2, K, bins) from which each class's average precision is computed. A blended
        target of at least one half counts as a label.
        """
        logits: Tensor = model(batch.inputs)  # (B, K)
        logits = logits.float()
        loss = F.binary_cross_entropy_with_logits(logits, batch.targets)
        count = len(batch.targets)
        logits, labels = logits.detach(), batch.targets >= 0.5
        chosen = logits > 0
        outcomes = {
            "right": chosen & labels,
            "missing": labels & ~chosen,
            "wrong": chosen & ~labels,
        }  # (B, K)
        sums = {
            "loss": loss.detach() * count,
            **{name: each.sum() for name, each in outcomes.items()},
            "histograms": histograms(logits, labels),
        }

        def items() -> dict[str, Tensor]:
            losses = F.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none").mean(1)
            each = {name: each.sum(1).float() for name, each in outcomes.items()}
            return {"loss": losses, "histograms": places(logits, labels), **each}

        return Step(loss, sums, count, items=None if model.training else items)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of each class, independent of the others."""
        return logits.sigmoid()

    def views(self, model: nn.Module) -> nn.Module:
        """Return a model that averages the probabilities over six views of each image."""
        return Views(model, mean_of_sigmoids)

    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return the loss if every probability is 0.5, ln 2."""
        return {"loss": math.log(2)}

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return `mAP`, the loss in nats per label, and `f1`, micro-averaged at a threshold of 0.5.

        mAP is the mean average precision of the classes that have images, or 0 if no class has images. F1 is
        0 without labels.
        """
        precisions = average_precision(sums["histograms"])
        known = precisions[~precisions.isnan()]
        mean = float(known.mean()) if len(known) else 0.0
        errors = sums["missing"] + sums["wrong"]
        f1 = 2 * sums["right"] / max(2 * sums["right"] + errors, 1)
        return {"mAP": mean, "loss": sums["loss"] / count, "f1": f1}

    def details(self, sums: Mapping[str, Tensor], preprocess: Mapping[str, Any]) -> dict[str, Any]:
        """Return each class's number of images and its average precision, None if it has no images.

        The details include `missing_classes`, the classes without images.
        """
        counts = sums["histograms"][1].sum(1).long().tolist()
        precisions = average_precision(sums["histograms"]).tolist()
        rows = zip(preprocess["classes"], counts, precisions, strict=True)
        classes = [{"class": k, "count": n, "average_precision": p if n else None} for k, n, p in rows]
        return {"classes": classes, "missing_classes": [row["class"] for row in classes if not row["count"]]}
