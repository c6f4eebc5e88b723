"""Find labels that are probably wrong, because a classifier that has not seen them finds them unlikely."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from msgspec import Meta
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import features_of, grid, pooled, untouched
from zoo_analyzers.held_out import held_out_log_probabilities
from zoo_analyzers.thumbnails import thumbnail

# Height and width of an image on the sheet, in pixels
_TILE = 160


class Suspects(Analyzer):
    """Images whose label is probably wrong, according to out-of-fold predictions from features.

    The images are divided at random into parts. For each part, a logistic regression is fitted to the
    features and labels of all other parts, so that no label confirms itself. An image is suspect if its
    probability of another class is close to, or above, the mean probability of that class among the images
    with that label. Suspects are ranked by the loss of their label.

    The features must not have memorized the labels: analyze a split that the model was not trained on, or a
    model that was trained for few epochs.

    Source: Northcutt et al. 2021, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70.

    Args:
        folds: number of parts.
        confidence: minimum probability of another class that makes a label suspect, as a fraction of the mean
            probability of that class among the images with that label; lower values find more suspects.
        examples: number of images to draw.
    """

    def __init__(
        self,
        *,
        folds: Annotated[int, Meta(ge=2, le=100)] = 5,
        confidence: Annotated[float, Meta(gt=0, le=1)] = 0.8,
        examples: Annotated[int, Meta(ge=1, le=100)] = 24,
    ) -> None:
        self.folds = folds
        self.confidence = confidence
        self.examples = examples

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `suspects`, `suspects.png`, and scores.

        `suspects` is the number of suspect labels, and `share` is their share of all labels.
        `held_out_accuracy` and `held_out_loss` are those of the logistic regressions, and `loss` is that of
        the model itself, which is much lower if the model has memorized the labels.

        Raises OptionError if fewer than two images have a label.
        """
        names = [str(name) for name in subject.preprocess["classes"]]
        features, labels, losses = _read(model, batches, subject)
        known = (labels >= 0).nonzero()[:, 0]
        if len(known) < 2:
            hint = "choose a split with --split"
            raise OptionError("the suspects analyzer requires labels, but these images have none", hint=hint)
        labels = labels[known]
        predicted = held_out_log_probabilities(features[known], labels, classes=len(names), folds=self.folds)
        likely, order = suspects(predicted, labels, confidence=self.confidence)
        rows = [
            {
                "input": subject.names[number] if subject.names else f"input {number}",
                "number": number,
                "true": names[int(labels[place])],
                "likely": names[int(likely[place])],
                "probability": float(predicted[place, likely[place]].exp()),
                "loss": float(-predicted[place, labels[place]]),
            }
            for place, number in zip(order.tolist(), known[order].tolist(), strict=True)
        ]
        accuracy = float((predicted.argmax(1) == labels).double().mean())
        return Analysis(
            scores={
                "suspects": float(len(rows)),
                "share": len(rows) / len(known),
                "held_out_accuracy": accuracy,
                "held_out_loss": float(F.nll_loss(predicted, labels)),
                "loss": float(losses[known].mean()),
            },
            tables={"suspects": rows},
            figures={"suspects.png": lambda: self._figure(rows, batches, subject)} if rows else {},
            text="" if rows else "no label is suspect",
        )

    def _figure(self, rows: Sequence[Mapping[str, Any]], batches: Iterable[Batch], subject: Subject) -> bytes:
        """Return a PNG of the most suspect images, with their labels and the likely ones."""
        wanted = [row["number"] for row in rows[: self.examples]]
        images: dict[int, Any] = {}
        first = 0
        for batch in batches:
            for number in (n for n in wanted if first <= n < first + len(batch.inputs)):
                images[number] = _tile(batch.inputs[number - first], subject.preprocess)
            first += len(batch.inputs)
        captions = [
            (f"{Path(row['input']).name}: {row['true']}", f"{row['likely']}? {row['probability']:.0%}")
            for row in rows[: self.examples]
        ]
        buffer = io.BytesIO()
        grid([images[number] for number in wanted], captions).save(buffer, "PNG")
        return buffer.getvalue()


def _tile(inputs: Tensor, preprocess: Mapping[str, Any]) -> Image.Image:
    """Return a model's input (C, H, W) as a color image of 160×160 pixels."""
    pixels = (255 * thumbnail(inputs, preprocess)).round().byte()
    colors = pixels[:3] if len(pixels) >= 3 else pixels[:1].expand(3, -1, -1)
    return Image.fromarray(colors.permute(1, 2, 0).contiguous().numpy()).resize((_TILE, _TILE))


def suspects(predicted: Tensor, labels: Tensor, *, confidence: float) -> tuple[Tensor, Tensor]:
    """Return the likely class of each item, (N,), and the suspect items, highest loss first.

    The likely class of an item is the most probable of the classes whose probability is at least `confidence`
    times its mean among the items with that label, or times 1 / K if that is higher. If there is no such
    class, it is the item's label. An item is suspect if its likely class is not its label. With a
    `confidence` of 1, these are the items off the diagonal of the confident joint.

    Args:
        predicted: log-probabilities (N, K) from classifiers that were fitted without the item.
        labels: (N,)
    """
    probabilities = predicted.exp()
    own = probabilities.gather(1, labels[:, None])[:, 0]
    classes = predicted.shape[1]
    counts = torch.bincount(labels, minlength=classes)
    means = torch.zeros(classes).index_add_(0, labels, own) / counts  # nan if empty
    thresholds = means.clamp(min=1 / classes)  # else, every item would be like a class that is never found
    confident = probabilities.where(probabilities >= confidence * thresholds, -1)
    likely = torch.where(confident.amax(1) >= 0, confident.argmax(1), labels)
    loss = -predicted.gather(1, labels[:, None])[:, 0]
    order = loss.argsort(descending=True, stable=True)
    return likely, order[(likely != labels)[order]]


def _read(model: nn.Module, batches: Iterable[Batch], subject: Subject) -> tuple[Tensor, Tensor, Tensor]:
    """Return the features (N, F), the labels (N,) and the model's losses (N,) of all images."""
    features: list[Tensor] = []
    labels: list[Tensor] = []
    losses: list[Tensor] = []
    with untouched(model) as inner, torch.no_grad():
        for batch in batches:
            with features_of(inner, subject.landmarks) as found:
                logits = inner(batch.inputs)
            features.append(pooled(found.output).cpu())
            labels.append(batch.targets.cpu())
            losses.append(F.cross_entropy(logits.float().cpu(), labels[-1].clamp(min=0), reduction="none"))
    return torch.cat(features), torch.cat(labels), torch.cat(losses)
