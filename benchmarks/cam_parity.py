"""The largest difference between zoo's maps and those of pytorch-grad-cam and torch-cam.

    python benchmarks/cam_parity.py [--images 16]

Six architectures with random weights whose BatchNorm statistics have seen data; the same model, layer and
classes for every library. Maps are scaled to the range 0 to 1 and compared at the size of the image with
pytorch-grad-cam, which scales them up itself, and at the size of the layer with torch-cam.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import warnings

import numpy as np
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from zoo import Registry
from zoo.analysis.analyzer_run import make_analyzer
from zoo.analysis.render import normalize
from zoo.interfaces import Batch, Subject
from zoo.models.building import build_model, model_arguments

ARCHITECTURES = ("convnet", "convnet-bn", "resnet-lite", "resnet20", "airbench", "camnet")
METHODS = {
    "grad-cam": ("GradCAM", "GradCAM"),
    "grad-cam++": ("GradCAMPlusPlus", "GradCAMpp"),
    "hires-cam": ("HiResCAM", None),
    "layer-cam": ("LayerCAM", "LayerCAM"),
    "score-cam": ("ScoreCAM", "ScoreCAM"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare maps with those of other libraries.")
    parser.add_argument("--images", type=int, default=16)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| method | architecture | pytorch-grad-cam | torch-cam |\n|---|---|---|---|")
    for method in METHODS:
        for architecture in ARCHITECTURES:
            one, other = compare(method, architecture, options.images)
            print(f"| {method} | {architecture} | {one:.1e} | {other} |", flush=True)


def compare(method: str, architecture: str, count: int) -> tuple[float, str]:
    """Return the largest absolute difference over all images and pixels, for ours_by_image library."""
    registry = Registry.discover()
    entry = registry.architecture(architecture)
    task = registry.task("classification")
    model = build_model(entry, model_arguments(entry, task, task.dims, {}), seed=0)
    with torch.no_grad():
        for seed in range(3):
            model(images(32, seed=seed))
    model.eval()
    given, classes = images(count, seed=9), [number % 10 for number in range(count)]
    path = entry.spec.landmarks["features"]
    analyzer = make_analyzer(registry.analyzer(method), {})
    ours_by_image: list[Tensor] = []
    for image, number in zip(given, classes, strict=True):
        subject = Subject(
            task="classification", landmarks={**entry.spec.landmarks}, preprocess={}, classes=(number,)
        )
        maps = analyzer.analyze(
            model, [Batch(image[None], torch.tensor([-1]), 0, 1, 0)], subject=subject
        ).maps
        assert maps is not None
        ours_by_image.append(maps[0, 0])
    ours = torch.stack(ours_by_image)
    theirs, others = METHODS[method]
    expected = by_pytorch_grad_cam(theirs, model, path, given, classes)
    scaled = scale_cam_image(scale_cam_image(ours.numpy(), (32, 32)))
    one = float(np.abs(scaled - expected).max())
    if others is None:
        return one, "does not have it"
    maps = by_torch_cam(others, model, path, given, classes)
    return one, f"{float((normalize(ours) - normalize(maps)).abs().max()):.1e}"


def by_pytorch_grad_cam(
    name: str, model: nn.Module, path: str, given: Tensor, classes: list[int]
) -> np.ndarray:
    with (
        getattr(pytorch_grad_cam, name)(model, [model.get_submodule(path)]) as cam,
        contextlib.redirect_stderr(io.StringIO()),  # its progress
    ):
        return cam(input_tensor=given, targets=[ClassifierOutputTarget(number) for number in classes])


def by_torch_cam(name: str, model: nn.Module, path: str, given: Tensor, classes: list[int]) -> Tensor:
    maps: list[Tensor] = []
    with getattr(torchcam.methods, name)(model, path) as cam:
        for image, number in zip(given, classes, strict=True):
            scores = model(image[None])
            maps.append(cam(number, scores, normalized=False)[0][0].detach().relu())
    return torch.stack(maps)


def images(count: int, *, seed: int) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    coarse = nn.functional.interpolate(
        torch.randn(count, 3, 8, 8, generator=draws), (32, 32), mode="bilinear"
    )
    return coarse + 0.3 * torch.randn(count, 3, 32, 32, generator=draws)


if __name__ == "__main__":
    main()
