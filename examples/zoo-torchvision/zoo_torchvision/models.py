"""torchvision's classifiers, built for the dims of a dataset."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torchvision import models

from zoo import DataError, OptionError, Pretrained
from zoo.plugin import first_line, hashes_of, is_offline


def build(
    *, in_channels: int, image_size: int, num_classes: int, name: str, pretrained: bool | str = False
) -> torch.nn.Module:
    """Return a classifier with random weights; `pretrained` names weights to start from, or is `true`."""
    if in_channels != 3:
        raise OptionError(f"{name} reads images of 3 channels (got {in_channels})")
    options: dict[str, Any] = {"num_classes": num_classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False, "transform_input": bool(pretrained)}
    elif name.startswith("vit"):
        options["image_size"] = image_size
    elif name.startswith("maxvit"):
        options["input_size"] = (image_size, image_size)
    device = torch.get_default_device()
    with torch.device("cpu" if name.startswith("regnet") else device):  # which reads values of tensors
        model: Any = models.get_model(name, weights=None, **options).to(device)
    model.load_pretrained = partial(load, model, name, pretrained)
    return model


def weights_of(*, name: str) -> dict[str, Pretrained]:
    """Return torchvision's weights of a classifier by name, and the default weights as `true`."""
    weights: Any = models.get_model_weights(name)
    return {"true": described(weights.DEFAULT), **{each.name: described(each) for each in weights}}


def described(weights: Any) -> Pretrained:
    """Return what weights require of images."""
    used = weights.transforms()
    return Pretrained(mean=tuple(used.mean), std=tuple(used.std), size=used.crop_size[0], source=weights.url)


def load(model: Any, name: str, pretrained: bool | str) -> dict[str, str] | None:
    """Load weights into all layers of the same shape. See `zoo.interfaces.LoadsPretrained`."""
    if pretrained in (False, "none"):
        return None
    known: Any = models.get_model_weights(name)
    weights = known.DEFAULT if pretrained in (True, "true") else known[str(pretrained)]
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if is_offline() and not file.exists():
        raise DataError(f"{weights} is not in {file.parent}", hint=f"download {weights.url}")
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # of the network, or of torch
        raise DataError(f"{weights} cannot be read: {first_line(error)}") from error
    ours = model.state_dict()
    fitting = {key: value for key, value in state.items() if key in ours and ours[key].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return {"architecture": f"torchvision/{name}", "dataset": weights.name, "sha256": hashes_of([file])[0]}
