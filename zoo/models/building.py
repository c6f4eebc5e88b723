"""From an entry and options to a model or a dataset, with each option checked against its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import nn

from zoo.config import options
from zoo.errors import OptionError, SpecError, ZooError
from zoo.interfaces import Analyzer, Dataset
from zoo.registry.registry import Entry
from zoo.registry.specs import DIMS, AnalyzerSpec, ArchitectureSpec, DatasetSpec, TaskName

__all__ = [
    "build_model",
    "check_same_task",
    "make_analyzer",
    "measure",
    "model_arguments",
    "open_dataset",
    "signature_options",
]


def check_same_task(architecture: Entry[ArchitectureSpec], dataset: Entry[DatasetSpec]) -> TaskName:
    """Return the task of both. Raises SpecError if they differ."""
    ours, theirs = architecture.spec.task, dataset.spec.task
    if ours != theirs:
        raise SpecError(
            f"{architecture.name} does {ours}, and {dataset.name} is data for {theirs}",
            hint=f"`zoo list dataset --where task={ours}` shows the datasets that fit",
        )
    return ours


def open_dataset(entry: Entry[DatasetSpec], given: Mapping[str, Any]) -> Dataset:
    """Open a dataset. Raises OptionError for a wrong option, DataError for missing data."""
    target = entry.load()
    dataset = target(**_checked(target, given, what=f"dataset {entry.name}", flag="--data"))
    if not isinstance(dataset, Dataset):
        raise SpecError(f"{entry.name}: {entry.spec.target} is not a zoo.interfaces.Dataset")
    return dataset


def make_analyzer(entry: Entry[AnalyzerSpec], given: Mapping[str, Any]) -> Analyzer:
    """Make an analyzer. Raises OptionError for a wrong option."""
    target = entry.load()
    analyzer = target(**_checked(target, given, what=f"analyzer {entry.name}", flag="--option"))
    if not isinstance(analyzer, Analyzer):
        raise SpecError(f"{entry.name}: {entry.spec.target} is not a zoo.interfaces.Analyzer")
    return analyzer


def model_arguments(
    entry: Entry[ArchitectureSpec], dims: Mapping[str, int], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every argument to build a model with: dims, defaults, the preset, the user's options.

    Raises OptionError for an option the architecture does not have, or of the wrong type.
    """
    needed = DIMS[entry.spec.task]
    missing = [name for name in needed if name not in dims]
    if missing:
        raise SpecError(f"the dataset does not say its {', '.join(missing)}, which {entry.spec.task} needs")
    what = f"architecture {entry.name}"
    options.check_names(given, signature_options(entry.load()).keys() - needed.keys(), what=what)
    checked = _checked(entry.load(), {**entry.spec.config, **given}, what=what, flag="--model")
    defaults = {
        name: p.default for name, p in signature_options(entry.load()).items() if p.default is not p.empty
    }
    arguments = {**{name: dims[name] for name in needed}, **defaults, **checked}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}


def build_model(
    entry: Entry[ArchitectureSpec], arguments: Mapping[str, Any], *, seed: int | None = None
) -> nn.Module:
    """Build a model, its initial weights drawn from `seed`; the caller's random state is left alone.

    Raises SpecError carrying the architecture's own words when it refuses its arguments.
    """
    target = entry.load()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            if seed is not None:
                torch.manual_seed(seed)
            model = target(**arguments)
    except ZooError:
        raise
    except Exception as error:
        told = ", ".join(f"{key}={value}" for key, value in arguments.items())
        first = str(error).split("\n")[0]
        raise SpecError(f"{entry.name} cannot be built with {told}: {first}") from error
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"{entry.name}: {entry.spec.target} built a {type(model).__name__}, not a torch module"
        )
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:  # module.to() would ask the same of five dimensions, and fail
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return model


def signature_options(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the keyword options of a class or function."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {name: p for name, p in inspect.signature(target).parameters.items() if p.kind in kinds}


def _checked(target: Callable[..., Any], given: Mapping[str, Any], *, what: str, flag: str) -> dict[str, Any]:
    known = signature_options(target)
    options.check_names(given, known, what=what)
    owner = cast("Any", target).__init__ if inspect.isclass(target) else target
    try:
        types = options.msgspec_hints(owner)
    except NameError:  # an annotation that only exists for type checkers
        types = {}
    dims = {name for each in DIMS.values() for name in each}  # which data gives, not the user
    needed = [name for name, p in known.items() if p.default is p.empty and name not in dims]
    missing = [name for name in needed if name not in given]
    if missing:
        hint = " ".join(f"{flag} {name}=..." for name in missing)
        raise OptionError(f"{what} needs {', '.join(missing)}", hint=hint)
    return {
        key: options.convert(value, types[key], what=f"{what}: {key}") if key in types else value
        for key, value in given.items()
    }


def measure(entry: Entry[ArchitectureSpec]) -> dict[str, int]:
    """Return `parameters`, and `flops` of one item forward, for the task's usual dims. Nothing is computed.

    Raises SpecError if the architecture cannot be built on torch's meta device.
    """
    from torch.utils.flop_counter import FlopCounterMode

    dims = DIMS[entry.spec.task]
    with torch.device("meta"):
        model = build_model(entry, model_arguments(entry, dims, {})).eval()
        if entry.spec.task == "classification":
            item = torch.empty(1, dims["in_channels"], dims["image_size"], dims["image_size"])
        else:
            item = torch.zeros(1, 1, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        try:
            model(item)
        except Exception as error:
            first = str(error).split("\n")[0]
            raise SpecError(f"{entry.name} cannot run on torch's meta device: {first}") from error
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "flops": counter.get_total_flops()}
