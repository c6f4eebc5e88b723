"""Landmarks of timm's models, found by running a model once: timm itself does not name the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.plugin import receiving, untouched, watching

# Height and width that leave several positions after a stride of 32
_USUAL_SIZE = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """The output of a layer for one image.

    Attributes:
        value: the tensor that the rest of the model reads, which may have been changed in place.
        means: means over the positions, at the time when the layer returned the tensor.
        landmark: `features` for maps (1, C, h, w); `tokens` for (1, N, C) or (1, h, w, C).
    """

    path: str
    value: Tensor
    means: Tensor
    landmark: Literal["features", "tokens"]

    def positions(self, values: Tensor) -> Tensor:
        """Return values of the form of the output, (positions, C)."""
        if self.landmark == "features":
            values = values.movedim(1, -1)
        return values.reshape(-1, values.shape[-1])


def find_landmarks(model: Any, in_channels: int, image_size: int) -> dict[str, str]:
    """Return the landmarks of a timm model; empty on torch's meta device.

    - `head` is the last layer, if there is one whose output is the logits.
    - `features` or `tokens` is the last layer with several positions, most of which the head depends on: the
      output of a Transformer's last block does not qualify if only its class token is read.
    - `mean_head` is the head if it is linear and reads the means of the features.
    """
    parameter = next(model.parameters())
    if parameter.is_meta:
        return {}
    generator = torch.Generator().manual_seed(0)
    sizes = [image_size] if image_size >= _USUAL_SIZE else [_USUAL_SIZE, image_size]
    for size in sizes:
        image = torch.randn(1, in_channels, size, size, generator=generator)
        try:
            with torch.inference_mode(False), torch.enable_grad():
                return _found(model, image.to(parameter.device, parameter.dtype))
        except (AssertionError, RuntimeError, ValueError):  # of a model that cannot read images of this size
            if size == image_size:
                raise
    raise AssertionError("unreachable")


def _found(model: Any, image: Tensor) -> dict[str, str]:
    head = _path_of(model, model.get_classifier())
    outputs, logits, before, after = _run(model, image, head)
    landmarks: dict[str, str] = {}
    if after is not None and torch.equal(after.flatten(1), logits):
        landmarks["head"] = head
    else:
        before = logits
    channels = {getattr(model, "num_features", 0), *(info["num_chs"] for info in _last(model))}
    last = _last_read(outputs, before, channels)
    if last is None:
        return landmarks
    # Without a head, whose input would be the features, they are the mean of the tokens
    landmarks[last.landmark if landmarks else "features"] = last.path
    linear = "head" in landmarks and isinstance(model.get_submodule(head), nn.Linear)
    if linear and last.landmark == "features" and _equal(last.means, before.detach().flatten()):
        landmarks["mean_head"] = head
    return landmarks


def _last(model: Any) -> list[Mapping[str, Any]]:
    """Return timm's description of the last stage, if there is one."""
    return [*getattr(model, "feature_info", [])][-1:]


def _path_of(model: nn.Module, layer: object) -> str:
    return next((path for path, module in model.named_modules() if path and module is layer), "")


def _run(model: nn.Module, image: Tensor, head: str) -> tuple[list[_Output], Tensor, Tensor, Tensor | None]:
    """Return the outputs of all layers before the head, the logits, and the head's input and output."""
    outputs: list[_Output] = []
    seen: dict[str, Tensor] = {}

    def see(path: str, value: object) -> None:
        if path == head and isinstance(value, Tensor):
            seen["after"] = value
        elif "before" not in seen and isinstance(value, Tensor) and (output := _output(path, value)):
            outputs.append(output)

    def receive(_: str, value: object) -> None:
        if isinstance(value, Tensor):
            seen["before"] = value

    with untouched(model) as inner:
        # A linear layer may compute the values of attention; the layer before it shows more
        layers = {
            path: layer
            for path, layer in inner.named_modules()
            if path and (path == head or not isinstance(layer, nn.Linear | nn.Identity))
        }
        heads = {head: layers[head]} if head else {}
        with watching(layers, see), receiving(heads, receive):
            logits: Tensor = inner(image.clone().requires_grad_())
    before = seen.get("before")
    return outputs, logits, logits if before is None else before, seen.get("after")


def _output(path: str, value: Tensor) -> _Output | None:
    """Return the output of a layer if it has several positions and depends on the image."""
    if not value.requires_grad or value.ndim not in (3, 4):
        return None
    landmark: Literal["features", "tokens"] = "tokens"
    if value.ndim == 4 and value.shape[2] == value.shape[3]:
        landmark = "features"
    elif value.ndim == 4 and value.shape[1] != value.shape[2]:
        return None
    if (value.shape[1] if landmark == "tokens" else value.shape[2]) < 2:
        return None
    dims = (2, 3) if landmark == "features" else tuple(range(1, value.ndim - 1))
    return _Output(path=path, value=value, means=value.detach().mean(dims).flatten(), landmark=landmark)


def _last_read(outputs: list[_Output], target: Tensor, channels: set[int]) -> _Output | None:
    """Return the last output, with some number of `channels`, most of whose positions affect `target`."""
    weights = torch.randn(target.shape, generator=torch.Generator().manual_seed(1)).to(target)
    values = [output.value for output in outputs]
    total = (target * weights).sum()
    gradients: Any = torch.autograd.grad(total, values, allow_unused=True) if values else ()
    paths = [output.path for output in outputs]
    for output, gradient in reversed([*zip(outputs, gradients, strict=True)]):
        if gradient is None or paths.count(output.path) > 1 or len(output.means) not in channels:
            continue
        if (output.positions(gradient) != 0).any(1).float().mean() > 0.5:
            return output
    return None


def _equal(means: Tensor, inputs: Tensor) -> bool:
    """Return whether the head reads the means, and not only because both are constant."""
    return len(means) == len(inputs) and bool(inputs.std() > 0) and torch.allclose(means, inputs, atol=1e-5)
