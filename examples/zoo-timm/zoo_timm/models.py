"""timm's models, built for the dims of a dataset."""

from typing import Annotated, Any

import timm
from msgspec import Meta
from torch import nn

Share = Annotated[float, Meta(ge=0, lt=1)]


def build(
    *, in_channels: int, image_size: int, num_classes: int, name: str, dropout: Share = 0.0
) -> nn.Module:
    """Return a model of timm with random weights. Transformers are built for the size of the images."""
    options: dict[str, Any] = {"in_chans": in_channels, "num_classes": num_classes}
    config = timm.get_pretrained_cfg(name)
    if config and config.fixed_input_size:
        options["img_size"] = image_size
    if dropout:  # some models do not have this option
        options["drop_rate"] = dropout
    return timm.create_model(name, pretrained=False, **options)
