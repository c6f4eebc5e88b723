"""The contract kit on classifiers of other libraries; docs/reference/plugins.md explains failures."""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from benchmarks.measuring import benchmark, chosen
from benchmarks.rows import ROOT, Row
from zoo import Registry, ZooError
from zoo.errors import first_line
from zoo.interfaces import Batch, Subject
from zoo.models.building import build_model, model_arguments, on_meta
from zoo.models.landmarks import with_landmarks
from zoo.models.module_runner import ModuleRunner
from zoo.registry import plugins
from zoo.registry.registry import Entry
from zoo.registry.specs import ArchitectureSpec
from zoo.testing import check
from zoo.testing._targets import with_ours
from zoo_cam.cam import CAM
from zoo_cam.grad_cam import GradCAM
from zoo_timm.pretrained import usual_size

Architecture = Entry[ArchitectureSpec]
FAMILIES = {"timm": (2, 12e6), "torchvision": (100, 30e6)}
"""The most models of each family, and their most parameters, unless the user chooses."""


@benchmark(minutes=40, needs="timm")
def timm_models(*names: str, count: int = 40, seed: int = 0, largest: float = 12e6) -> Iterator[Row]:
    """Contract kit results of 40 timm classifiers, drawn at random, with a heat map and features of each.

    grad-cam and features are computed for two images of noise, at the size of the pretrained weights, with
    the landmarks that the plugin finds; and cam, if these include `mean_head`.
    """
    torch.set_num_threads(1)
    registry = Registry.discover()
    every = [entry.name for entry in registry.entries("architecture") if entry.plugin.name == "timm"]
    random.Random(seed).shuffle(every)
    chosen = [registry.architecture(f"timm/{name}") for name in names]
    for name in every:
        if len(chosen) == (len(names) or count):
            break
        entry = registry.architecture(name)
        if (_size(registry, entry) or largest + 1) <= largest:
            chosen.append(entry)
    counts = Counter[str]()
    for entry in chosen:
        counts[_checked(registry, entry)] += 1
        for what, reason in _looked_into(registry, entry).items():
            counts[what] += not reason
            print("", *filter(None, (what, reason or "works")), sep="    ")
    for what in ("passed", "warned", "failed", "features", "grad-cam", "cam"):
        yield Row("timm", what, counts[what], "wrong" if what == "failed" else "", len(chosen))


@benchmark(minutes=60, needs="timm")
def families(*names: str, library: str = "torchvision", each: int = 0, largest: float = 0.0) -> Iterator[Row]:
    """Contract kit results of the smallest classifiers of each family of torchvision or timm.

    A family is a module of the library; `--library timm` takes two of each, of at most 12 million parameters.
    """
    torch.set_num_threads(1)
    (library,) = chosen([library], FAMILIES)
    most, parameters = FAMILIES[library]
    registry, found = _registry_with(library), defaultdict[str, list[tuple[int, str]]](list)
    for name in [entry.name for entry in registry.entries("architecture") if entry.plugin.name == library]:
        entry = registry.architecture(name)
        size = _size(registry, entry)
        family = entry.spec.summary.split()[-2]  # the summary ends with `from the vgg family`
        if size and size <= (largest or parameters) and (not names or family in names):
            found[family].append((size, name))
    counts = Counter[str]()
    for sized in found.values():
        for _, name in sorted(sized)[: each or most]:
            counts[_checked(registry, registry.architecture(name))] += 1
    for what in ("passed", "warned", "failed"):
        yield Row(library, what, counts[what], "wrong" if what == "failed" else "", counts.total())


def _registry_with(library: str) -> Registry:
    """Return the installed plugins, with torchvision's beside them, which is an example."""
    if library == "timm":
        return Registry.discover()
    where = "zoo_torchvision.plugin"
    sys.path.insert(0, str(ROOT / "examples" / "zoo-torchvision"))
    plugin = plugins.load(library, EntryPoint(library, where, plugins.GROUP).load, where=where)
    return Registry(with_ours(plugin))


def _built(registry: Registry, entry: Architecture, size: int) -> nn.Module:
    task = registry.task("classification")
    dims = {**task.dims, "image_size": size}
    return build_model(entry, model_arguments(entry, task, dims, {}), seed=0).eval()


def _size(registry: Registry, entry: Architecture) -> int:
    """Return the number of parameters, counted on the meta device; 0 if it cannot be built there."""
    try:
        with on_meta():
            model = _built(registry, entry, max(32, entry.spec.smallest_image))
    except ZooError as error:
        print(f"skipped {entry.name}: {error}", flush=True)
        return 0
    return sum(parameter.numel() for parameter in model.parameters())


def _checked(registry: Registry, entry: Architecture) -> str:
    """Run the contract kit on an architecture; print what it says, and return the worst outcome."""
    outcomes = check(entry.name, registry=registry, progress=False)
    kinds = [one.outcome for one in outcomes]
    status = next((kind for kind in ("failed", "warned") if kind in kinds), "passed")
    print(f"{status}  {entry.name}", flush=True)
    for one in outcomes:
        if one.outcome in ("failed", "xfailed", "warned"):
            print(f"    {one.outcome} {one.check}: {one.reason}", flush=True)
    return status


def _looked_into(registry: Registry, entry: Architecture) -> dict[str, str]:
    """Return what works, each with an empty reason or with why it does not."""
    size = usual_size(entry.spec.name)
    model = _built(registry, entry, size)
    draws = torch.Generator().manual_seed(1)
    for parameter in model.parameters():  # some of which are zeros, so that the map would be constant
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=draws)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    landmarks: dict[str, str] = {**with_landmarks(entry.spec, model).landmarks}
    subject = Subject(task="classification", landmarks=landmarks, preprocess={}, classes=("predicted",))
    batches = [Batch(images, torch.tensor([-1, -1]), 0, 1, 0)]

    def heat_map(analyzer: GradCAM | CAM) -> ArrayLike:
        maps = analyzer.analyze(model, batches, subject=subject).maps
        assert maps is not None
        return maps.reshape(2, -1)

    def features() -> ArrayLike:
        runner = ModuleRunner(model, landmarks=landmarks).with_features("features", pool=True)
        return runner.run(images.numpy())["features"]

    ways = {"features": features, "grad-cam": lambda: heat_map(GradCAM(rectify=False))}
    if not registry.analyzer("cam").spec.lacks(landmarks):
        ways["cam"] = lambda: heat_map(CAM(rectify=False))
    return {name: _fault(way) for name, way in ways.items()}


def _fault(make: Callable[[], ArrayLike]) -> str:
    """Return what is wrong with values (2, N) of two images; empty if nothing is."""
    try:
        values = np.asarray(make())
    except Exception as error:
        return f"fails: {first_line(error)}"
    if not np.isfinite(values).all() or (values.std(axis=1) == 0).any():
        return "fails: it is constant or not finite"
    return "fails: it is the same for two images" if np.array_equal(*values) else ""
