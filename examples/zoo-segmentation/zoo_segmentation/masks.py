"""The analyzer: predicted masks over their images, and the IoU of each class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import style, untouched
from zoo_segmentation.counting import confusion_of, iou_by_class, overlaps
from zoo_segmentation.sheet import Row, draw_sheet

__all__ = ["Masks"]


class Masks(Analyzer):
    """The predicted class of every pixel, drawn over the images, beside the true class if it is known.

    Args:
        images: maximum number of images to draw; all images are measured.
    """

    def __init__(self, *, images: Annotated[int, Meta(ge=1, le=64)] = 15) -> None:
        self.images = images

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return `masks.png`, a table of the classes and, where true masks are known, scores."""
        names = [str(name) for name in subject.preprocess["classes"]]
        confusion = torch.zeros(len(names), len(names), dtype=torch.int64)
        found = torch.zeros(len(names), dtype=torch.int64)
        rows: list[Row] = []
        with untouched(model) as inner, torch.no_grad():
            for batch in batches:
                predicted = inner(batch.inputs).argmax(1)  # (B, H, W)
                confusion += confusion_of(batch.targets, predicted, classes=len(names)).cpu()
                found += torch.bincount(predicted.flatten(), minlength=len(names)).cpu()
                for place in range(min(len(predicted), self.images - len(rows))):
                    name = subject.names[len(rows)] if subject.names else ""
                    true = batch.targets[place].cpu()
                    image = _image(batch.inputs[place].cpu(), subject.preprocess)
                    rows.append(Row(name, image, true if (true >= 0).any() else None, predicted[place].cpu()))
        return Analysis(
            scores=overlaps(confusion) if confusion.any() else {},
            tables={"classes": _table(names, confusion, found)},
            figures={"masks.png": lambda: style.png(draw_sheet(rows, names, title=subject.title))},
        )


def _table(names: Sequence[str], confusion: Tensor, found: Tensor) -> list[dict[str, Any]]:
    """Return each class's predicted share of the pixels, its true share if known, and its IoU."""
    present, ious = confusion.sum(1), iou_by_class(confusion).tolist()
    known = int(present.sum())
    return [
        {
            "class": name,
            "predicted": int(found[k]) / max(int(found.sum()), 1),
            "true": int(present[k]) / known if known else None,
            "iou": None if math.isnan(ious[k]) else ious[k],
        }
        for k, name in enumerate(names)
    ]


def _image(image: Tensor, preprocess: Any) -> Tensor:
    """Undo the normalization of an image (C, H, W); return it in color, (H, W, 3) from 0 to 1."""
    mean, std = (torch.tensor(preprocess[key]).view(-1, 1, 1) for key in ("mean", "std"))
    return (image * std + mean).clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0)
