"""Two of captum's methods. Both compare an image with the mean image, which normalization maps to 0."""

from typing import Annotated

import torch
from captum import attr
from msgspec import Meta

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer
from zoo.plugin import untouched

Count = Annotated[int, Meta(ge=1, le=1_000)]


def _explain(attribute, model, batches, subject):
    """Return maps (N, K, H, W); `attribute` maps images (B, C, H, W) and classes (B,) to (B, H, W)."""
    parts = []
    with untouched(model) as inner, torch.inference_mode(False), torch.enable_grad():
        for batch in batches:
            images = batch.inputs.detach().clone().requires_grad_()
            logits = inner(images).detach()
            classes = subject.target_classes(logits, batch.targets)  # (B, K)
            maps = [attribute(inner, images, each).detach() for each in classes.unbind(1)]
            parts.append((torch.stack(maps, 1), classes, logits))
    maps, classes, logits = (torch.cat(part) for part in zip(*parts, strict=True))
    return Analysis(maps=maps, classes=classes, logits=logits)


class IntegratedGradients(Analyzer):
    """The values of a map add up to the image's logit minus the logit of the mean image.

    Args:
        steps: number of gradients on the way from the mean image to the image.
    """

    def __init__(self, *, steps: Count = 32) -> None:
        self.steps = steps

    def analyze(self, model, batches, *, subject):
        """Return maps of the images' size."""

        def attribute(inner, images, classes):
            values = attr.IntegratedGradients(inner).attribute(
                images, target=classes, n_steps=self.steps, internal_batch_size=max(64, len(images))
            )
            return values.sum(1)

        return _explain(attribute, model, batches, subject)


class Occlusion(Analyzer):
    """Each pixel has the mean drop of the logit over the squares that cover the pixel.

    Args:
        window: height and width of the square in pixels.
        stride: distance between two squares in pixels.
    """

    def __init__(self, *, window: Count = 8, stride: Count = 4) -> None:
        if stride > window:
            raise OptionError(f"stride must be at most window={window}, or pixels are skipped (got {stride})")
        self.window, self.stride = window, stride

    def analyze(self, model, batches, *, subject):
        """Return maps of the images' size."""

        def attribute(inner, images, classes):
            channels, *sides = images.shape[1:]
            if self.window > min(sides):
                raise OptionError(f"window must be at most {min(sides)} for these images (got {self.window})")
            values = attr.Occlusion(inner).attribute(
                images,
                sliding_window_shapes=(channels, self.window, self.window),
                strides=(channels, self.stride, self.stride),
                target=classes,
                perturbations_per_eval=max(1, 64 // len(images)),
            )
            return values[:, 0]  # a square covers all channels

        return _explain(attribute, model, batches, subject)
