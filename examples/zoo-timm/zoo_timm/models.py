"""timm's models, built for the dims of a dataset."""

import hashlib
from functools import partial
from typing import Annotated, Any

import timm
from msgspec import Meta
from torch import nn

from zoo import DataError

Share = Annotated[float, Meta(ge=0, lt=1)]


def build(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    name: str,
    dropout: Share = 0.0,
    pretrained: str = "none",
) -> nn.Module:
    """Return a timm model with random weights. Transformers are built for the size of the images."""
    options: dict[str, Any] = {"in_chans": in_channels, "num_classes": num_classes}
    config = timm.get_pretrained_cfg(name)
    if config and config.fixed_input_size:
        options["img_size"] = image_size
    if dropout:  # some models do not have this option
        options["drop_rate"] = dropout
    model: Any = timm.create_model(name, pretrained=False, **options)
    model.load_pretrained = partial(load, model, name, pretrained, options)  # not timm's, which reads a path
    return model


def load(model: Any, name: str, tag: str, options: dict[str, Any]) -> dict[str, str] | None:
    """Load published weights, except for the last layer. See `zoo.interfaces.LoadsPretrained`."""
    if tag == "none":
        return None
    try:
        published: Any = timm.create_model(f"{name}.{tag}", pretrained=True, **options)
    except Exception as error:  # of the network, or of huggingface_hub
        raise DataError(f"{name}.{tag} cannot be downloaded: {error}") from error
    state, head = published.state_dict(), f"{published.pretrained_cfg['classifier']}."
    for key in [key for key in state if key.startswith(head)]:
        del state[key]
    model.load_state_dict(state, strict=False)
    sha256 = hashlib.sha256(b"".join(value.numpy().tobytes() for value in state.values())).hexdigest()
    return {"architecture": f"timm/{name}", "dataset": tag, "sha256": sha256}
