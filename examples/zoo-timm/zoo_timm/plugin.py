"""The entries of zoo-timm: every model that the installed timm registers, read from its source text."""

import re
from importlib.util import find_spec
from pathlib import Path

from zoo import ArchitectureSpec, hookimpl

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


@hookimpl
def zoo_architectures():
    """Yield an architecture for every model of timm."""
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
                source="Wightman, PyTorch Image Models, github.com/huggingface/pytorch-image-models",
            )
