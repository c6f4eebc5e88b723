"""timm's models, built for the dims of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial, wraps
from typing import Annotated, Any, Literal

import timm
import torch
from msgspec import Meta
from torch import nn

from zoo import OptionError
from zoo.plugin import on_meta
from zoo_timm.landmarks import find_landmarks
from zoo_timm.pretrained import load_pretrained, silent, usual_size

Share = Annotated[float, Meta(ge=0, lt=1)]


def build(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    name: str,
    dropout: Share = 0.0,
    drop_path: Share = 0.0,
    pretrained: bool | str = False,
) -> nn.Module:
    """Return a timm model with random weights. Transformers are built for the size of the images.

    Args:
        name: name of the model in timm.
        dropout: dropout probability before the last layer.
        drop_path: probability of skipping a residual block (stochastic depth).
        pretrained: tag of weights to start training from, `true` for timm's default tag, or the path of a
            safetensors file with weights of this model.

    Raises OptionError if the model cannot read images of this size.
    """
    size = usual_size(name)
    if image_size != size and not _reads(name, in_channels, image_size) and _reads(name, in_channels, size):
        message = f"timm's {name} does not accept images of {image_size}×{image_size} pixels"
        raise OptionError(message, hint=f"use images of {size}×{size} pixels, for example --data size={size}")
    rates = {"drop_rate": dropout, "drop_path_rate": drop_path}
    options: dict[str, Any] = _options(name, in_channels, image_size)
    options |= {key: rate for key, rate in rates.items() if rate}
    with silent():
        model: Any = timm.create_model(name, num_classes=num_classes, **options)
    # In place of timm's own methods, which read a path
    model.load_pretrained = partial(load_pretrained, model, name, pretrained, options)
    model.find_landmarks = partial(_landmarks, model, in_channels, image_size)
    return model


@cache
def __getattr__(name: str) -> Callable[..., nn.Module]:
    """Return `build` for a single model of timm, the only one that the option `name` accepts."""
    if not timm.is_model(name):
        raise AttributeError(f"timm has no model {name!r}")

    @wraps(build)
    def build_one(**options: Any) -> nn.Module:
        return build(**options)

    build_one.__annotations__ = build.__annotations__ | {"name": Literal[name]}
    return build_one


def _options(name: str, in_channels: int, image_size: int) -> dict[str, Any]:
    """Return timm's options for images of a size: a model that fixes the size has an option for it."""
    config = timm.get_pretrained_cfg(name)
    fixed = {"img_size": image_size} if config and config.fixed_input_size else {}
    return {"in_chans": in_channels, **fixed}


@cache
def _reads(name: str, in_channels: int, image_size: int) -> bool:
    """Return whether a model can read images of a size, tried on torch's meta device."""
    with on_meta(), silent():
        try:
            model = timm.create_model(name, **_options(name, in_channels, image_size)).eval()
            model(torch.empty(1, in_channels, image_size, image_size))
        except (AssertionError, RuntimeError, TypeError, ValueError):
            return False
    return True


def _landmarks(model: Any, in_channels: int, image_size: int) -> dict[str, str]:
    """Return the landmarks of a model, which are found once."""
    if "zoo_landmarks" not in vars(model):
        model.zoo_landmarks = find_landmarks(model, in_channels, image_size)
    return model.zoo_landmarks
