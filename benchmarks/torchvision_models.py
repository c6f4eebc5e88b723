"""A plugin in one file: the classifiers of torchvision.models, which know nothing of zoo."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo import ArchitectureSpec, OptionError, hookimpl

api = 1
REGISTERED = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.M)
SMALLEST = {"alexnet": 63, "inception_v3": 75, "maxvit_t": 224, "vit_h_14": 42}


@hookimpl
def zoo_architectures():
    """Yield an architecture for every classifier, read from torchvision's source text."""
    package = find_spec("torchvision")  # without importing it
    assert package is not None
    assert package.origin is not None
    for file in sorted(Path(package.origin).parent.glob("models/*.py")):
        for name in REGISTERED.findall(file.read_text(encoding="utf-8")):
            yield ArchitectureSpec(
                name=name,
                target="torchvision_models:build",
                task="classification",
                summary=f"torchvision's {name}, from the {file.stem} family",
                config={"name": name},
                smallest_image=SMALLEST.get(name, 0),
                source="torchvision.models, github.com/pytorch/vision",
            )


def build(*, in_channels: int, image_size: int, num_classes: int, name: str) -> Any:
    """Return a classifier of torchvision with random weights."""
    import torch
    from torchvision import models

    if in_channels != 3:
        raise OptionError(f"{name} reads images of 3 channels (got {in_channels})")
    options: dict[str, Any] = {"num_classes": num_classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    elif name.startswith("vit"):
        options["image_size"] = image_size
    elif name.startswith("maxvit"):
        options["input_size"] = (image_size, image_size)
    if not name.startswith("regnet"):
        return models.get_model(name, weights=None, **options)
    device = torch.get_default_device()
    with torch.device("cpu"):  # the constructor reads values of tensors, which the meta device lacks
        return models.get_model(name, weights=None, **options).to(device)
