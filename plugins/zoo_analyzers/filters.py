"""The filters of the first layer, beside the parts of the images to which each responds most."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import style, untouched, watching
from zoo_analyzers.plots import filters_plot
from zoo_analyzers.thumbnails import thumbnail


class Filters(Analyzer):
    """The weights of the first layer as images, and for each filter the patches with the highest response.

    The first layer is a convolution, or a linear layer that reads all pixels. The filters of a linear layer
    are as large as the image, and so are its patches.

    Args:
        count: number of filters to draw.
        examples: number of patches for each filter, at most one from each image.

    Source: Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", arXiv 1311.2901,
        section 4.
    """

    def __init__(
        self,
        *,
        count: Annotated[int, Meta(ge=1, le=64)] = 16,
        examples: Annotated[int, Meta(ge=1, le=20)] = 6,
    ) -> None:
        self.count = count
        self.examples = examples

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `filters` and `filters.png`.

        For each filter, `norm` is the norm of its weights, `highest` is its highest response, before the
        activation, and `input` is the image with this response.

        Raises OptionError if the first layer does not read the pixels.
        """
        with untouched(model) as inner, torch.no_grad():
            image = next(iter(batches)).inputs[:1]
            name, layer = _first_layer(inner, image)
            weights = _as_images(layer, image.shape[1:])[: self.count].detach().float().cpu()
            found = [_responses(layer, batch.inputs, self.count) for batch in batches]
            values, corners = (torch.cat(parts) for parts in zip(*found, strict=True))  # (N, F), (N, F, 2)
            best = values.topk(min(self.examples, len(values)), dim=0)  # (examples, F)
            images = _images(batches, {*best.indices.flatten().tolist()})
        rows = [
            {
                "filter": number,
                "norm": float(weight.norm()),
                "highest": float(best.values[0, number]),
                "input": _name(int(best.indices[0, number]), subject),
            }
            for number, weight in enumerate(weights)
        ]
        patches = [
            [
                thumbnail(_patch(images[place], corners[place, number], weights), subject.preprocess)
                for place in best.indices[:, number].tolist()
            ]
            for number in range(len(weights))
        ]
        return Analysis(
            tables={"filters": rows},
            details={"layer": name},
            figures={"filters.png": lambda: style.png(filters_plot(weights, patches, title=subject.title))},
        )


def _name(place: int, subject: Subject) -> str:
    return subject.names[place] if subject.names else f"input {place}"


def _first_layer(model: nn.Module, image: Tensor) -> tuple[str, nn.Conv2d | nn.Linear]:
    """Return the first layer that runs, for an image (1, C, H, W).

    Raises OptionError unless it reads the pixels.
    """
    layers = {n: layer for n, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    ran: list[str] = []
    with watching(layers, lambda name, _: ran.append(name)):
        model(image)
    for name in ran[:1]:
        layer = layers[name]
        pixels = image.numel() if isinstance(layer, nn.Linear) else image.shape[1]
        if layer.weight.shape[1] == pixels:
            return name, layer
    raise OptionError("the first layer of this model does not read the pixels of the image")


def _as_images(layer: nn.Conv2d | nn.Linear, shape: torch.Size) -> Tensor:
    """Return the weights of each filter as an image, (F, C, h, w)."""
    return layer.weight.view(-1, *shape) if isinstance(layer, nn.Linear) else layer.weight


def _responses(layer: nn.Conv2d | nn.Linear, images: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the highest response of each filter in each image, (B, F), and its patch's corner, (B, F, 2).

    The corner is the upper left one, in pixels of the image; it may lie in the padding.
    """
    if isinstance(layer, nn.Linear):
        values = layer(images.flatten(1))[:, :count]
        return values.float().cpu(), torch.zeros(*values.shape, 2, dtype=torch.int64)
    maps = layer(images)[:, :count]  # (B, F, h, w)
    values, places = maps.flatten(2).max(2)
    cells = torch.stack([places // maps.shape[3], places % maps.shape[3]], 2)
    same = layer.padding == "same"  # or "valid", or numbers
    padding = [same * ((size - 1) // 2) for size in layer.kernel_size]
    padding = padding if isinstance(layer.padding, str) else [*layer.padding]
    corners = cells * cells.new_tensor([*layer.stride]) - cells.new_tensor(padding)
    return values.float().cpu(), corners.cpu()


def _images(batches: Iterable[Batch], wanted: Collection[int]) -> dict[int, Tensor]:
    """Return the images (C, H, W) at some positions among all inputs."""
    images: dict[int, Tensor] = {}
    first = 0
    for batch in batches:
        here = [place for place in wanted if first <= place < first + len(batch.inputs)]
        images |= {place: batch.inputs[place - first].cpu() for place in here}
        first += len(batch.inputs)
    return images


def _patch(image: Tensor, corner: Tensor, weights: Tensor) -> Tensor:
    """Return the part of an image (C, H, W) that a filter sees from this corner on, (C, h, w)."""
    top, left = corner.tolist()
    height, width = weights.shape[2:]
    around = F.pad(image, (width, width, height, height))
    return around[:, top + height : top + 2 * height, left + width : left + 2 * width]
