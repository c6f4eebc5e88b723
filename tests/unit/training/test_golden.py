"""The losses of the first steps of each family: a refactor must not change them.

`python tests/unit/training/test_golden.py` rewrites golden.json after an intended change, and adds a machine
that computes the same bits as those that are in it.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.configs import configured
from zoo.config.train_config import TrainConfig
from zoo.console.reports import Progress
from zoo.interfaces import Dataset, Split, make_task
from zoo.models.building import build_model
from zoo.registry.registry import Registry
from zoo.seeds import seed_for
from zoo.training.host import Host
from zoo.training.loop import fit

GOLDEN = Path(__file__).with_name("golden.json")
TEXT = """The zoo keeps its animals in rows. In the first row the lions walk to the wall and back,
and in the second row the herons stand and look at the water. A keeper comes at seven with two
pails; at noon he comes again, and at six he counts them all and locks the gate. What the lions
know of the herons is a smell on the wind; what the herons know of the lions is a sound at night."""

TEXT_RECIPE = configured(
    batch_size=4,
    optimizer="adam",
    lr=1e-2,
    clip_grad_norm=1.0,
    precision="fp32",
    bptt=8,
    bptt_jitter=True,
)
SMALL = {"vocab_size": 128, "hidden_size": 32}
IMAGES = {"in_channels": 3, "image_size": 16, "num_classes": 4}
SGD: dict[str, Any] = {
    "batch_size": 16,
    "optimizer": "sgd",
    "lr": 2e-2,
    "weight_decay": 5e-4,
    "schedule": "one-cycle",
    "precision": "fp32",
}
FAMILIES: dict[str, tuple[dict[str, Any], TrainConfig]] = {
    "charrnn/rnn": ({**SMALL, "embedding_dim": 8, "num_layers": 2, "dropout": 0.1}, TEXT_RECIPE),
    "charrnn/rnn-cell": ({**SMALL, "embedding_dim": 8, "init": "identity"}, TEXT_RECIPE),
    "charrnn/gru": ({**SMALL, "embedding_dim": 8}, TEXT_RECIPE),
    "charrnn/lstm": ({**SMALL, "embedding_dim": 8}, TEXT_RECIPE),
    "charrnn/awd-lstm": (
        {**SMALL, "embedding_dim": 8, "activation_penalty": 2.0, "temporal_penalty": 1.0},
        TEXT_RECIPE,
    ),
    "charrnn/min-gru": ({**SMALL, "num_layers": 2}, TEXT_RECIPE),
    "convnet/resnet-lite": (
        {**IMAGES, "widths": [4, 8, 16], "dropout": 0.1},
        configured(**SGD, ema_decay=0.9, augment=("crop", "flip")),
    ),
    "convnet/convnet-bn": (
        {**IMAGES, "widths": [4, 8]},
        configured(**SGD, mixup_alpha=0.4, augment=("crop", "flip")),
    ),
    "convnet/convnet": ({**IMAGES, "widths": [4, 8]}, configured(**SGD, grad_accum_steps=2)),
    "convnet/resnet20": (IMAGES, configured(**SGD, clip_grad_norm=1.0, label_smoothing=0.1)),
    "convnet/airbench": (
        {**IMAGES, "widths": [4, 8, 16]},
        configured(**SGD, augment=("crop", "flip"), norm_bias_lr_scale=4.0),
    ),
}


class Letters(Dataset):
    """The text above in ASCII."""

    dims: Mapping[str, int] = {}
    preprocess: Mapping[str, Any] = {}
    fingerprint: str = ""

    def split(self, name: Split) -> Tensor:
        return torch.tensor(list(TEXT.encode()) if name == "train" else [], dtype=torch.uint8)


class Stripes(Dataset):
    """Images labeled by the width of their stripes."""

    dims: Mapping[str, int] = {"num_classes": 4}
    preprocess: Mapping[str, Any] = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    fingerprint: str = ""

    def split(self, name: Split) -> list[tuple[Tensor, int]]:
        column = torch.arange(16)
        rows = [(column + number) // (1 + number % 4) % 2 * 160 + number % 90 for number in range(128)]
        images = [row.expand(3, 16, 16).to(torch.uint8) for row in rows]
        return [(image, number % 4) for number, image in enumerate(images)] if name == "train" else []


def first_losses(name: str, registry: Registry) -> list[float]:
    """Return the losses of one small epoch."""
    arguments, config = FAMILIES[name]
    entry = registry.architecture(name)
    model = build_model(entry, arguments, seed=seed_for(0, "weights"))
    data = Letters() if entry.spec.task == "language-modeling" else Stripes()
    reports: list[Progress] = []
    fit(model, make_task(registry, entry.spec.task), data, config, host=Host(report=reports.append))
    return [progress.loss for progress in reports if progress.is_step]


def machine() -> str:
    """Return what decides the last bits: the build of torch and the instructions of the processor."""
    can = ",".join(sorted(name for name, has in torch.cpu.get_capabilities().items() if has is True))
    return f"torch {torch.__version__}, {platform.machine()} {can}"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_first_losses_are_the_golden_ones_and_fall(name: str, registry: Registry) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    losses = first_losses(name, registry)
    first = len(losses) // 2  # a network of convolutions makes more and more of another rounding
    assert losses[:first] == pytest.approx(golden["losses"][:first], abs=2e-6)
    assert losses == pytest.approx(golden["losses"], abs=1e-3)
    if machine() in golden["machines"]:
        assert losses == golden["losses"], "bits have changed"
    assert sum(losses[-2:]) < sum(losses[:2])


if __name__ == "__main__":
    torch.set_num_threads(1)
    installed, golden = Registry.discover(), json.loads(GOLDEN.read_text())
    for name in FAMILIES:
        before, losses = golden.get(name), first_losses(name, installed)
        others = before["machines"] if before and before["losses"] == losses else []
        golden[name] = {"machines": sorted({*others, machine()}), "losses": losses}
    GOLDEN.write_text(json.dumps(golden, indent=2) + "\n")
