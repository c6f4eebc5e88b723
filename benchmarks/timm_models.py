"""timm's classifiers under the contract kit, with a heat map and features of each.

    python benchmarks/timm_models.py [NAME ...] [--count 40] [--seed 0] [--largest 12e6]

The models are drawn at random from those of at most so many parameters. Each is checked as `zoo check
timm/NAME` does. Then grad-cam and features are computed for two images of noise, at the size of the
pretrained weights, with the landmarks that the plugin finds; and cam, if these include `mean_head`.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zoo import Registry, ZooError
from zoo.errors import first_line
from zoo.interfaces import Batch, Subject
from zoo.models.building import build_model, model_arguments, on_meta
from zoo.models.landmarks import with_landmarks
from zoo.models.module_runner import ModuleRunner
from zoo.registry.registry import Entry
from zoo.registry.specs import ArchitectureSpec
from zoo.testing import check
from zoo_cam.cam import CAM
from zoo_cam.grad_cam import GradCAM
from zoo_timm.pretrained import usual_size


def main() -> None:
    parser = argparse.ArgumentParser(description="Check timm's classifiers.")
    parser.add_argument("--count", type=int, default=40, help="Number of models.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of the choice.")
    parser.add_argument("--largest", type=float, default=12e6, help="Most parameters of a model.")
    parser.add_argument("names", nargs="*", help="Check only these.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.discover()
    chosen = [registry.architecture(f"timm/{name}") for name in given.names]
    counts = {"pass": 0, "grad-cam": 0, "cam": 0, "features": 0}
    total = 0
    for entry in chosen or drawn(registry, given.count, given.seed, int(given.largest)):
        total += 1
        start = time.perf_counter()
        outcomes = check(entry.name, registry=registry, progress=False)
        failures = [outcome for outcome in outcomes if outcome.outcome == "failed"]
        counts["pass"] += not failures
        works = looked_into(registry, entry)
        for name in works:
            counts[name] += not works[name]
        reasons = ", ".join(f"{name} {works[name] or 'works'}" for name in works)
        status = "failed" if failures else "passed"
        print(f"{status}  {entry.name}  {time.perf_counter() - start:.0f} s  {reasons}", flush=True)
        for outcome in outcomes:
            if outcome.outcome in ("failed", "xfailed", "warned"):
                print(f"        {outcome.outcome} {outcome.check}: {outcome.reason}", flush=True)
    print(f"of {total} models, {counts['pass']} pass all checks; ", end="")
    print("; ".join(f"{name} works for {count}" for name, count in counts.items() if name != "pass"))


def drawn(registry: Registry, count: int, seed: int, largest: int) -> Iterator[Entry[ArchitectureSpec]]:
    """Yield random architectures of timm with at most so many parameters."""
    names = [entry.name for entry in registry.entries("architecture") if entry.plugin.name == "timm"]
    random.Random(seed).shuffle(names)
    for name in names:
        entry = registry.architecture(name)
        try:
            with on_meta():
                model = built(registry, entry, max(32, entry.spec.smallest_image))
        except ZooError as error:
            print(f"skipped  {entry.name}: {error}", flush=True)
            continue
        if sum(parameter.numel() for parameter in model.parameters()) <= largest:
            yield entry
            count -= 1
        if not count:
            return


def built(registry: Registry, entry: Entry[ArchitectureSpec], size: int) -> nn.Module:
    task = registry.task("classification")
    dims = {**task.dims, "image_size": size}
    return build_model(entry, model_arguments(entry, task, dims, {}), seed=0).eval()


def looked_into(registry: Registry, entry: Entry[ArchitectureSpec]) -> dict[str, str]:
    """Return what works, each with an empty reason or with why it does not."""
    size = usual_size(entry.spec.name)
    model = built(registry, entry, size)
    draws = torch.Generator().manual_seed(1)
    for parameter in model.parameters():  # some of which are zeros, so that the map would be constant
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=draws)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    landmarks: dict[str, str] = {**with_landmarks(entry.spec, model).landmarks}
    subject = Subject(task="classification", landmarks=landmarks, preprocess={}, classes=("predicted",))
    batches = [Batch(images, torch.tensor([-1, -1]), 0, 1, 0)]

    def heat_map(analyzer: GradCAM | CAM) -> str:
        maps = analyzer.analyze(model, batches, subject=subject).maps
        assert maps is not None
        return _sound(np.asarray(maps).reshape(2, -1), "map")

    def features() -> str:
        runner = ModuleRunner(model, landmarks=landmarks).with_features("features", pool=True)
        return _sound(runner.run(images.numpy())["features"], "features")

    works = {"features": _reason(features), "grad-cam": _reason(lambda: heat_map(GradCAM(rectify=False)))}
    if not registry.analyzer("cam").spec.lacks(landmarks):
        works["cam"] = _reason(lambda: heat_map(CAM(rectify=False)))
    return works


def _reason(act: Callable[[], str]) -> str:
    try:
        return act()
    except Exception as error:
        return f"fails: {first_line(error)}"


def _sound(values: NDArray[Any], what: str) -> str:
    """Return what is wrong with values (2, N) of two images; empty if nothing is."""
    if not np.isfinite(values).all():
        return f"fails: the {what} is not finite"
    if (values.std(axis=1) == 0).any():
        return f"fails: the {what} is constant"
    return f"fails: the {what} of two images is the same" if np.array_equal(*values) else ""


if __name__ == "__main__":
    main()
