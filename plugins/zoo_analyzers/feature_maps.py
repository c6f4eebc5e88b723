"""The feature maps of an image: what the channels of each layer respond to, and where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import style, untouched, watching
from zoo_analyzers.plots import feature_maps_plot
from zoo_analyzers.thumbnails import thumbnail


class FeatureMaps(Analyzer):
    """The channels with the highest values in each layer, for each of the first inputs.

    If the layer is a sequence of modules, such as the stages of a network, the output of each is drawn.

    Args:
        channels: number of channels to draw in each layer.
        examples: number of inputs to draw.
    """

    def __init__(
        self,
        *,
        channels: Annotated[int, Meta(ge=1, le=32)] = 8,
        examples: Annotated[int, Meta(ge=1, le=20)] = 1,
    ) -> None:
        self.channels = channels
        self.examples = examples

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `channels` and a figure for each input, such as `feature-maps-1.png`.

        The table has a row for each channel that is drawn, with its mean and its highest value.

        Raises OptionError if the layer does not return feature maps.
        """
        path = subject.landmarks["features"]
        images, layers = self._read(model, batches, path)
        if not layers:
            hint = "choose a layer, such as the sequence of all stages, with --layer"
            raise OptionError(f"layer {path} does not return feature maps", hint=hint)
        rows: list[dict[str, Any]] = []
        figures: dict[str, Any] = {}
        for number, image in enumerate(images):
            drawn: list[tuple[str, Tensor, list[int]]] = []
            for name, maps in layers.items():
                best = maps[number].amax((1, 2)).topk(min(self.channels, maps.shape[1])).indices.sort().values
                drawn.append((name, maps[number, best], best.tolist()))
                rows += [
                    {
                        "input": subject.names[number] if subject.names else f"input {number}",
                        "layer": name,
                        "channel": channel,
                        "mean": float(maps[number, channel].mean()),
                        "highest": float(maps[number, channel].max()),
                    }
                    for channel in best.tolist()
                ]
            shown = thumbnail(image, subject.preprocess)
            figures[f"feature-maps-{number + 1}.png"] = _figure(shown, drawn, subject.title)
        return Analysis(tables={"channels": rows}, details={"layer": path}, figures=figures)

    def _read(
        self, model: nn.Module, batches: Iterable[Batch], path: str
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the first images (N, C, H, W), and the feature maps of each layer, (N, channels, h, w)."""
        found: dict[str, list[Tensor]] = {}
        images: list[Tensor] = []

        def see(name: str, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                found.setdefault(name, []).append(output.detach().float().cpu().clone())

        with untouched(model) as inner, torch.no_grad():
            layer = inner.get_submodule(path)
            names = {f"{path}.{n}": child for n, child in layer.named_children()}
            with watching(names if isinstance(layer, nn.Sequential) else {path: layer}, see):
                for batch in batches:
                    rest = self.examples - sum(map(len, images))
                    if rest <= 0:
                        break
                    images.append(batch.inputs[:rest].cpu())
                    inner(batch.inputs[:rest])
        return torch.cat(images), {name: torch.cat(parts) for name, parts in found.items()}


def _figure(image: Tensor, drawn: list[tuple[str, Tensor, list[int]]], title: str) -> Any:
    return lambda: style.png(feature_maps_plot(image, drawn, title=title))
