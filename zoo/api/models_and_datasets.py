"""Create untrained models and open datasets by name."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from zoo.config.arguments import checked
from zoo.config.declarations import declared
from zoo.config.keywords import refuse_unknown
from zoo.config.options import convert
from zoo.config.train_config import Positive
from zoo.console.progress import Bar, quiet
from zoo.data import opening
from zoo.interfaces import Dataset
from zoo.models.building import build_model, model_arguments
from zoo.registry.registry import Registry, default_registry
from zoo.seeds import GLOBAL_GENERATOR


@checked
def create_model(
    name: str, *, seed: int | None = None, registry: Registry | None = None, **options: Any
) -> nn.Module:
    """Build an untrained model and return it as a plain `nn.Module` in training mode.

    Args:
        name: an architecture or preset, such as `resnet56`.
        seed: random seed for the initial weights; by default, drawn from torch's global generator.
        registry: registry to use; by default, the installed plugins and registry.toml.
        options: the task's dims, such as `num_classes=10` (by default, those of CIFAR-10 or Nietzsche), and
            the architecture's options, which `zoo show NAME` lists.

    Raises:
        UnknownName, AmbiguousName: the name of the architecture is unknown or ambiguous.
        OptionError: an option is unknown or has an invalid value.
        SpecError: the model cannot be built with these options.
    """
    registry = default_registry() if registry is None else registry
    entry = registry.architecture(name)
    task = registry.task(entry.spec.task)
    refuse_unknown(options, declared(entry.load()), what=f"architecture {entry.name}")
    size = cast("type[int]", Positive)
    dims = {dim: convert(options.pop(dim, usual), size, what=dim) for dim, usual in task.dims.items()}
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
        name: a dataset or preset, such as `shapes`.
        progress: show download and decoding progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.
        options: dataset options, which `zoo show NAME` lists; `root="..."` sets the folder that contains the
            files.

    Raises:
        UnknownName, AmbiguousName: the name of the dataset is unknown or ambiguous.
        OptionError: an option is unknown, missing or invalid.
        DataError: the data is missing or damaged.
    """
    registry = default_registry() if registry is None else registry
    with Bar() if progress else quiet():
        return opening.open_dataset(registry.dataset(name), options)
