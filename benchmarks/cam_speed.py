"""Maps per second against a bare forward pass and other libraries, in turn in one process.

    python benchmarks/cam_speed.py [--rounds 5] [--threads 2]

Batches of 64 images of 224×224 through resnet34-cam, and of 256 of 32×32 through resnet20, with random
weights and maps of one class. All get the same model, layer and images, in channels-last memory format.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from pytorch_grad_cam import GradCAM as TheirGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCAM

from zoo import Registry
from zoo.analysis.analyzer_run import make_analyzer
from zoo.interfaces import Batch, Subject
from zoo.models.building import build_model, model_arguments
from zoo.models.precision import Precision, autocast, resolve

CASES = (("resnet34-cam", 64, 224), ("resnet20", 256, 32))
CLASS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description="Time maps against a forward pass and other libraries.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    print(f"{options.threads} threads, medians of {options.rounds} rounds", flush=True)
    for name, count, size in CASES:
        report(name, count, size, options.rounds)


def report(name: str, count: int, size: int, rounds: int) -> None:
    """Print the images per second of each, and as a multiple of a forward pass and of torch-cam."""
    ways = make_ways(name, count, size)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for label, way in ways.items():
            start = time.perf_counter()
            way()
            rates[label].append(count / (time.perf_counter() - start))
    print(f"\n{name}, {count} images of {size}×{size}")
    for label, measured in rates.items():
        forward, other = (
            statistics.median(mine / theirs for mine, theirs in zip(measured, rates[base], strict=True))
            for base in ("forward", "torch-cam")
        )
        print(
            f"  {label:24} {statistics.median(measured):8.1f} images/s   {forward:5.2f} × forward   "
            f"{other:5.2f} × torch-cam",
            flush=True,
        )


def make_ways(name: str, count: int, size: int) -> dict[str, Callable[[], object]]:
    """Return a function to time for each way to make the maps."""
    registry = Registry.discover()
    entry = registry.architecture(name)
    task = registry.task("classification")
    dims = {**task.dims, "image_size": size}
    model = build_model(entry, model_arguments(entry, task, dims, {}), seed=0).eval()
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, size, size, generator=draws).to(memory_format=torch.channels_last)
    landmarks: dict[str, str] = {**entry.spec.landmarks}
    layer = model.get_submodule(landmarks["features"])
    subject = Subject(
        task="classification", landmarks=landmarks, preprocess={"classes": [*"abcdefghij"]}, classes=(CLASS,)
    )

    def ours(kind: str, precision: Precision) -> Callable[[], object]:
        analyzer = make_analyzer(registry.analyzer(kind), {})

        def look() -> Tensor | None:
            with autocast(precision, "cpu"):
                return analyzer.analyze(model, [batch], subject=subject).maps

        return look

    batch = Batch(images, torch.full((count,), -1), 0, 1, 0)
    fast = resolve("auto", "cpu")
    return {
        "forward": lambda: forward(model, images),
        "cam": ours("cam", "fp32"),
        "grad-cam": ours("grad-cam", "fp32"),
        f"grad-cam, {fast}": ours("grad-cam", fast),
        "pytorch-grad-cam": lambda: theirs(model, layer, images),
        "torch-cam": lambda: torch_cam(model, landmarks["features"], images),
    }


def forward(model: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(images)


def theirs(model: nn.Module, layer: nn.Module, images: Tensor) -> object:
    targets: list[Any] = [ClassifierOutputTarget(CLASS)] * len(images)  # not modules, as its annotation says
    with TheirGradCAM(model, [layer]) as cam:
        return cam(input_tensor=images, targets=targets)


def torch_cam(model: nn.Module, layer: str, images: Tensor) -> object:
    with TorchCAM(model, layer) as cam:
        return cam(CLASS, model(images))


if __name__ == "__main__":
    main()
