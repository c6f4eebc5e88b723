"""Heat maps beside those of pytorch-grad-cam and torch-cam: the differences, and the speed in turn."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from benchmarks.measuring import benchmark, in_turn, median_of, ratio_of, seconds
from benchmarks.rows import Row
from zoo import Registry
from zoo.analysis.analyzer_run import make_analyzer
from zoo.analysis.render import normalize
from zoo.interfaces import Batch, Subject
from zoo.models.building import build_model, model_arguments
from zoo.models.precision import Precision, autocast, resolve

CASES = (("resnet34-cam", 64, 224), ("resnet20", 256, 32))
ARCHITECTURES = ("convnet", "convnet-bn", "resnet-lite", "resnet20", "airbench", "camnet")
METHODS = {
    "grad-cam": ("GradCAM", "GradCAM"),
    "grad-cam++": ("GradCAMPlusPlus", "GradCAMpp"),
    "hires-cam": ("HiResCAM", ""),
    "layer-cam": ("LayerCAM", "LayerCAM"),
    "score-cam": ("ScoreCAM", "ScoreCAM"),
}


def built(name: str, size: int = 32) -> tuple[nn.Module, dict[str, str]]:
    """Return an untrained model for images of a size, and its landmarks."""
    registry = Registry.discover()
    entry, task = registry.architecture(name), registry.task("classification")
    arguments = model_arguments(entry, task, {**task.dims, "image_size": size}, {})
    return build_model(entry, arguments, seed=0), {**entry.spec.landmarks}


def mapped(method: str, model: nn.Module, landmarks: dict[str, str], images: Tensor, class_: int) -> Tensor:
    """Return zoo's heat maps of a class, (N, h, w)."""
    analyzer = make_analyzer(Registry.discover().analyzer(method), {})
    preprocess = {"classes": [*"abcdefghij"]}
    subject = Subject(task="classification", landmarks=landmarks, preprocess=preprocess, classes=(class_,))
    batch = Batch(images, torch.full((len(images),), -1), 0, 1, 0)
    maps = analyzer.analyze(model, [batch], subject=subject).maps
    assert maps is not None
    return maps[:, 0]


def by_pytorch_grad_cam(name: str, model: nn.Module, path: str, images: Tensor, classes: list[int]) -> Any:
    targets: list[Any] = [ClassifierOutputTarget(number) for number in classes]  # not modules, as annotated
    with (
        getattr(pytorch_grad_cam, name)(model, [model.get_submodule(path)]) as cam,
        contextlib.redirect_stderr(io.StringIO()),  # its progress
    ):
        return cam(input_tensor=images, targets=targets)


@benchmark(minutes=10, needs="pytorch-grad-cam, torchcam")
def cam_speed(*, rounds: int = 5, threads: int = 0) -> Iterator[Row]:
    """Heat maps a second, relative to a bare forward pass, pytorch-grad-cam and torch-cam.

    Batches of 64 images of 224×224 through resnet34-cam, and of 256 of 32×32 through resnet20, with random
    weights and maps of one class. All get the same model, layer and images, in channels-last memory format.
    """
    torch.set_num_threads(threads or torch.get_num_threads())
    fast = resolve("auto", "cpu")
    for name, count, size in CASES:
        model, landmarks = built(name, size)
        model.eval()
        draws = torch.Generator().manual_seed(0)
        images = torch.randn(count, 3, size, size, generator=draws).to(memory_format=torch.channels_last)
        path = landmarks["features"]

        def ours(
            method: str, precision: Precision, model: Any = model, marks: Any = landmarks, x: Any = images
        ) -> None:
            with autocast(precision, "cpu"):
                mapped(method, model, marks, x, 3)

        @torch.inference_mode()
        def forward(model: nn.Module = model, images: Tensor = images) -> None:
            model(images)

        def torch_cam(model: nn.Module = model, path: str = path, images: Tensor = images) -> None:
            with torchcam.methods.GradCAM(model, path) as cam:
                cam(3, model(images))

        ways: dict[str, Callable[[], object]] = {
            "forward pass alone": forward,
            "zoo, `cam`": lambda run=ours: run("cam", "fp32"),
            "zoo, `grad-cam`": lambda run=ours: run("grad-cam", "fp32"),
            f"zoo, `grad-cam --precision auto` ({fast})": lambda run=ours: run("grad-cam", fast),
            "torch-cam, Grad-CAM": torch_cam,
            "pytorch-grad-cam, Grad-CAM": lambda model=model, path=path, images=images: by_pytorch_grad_cam(
                "GradCAM", model, path, images, [3] * len(images)
            ),
        }
        rates = in_turn(
            {way: lambda do=do, count=count: count / seconds(do) for way, do in ways.items()}, rounds
        )
        for way, found in rates.items():
            yield median_of(way, f"{name}, {size}×{size}", found, "images/s")
            beside = rates["forward pass alone"]
            yield ratio_of(way, f"{name}, beside the forward pass", found, beside, "times as fast")


@benchmark(minutes=3, needs="pytorch-grad-cam, torchcam")
def cam_parity(*, images: int = 16) -> Iterator[Row]:
    """Largest difference between zoo's heat maps and those of pytorch-grad-cam and torch-cam.

    Six architectures with random weights whose BatchNorm statistics have seen data; the same model, layer and
    classes for every library. Maps are scaled to the range 0 to 1 and compared at the size of the image with
    pytorch-grad-cam, which scales them up itself, and at the size of the layer with torch-cam.
    """
    for method, (theirs, others) in METHODS.items():
        for architecture in ARCHITECTURES:
            model, landmarks = built(architecture)
            with torch.no_grad():
                for seed in range(3):
                    model(_images(32, seed=seed))
            model.eval()
            given, classes = _images(images, seed=9), [number % 10 for number in range(images)]
            pairs = zip(given, classes, strict=True)
            ours = torch.cat(
                [mapped(method, model, landmarks, image[None], number) for image, number in pairs]
            )
            expected = by_pytorch_grad_cam(theirs, model, landmarks["features"], given, classes)
            scaled = scale_cam_image(scale_cam_image(ours.numpy(), (32, 32)))
            case = f"{method} on {architecture}"
            yield Row(
                case, "from pytorch-grad-cam", float(np.abs(scaled - expected).max()), "difference", images
            )
            if others:
                maps: list[Tensor] = []
                with getattr(torchcam.methods, others)(model, landmarks["features"]) as cam:
                    for image, number in zip(given, classes, strict=True):
                        maps.append(cam(number, model(image[None]), normalized=False)[0][0].detach().relu())
                apart = (normalize(ours) - normalize(torch.stack(maps))).abs().max()
                yield Row(case, "from torch-cam", float(apart), "difference", images)


def _images(count: int, *, seed: int) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 8, 8, generator=draws)
    fine = torch.randn(count, 3, 32, 32, generator=draws)
    return nn.functional.interpolate(coarse, (32, 32), mode="bilinear") + 0.3 * fine
