"""The entries of zoo-timm: every model that the installed timm registers, read from its source code."""

import re
from importlib.util import find_spec
from pathlib import Path

from zoo import ArchitectureSpec, Pretrained, hookimpl

api = 1
REGISTERED = re.compile(r"^@register_model\n(?:@.*\n)*def (\w+)\(", re.M)
TRAINING = {
    "epochs": 10,
    "batch_size": 128,
    "lr": 1e-3,
    "weight_decay": 0.05,
    "ema_decay": 0.999,
    "augment": ["crop", "flip"],
}


IMAGENET = Pretrained(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), source="timm, Apache-2.0")
HALF = Pretrained(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), source="timm, Apache-2.0")
# A few of timm's weights by model and tag; timm itself would have to be imported to list all
PRETRAINED = {
    "resnet18": {"a1_in1k": IMAGENET},
    "test_resnet": {"r160_in1k": HALF},
    "vit_tiny_patch16_224": {"augreg_in21k_ft_in1k": HALF},
}


@hookimpl
def zoo_architectures():
    """Yield an architecture for every timm model."""
    timm = find_spec("timm")  # without importing it
    if timm is None or timm.origin is None:
        raise ModuleNotFoundError("timm is not installed")
    for file in sorted(Path(timm.origin).parent.glob("models/*.py")):
        for name in REGISTERED.findall(file.read_text(encoding="utf-8")):
            yield ArchitectureSpec(
                name=name,
                target="zoo_timm.models:build",
                task="classification",
                summary=f"timm's {name}, from the {file.stem} family",
                config={"name": name},
                training=TRAINING,
                pretrained=PRETRAINED.get(name, {}),
                source="Wightman, PyTorch Image Models, github.com/huggingface/pytorch-image-models",
            )
