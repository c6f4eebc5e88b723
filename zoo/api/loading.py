"""Models and data by name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.api.listing import default_registry
from zoo.api.model import Model
from zoo.api.progress import Bar, quiet
from zoo.config.arguments import checked
from zoo.config.options import plain_number, shown
from zoo.config.signatures import refuse_unknown, signature_options
from zoo.data import opening
from zoo.errors import OptionError
from zoo.files.cards import Card
from zoo.files.exported import Exported
from zoo.files.own import recalled
from zoo.inference.programs import Runner
from zoo.inference.signatures import require_fitting
from zoo.interfaces import Dataset
from zoo.models import weights
from zoo.models.building import build_model, model_arguments
from zoo.models.precision import pick_device
from zoo.models.threads import default_threads
from zoo.registry.exported_files import read_exported
from zoo.registry.registry import Registry
from zoo.registry.weights_files import find_weights
from zoo.seeds import GLOBAL_GENERATOR

__all__ = ["create_model", "load", "open_dataset"]


@checked
def load(
    name: str | Path, *, device: str | None = None, progress: bool = True, registry: Registry | None = None
) -> Model:
    """Load a trained model, ready to use. Safe from many threads, as `create_model` and `open_dataset` are.

    Args:
        name: a published id, an architecture that has one published file, or the path of a weights file, of
            a run directory (its final weights), or of an exported file such as `x.onnx`, which can predict
            and sample.
        device: such as `cpu` or `cuda`; by default a GPU, if there is one. An exported file runs on the CPU.
        progress: show the progress of a download on stderr, or in the notebook.
        registry: by default, what the installed plugins and registry.toml provide.

    Raises:
        WeightsError: there is no such file or id, the architecture has several published files, the file is
            damaged, or no plugin provides its architecture.
        DataError: a published file is damaged, is not on this machine or cannot be downloaded.
        OptionError: the device does not exist.
    """
    registry = default_registry() if registry is None else registry
    with Bar() if progress else quiet():
        path = find_weights(registry, name)
        if (exported := read_exported(registry, path)) is not None:
            return _exported(exported, path, registry, str(name), device)
        device = pick_device(device)
        module, card = weights.load(path, registry, device=device)
    own = _own_options(path.parent / "config.toml", card)
    return Model(module, card, path=path, device=device, registry=registry, name=str(name), own=own)


def _exported(exported: Exported, path: Path, registry: Registry, name: str, device: str | None) -> Model:
    """Return the model that an exported file holds."""
    if device not in (None, "cpu"):
        raise OptionError(f"an exported file runs on the CPU (got device {device!r})")
    require_fitting(exported, registry, name)
    runner = Runner(exported.start(default_threads()), exported.signature, name=name)
    return Model(runner, exported.card, path=path, device="cpu", registry=registry, name=name)


def _own_options(config: Path, card: Card) -> dict[str, Any]:
    """Return the options of the data as a run's config.toml says, if a training on this account wrote it."""
    content = recalled(config)
    if content is not None:
        (recipe,) = tomllib.loads(content.decode())["recipes"].values()
        if recipe["dataset"] == card.dataset.name:
            return recipe["data"]
    return {}


@checked
def create_model(
    name: str, *, seed: int | None = None, registry: Registry | None = None, **options: Any
) -> nn.Module:
    """Build an untrained model, a plain `nn.Module` in training mode.

    Args:
        name: an architecture, such as `resnet56`; the options of a preset are applied.
        seed: random seed of the initial weights; None draws one from torch's global generator.
        registry: by default, what the installed plugins and registry.toml provide.
        options: the task's dims (such as `num_classes=10`; by default, those of CIFAR-10 or Nietzsche) and
            the architecture's options, which `zoo show NAME` lists.

    Raises:
        UnknownName, AmbiguousName: there is no such architecture, or several.
        OptionError: an option is unknown or has a wrong value.
        SpecError: the model cannot be built with these options.
    """
    registry = default_registry() if registry is None else registry
    entry = registry.architecture(name)
    task = registry.task(entry.spec.task)
    refuse_unknown(options, signature_options(entry.load()), what=f"architecture {entry.name}")
    dims: dict[str, Any] = {dim: plain_number(options.pop(dim, usual)) for dim, usual in task.dims.items()}
    for dim, value in dims.items():
        if type(value) is not int or not 1 <= value < 2**63:
            raise OptionError(f"{dim} must be an integer of at least 1 (got {shown(value)})")
    if seed is None:
        with GLOBAL_GENERATOR:  # not within a step of a training in another thread
            seed = int(torch.randint(2**63 - 1, ()))
    return build_model(entry, model_arguments(entry, task, dims, options), seed=seed)


@checked
def open_dataset(
    name: str, *, progress: bool = True, registry: Registry | None = None, **options: Any
) -> Dataset:
    """Open a dataset.

    Args:
        name: a dataset, such as `shapes`; the options of a preset are applied.
        progress: show the progress of downloading and decoding on stderr, or in the notebook.
        registry: by default, what the installed plugins and registry.toml provide.
        options: its options, which `zoo show NAME` lists; `root="..."` is where its files are.

    Raises:
        UnknownName, AmbiguousName: there is no such dataset, or several.
        OptionError: an option is unknown, missing or has a wrong value.
        DataError: the data is missing or damaged.
    """
    registry = default_registry() if registry is None else registry
    with Bar() if progress else quiet():
        return opening.open_dataset(registry.dataset(name), options)
