"""BatchNorm's running statistics beside those of single batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import SpecError, receiving, style, untouched, warn
from zoo_analyzers.plots import statistics_plot

# Added to variances, as BatchNorm does
_EPS = 1e-5


class BatchStatistics(Analyzer):
    """The mean and variance of each batch in each BatchNorm layer, relative to the layer's running ones.

    In training, a layer normalizes with the statistics of the batch; afterward, with the running ones. The
    smaller the batches, the more the two differ.

    Args:
        batch_size: number of images in a batch.

    Source: Ioffe & Szegedy 2015, arXiv 1502.03167, section 3.1.
    """

    def __init__(self, *, batch_size: Annotated[int, Meta(ge=2, le=1024)] = 32) -> None:
        self.batch_size = batch_size

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `layers`, `batch-statistics.png` and scores.

        All values are in running standard deviations: `offset` is the root mean square, over channels and
        batches, of the difference between the batch's mean and the running mean; `noise` is the part of it
        that differs from batch to batch; `std` is the mean standard deviation of a batch. All batches
        have the same size: images that fill no batch are left out, and if there are fewer than two
        batches, the images are halved; a warning reports either. The model runs in evaluation mode.

        Raises SpecError if the model has no BatchNorm layers, and OptionError for a single image.
        """
        with untouched(model) as inner, torch.no_grad():
            norms = {name: layer for name, layer in inner.named_modules() if _running(layer) is not None}
            if not norms:
                raise SpecError("this model has no BatchNorm layers")
            seen: dict[str, list[tuple[Tensor, Tensor]]] = {}

            def see(name: str, values: object) -> None:
                running = _running(norms[name])
                if isinstance(values, Tensor) and running is not None:
                    seen.setdefault(name, []).append(_relative(values.double(), *running))

            with receiving(norms, see):
                size = 0
                for images in self._batches(batches):
                    inner(images)
                    size = len(images)
        layers = {
            name: (torch.stack([mean for mean, _ in found]), torch.stack([std for _, std in found]))
            for name, found in seen.items()
        }
        rows = [_row(name, means, stds) for name, (means, stds) in layers.items()]
        worst = max(rows, key=lambda row: row["noise"])["layer"]
        return Analysis(
            scores={"noise": sum(row["noise"] for row in rows) / len(rows)},
            tables={"layers": rows},
            details={"batch_size": size},
            figures={
                "batch-statistics.png": lambda: style.png(
                    statistics_plot(rows, layers[worst], worst, title=subject.title)
                )
            },
        )

    def _batches(self, batches: Iterable[Batch]) -> Iterator[Tensor]:
        """Yield the images in at least two batches of the same size."""
        size, least = self.batch_size, 2 * self.batch_size
        rest: list[Tensor] = []
        for batch in batches:
            images = torch.cat([*rest, batch.inputs])
            while len(images) >= least:
                yield images[:size]
                images, least = images[size:], size
            rest = [images]
        images = torch.cat(rest)
        if least > size:
            if len(images) < 2:
                raise OptionError(f"batch statistics require at least two images (got {len(images)})")
            size = len(images) // 2
            few = f"{len(images)} images are fewer than two batches of {self.batch_size}"
            warn(f"{few}; comparing two of {size}")
            yield from images[: 2 * size].split(size)
            images = images[2 * size :]
        if len(images):
            warn(f"images left out because they do not fill a batch of {size}: {len(images)}")


def _running(layer: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Return the running mean and variance of a BatchNorm layer, (C,); None if it is another layer."""
    mean, var = getattr(layer, "running_mean", None), getattr(layer, "running_var", None)
    return (mean, var) if isinstance(mean, Tensor) and isinstance(var, Tensor) else None


def _relative(values: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation of each channel of (B, C, ...), in running ones."""
    channels = values.transpose(0, 1).flatten(1)  # (C, values)
    std = (var.double() + _EPS).sqrt()
    return (channels.mean(1) - mean) / std, (channels.var(1, correction=0) + _EPS).sqrt() / std


def _row(name: str, means: Tensor, stds: Tensor) -> dict[str, Any]:
    """Return the row of a layer, from the relative statistics of each batch, (batches, C)."""
    return {
        "layer": name,
        "channels": means.shape[1],
        "batches": len(means),
        "offset": float(means.square().mean().sqrt()),
        "noise": float((means - means.mean(0)).square().mean().sqrt()),
        "std": float(stds.mean()),
    }
