"""What analyzers leave behind in models: differences, hooks, memory. All of it should be nothing.

python benchmarks/side_effects.py [--repetitions 200]

Every analyzer is run on every image network that it fits, also with images that make the model raise, with
mixed modes, a frozen parameter and a gradient that was there before. Then one is repeated many times.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from zoo import Registry
from zoo.building import build_model, make_analyzer, model_arguments
from zoo.interfaces import Analyzer, Batch, Subject

DIMS = {"in_channels": 3, "image_size": 64, "num_classes": 10}
PREPROCESS = {"size": 64, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": [*"abcdefghij"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=200)
    options = parser.parse_args()
    registry = Registry.discover()
    pairs = different = 0
    for architecture in registry.entries("architecture", "convnet/*"):
        model = build_model(architecture, model_arguments(architecture, DIMS, {}), seed=0)  # type: ignore[arg-type]
        mixed_up(model)
        for entry in registry.entries("analyzer"):
            if "classification" not in entry.spec.tasks or entry.spec.lacks(architecture.spec):  # type: ignore[union-attr]
                continue
            analyzer = make_analyzer(entry, {"batch_size": 64} if entry.spec.name == "score-cam" else {})  # type: ignore[arg-type]
            subject = Subject(
                task="classification",
                landmarks=architecture.spec.landmarks,  # type: ignore[union-attr]
                preprocess=PREPROCESS,
            )
            found = differences(model, analyzer, subject)
            pairs += 1
            different += bool(found)
            if found:
                print(f"{entry.name} changes {', '.join(found)} of {architecture.name}")
    print(f"{pairs} pairs of analyzer and architecture, each also with an exception: {different} differ")
    repeat(registry, options.repetitions)


def mixed_up(model: nn.Module) -> None:
    """Give a model modes, a frozen parameter and a gradient that must all stay."""
    model.train()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    for number, module in enumerate(model.modules()):
        module.training = number % 3 != 0


def differences(model: nn.Module, analyzer: Analyzer, subject: Subject) -> list[str]:
    """Return what of a model, or of the random state, an analysis changes, done well and done badly."""
    before = dict(everything(model))
    analyzer.analyze(model, [batch(2, 3)], subject=subject)
    with contextlib.suppress(RuntimeError):
        analyzer.analyze(model, [batch(2, 5)], subject=subject)  # five channels: the model raises
    after = dict(everything(model))
    return [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]


def everything(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield what must stay, by name."""
    yield "random state", digest(torch.get_rng_state())
    yield "gradient mode", torch.is_grad_enabled()
    for name, tensor in model.state_dict().items():
        yield name, digest(tensor)
    for name, parameter in model.named_parameters():
        yield f"requires_grad of {name}", parameter.requires_grad
        yield f"grad of {name}", None if parameter.grad is None else digest(parameter.grad)
    for name, module in model.named_modules():
        yield f"mode of {name}", module.training
        hooks = {key: len(held) for key, held in vars(module).items() if key.endswith("_hooks")}
        yield f"hooks of {name}", hooks


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data).hexdigest()


def batch(count: int, channels: int) -> Batch:
    images = torch.rand(count, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.arange(count), 0, 1, 0)


def repeat(registry: Registry, times: int) -> None:
    """Print how many tensors are alive, and how much memory they hold, after the first and the last run."""
    entry = registry.architecture("resnet20")
    model = build_model(entry, model_arguments(entry, DIMS, {}), seed=0)
    subject = Subject(task="classification", landmarks=entry.spec.landmarks, preprocess=PREPROCESS)
    for name in ("cam", "grad-cam", "grad-cam++", "layer-cam", "activations", "confusion"):
        analyzer = make_analyzer(registry.analyzer(name), {})
        analyzer.analyze(model, [batch(4, 3)], subject=subject)
        first = alive()
        for _ in range(times):
            analyzer.analyze(model, [batch(4, 3)], subject=subject)
        count, held = (now - then for now, then in zip(alive(), first, strict=True))
        print(f"{name}, {times} times: {count:+} tensors, {held:+} bytes alive")


def alive() -> tuple[int, int]:
    gc.collect()
    tensors = [each for each in gc.get_objects() if isinstance(each, Tensor)]
    return len(tensors), sum(each.untyped_storage().nbytes() for each in tensors)


if __name__ == "__main__":
    main()
