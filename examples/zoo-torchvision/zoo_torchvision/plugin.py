"""Every classifier of the installed torchvision as an architecture, read from its source code."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo import ArchitectureSpec, hookimpl

api = 1
REGISTERED = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.M)
SMALLEST = {"alexnet": 63, "inception_v3": 75, "maxvit_t": 224, "vit_h_14": 42}
LANDMARKS: dict[str, Any] = {
    "efficientnet": {"features": "features", "mean_head": "classifier.1", "head": "classifier.1"},
    "regnet": {"features": "trunk_output", "mean_head": "fc", "head": "fc"},
    "resnet": {"features": "layer4", "mean_head": "fc", "head": "fc"},
    "shufflenetv2": {"features": "conv5", "mean_head": "fc", "head": "fc"},
}


@hookimpl
def zoo_architectures():
    """Yield an architecture for every classifier."""
    package: Any = find_spec("torchvision")  # without importing it
    for file in sorted(Path(package.origin).parent.glob("models/*.py")):
        for name in REGISTERED.findall(file.read_text(encoding="utf-8")):
            yield ArchitectureSpec(
                name=name,
                target="zoo_torchvision.models:build",
                task="classification",
                summary=f"torchvision's {name}, from the {file.stem} family",
                config={"name": name},
                training={"epochs": 10, "batch_size": 32, "lr": 2e-4, "augment": ["crop", "flip"]},
                landmarks=LANDMARKS.get(file.stem, {}),
                smallest_image=SMALLEST.get(name, 0),
                pretrained_target="zoo_torchvision.models:weights_of",
                source="torchvision.models, github.com/pytorch/vision",
            )
