"""Base class of all class activation maps. It runs the model once and stores the output of one layer."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import untouched
from zoo_cam.stored import Stored, stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A batch of images and the layer's output for that batch.

    Attributes:
        images: (B, C, H, W).
        landmark: the landmark of the layer.
        features: the layer's output, (B, F, h, w) in fp32.
        logits: (B, classes), differentiable with respect to the features.
        classes: the classes to explain, (B, K).
    """

    model: nn.Module
    images: Tensor
    layer: Stored
    landmark: str
    features: Tensor
    logits: Tensor
    classes: Tensor
    subject: Subject

    def gradients(self) -> Iterator[Tensor]:
        """Yield the gradient of each class's logit with respect to the features: K tensors (B, F, h, w).

        In evaluation mode, an image's logit does not depend on other images, so one backward pass is enough
        for the whole batch.
        """
        targets = F.one_hot(self.classes.T, self.logits.shape[1])  # (K, B, classes)
        last = len(targets) - 1
        for k, target in enumerate(targets):  # (B, classes)
            gradient = self.layer.gradient(self.logits, target, again=k < last)
            yield _as_maps(gradient, self.landmark).float()


class ActivationMap(Analyzer):
    """Heat maps computed from the output of a layer. Subclasses implement `draw`.

    Args:
        flips: average each map with the map of the mirrored image.
        rectify: set negative values, evidence against the class, to zero.

    Attributes:
        differentiates: whether `draw` uses gradients.
    """

    differentiates: ClassVar[bool] = True

    def __init__(self, *, flips: bool = False, rectify: bool = True) -> None:
        self.flips = flips
        self.rectify = rectify

    @abstractmethod
    def draw(self, look: Look) -> Tensor:
        """Return maps (B, K, h, w) from features (B, F, h, w), before rectification."""

    def landmark(self, subject: Subject) -> str:
        """Return the landmark whose output is used."""
        return "features" if "features" in subject.landmarks else "tokens"

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return maps (N, K, h, w) at the layer's resolution, their classes, and the logits.

        Raises OptionError unless the layer's output is feature maps (B, F, h, w), or tokens (B, N, F) or (B,
        h, w, F), with more than one position.
        """
        path = subject.landmarks[self.landmark(subject)]
        results: list[tuple[Tensor, Tensor, Tensor]] = []
        with untouched(model) as inner:
            for batch in batches:
                images = batch.inputs.clone() if batch.inputs.is_inference() else batch.inputs
                ask = partial(subject.target_classes, labels=batch.targets)
                maps, classes, logits = self._look(inner, path, images, subject, ask)
                if self.flips:
                    mirrored, *_ = self._look(inner, path, images.flip(3), subject, lambda _, c=classes: c)
                    maps = (maps + mirrored.flip(3)) / 2
                results.append((maps, classes, logits))
        maps, classes, logits = (torch.cat(parts) for parts in zip(*results, strict=True))
        return Analysis(maps=maps, classes=classes, logits=logits, details={"layer": path})

    def _look(
        self,
        model: nn.Module,
        path: str,
        images: Tensor,
        subject: Subject,
        ask: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        with stored(model.get_submodule(path), differentiable=self.differentiates) as layer:
            logits = model(images)
        landmark = self.landmark(subject)
        features = _spatial(layer, path, landmark)
        classes = ask(logits)
        look = Look(
            model=model,
            images=images,
            layer=layer,
            landmark=landmark,
            features=features,
            logits=logits,
            classes=classes,
            subject=subject,
        )
        with torch.inference_mode(False), torch.no_grad():
            maps = self.draw(look)
        return maps.relu() if self.rectify else maps, classes, logits.detach().float()


def weighted(features: Tensor, weights: Tensor) -> Tensor:
    """Return the sums (B, K, h, w) of features (B, F, h, w) weighted by (B, K, F), always in fp32."""
    with torch.autocast(features.device.type, enabled=False):
        return torch.einsum("bkf,bfhw->bkhw", weights, features)


def _as_maps(features: Tensor, landmark: str) -> Tensor:
    """Return maps (B, F, h, w) from a layer's output: maps, or tokens (B, N, F) or (B, h, w, F).

    Images are square, and so is the grid of patches; other tokens, such as a class token, come first.
    """
    if features.ndim == 3:
        side = math.isqrt(features.shape[1])
        return features[:, -side * side :].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    return features.permute(0, 3, 1, 2) if landmark == "tokens" and features.ndim == 4 else features


def _spatial(layer: Stored, path: str, landmark: str) -> Tensor:
    try:
        features = _as_maps(layer.output.detach(), landmark)
    except TypeError as error:
        raise OptionError(f"layer {path} has no feature maps: {error}") from None
    if features.ndim != 4 or features.shape[2] * features.shape[3] == 1:
        raise OptionError(
            f"layer {path} has no feature maps: its output has shape {tuple(features.shape)}",
            hint="a heat map requires feature maps (images, channels, height, width) larger than 1×1",
        )
    return features.float()
