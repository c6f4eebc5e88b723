"""Build a module from an architecture's entry and options."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from zoo.config.declarations import declared
from zoo.config.keywords import check_arguments, refuse_unknown
from zoo.errors import OptionError, SpecError, ZooError, first_line
from zoo.models.memory import keep_freed_memory
from zoo.registry.registry import Entry
from zoo.registry.specs import ArchitectureSpec, TaskSpec
from zoo.seeds import GLOBAL_GENERATOR


def model_arguments(
    entry: Entry[ArchitectureSpec], task: TaskSpec, dims: Mapping[str, int], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all arguments of a model: dims, defaults, the preset's config and the user's options.

    Raises:
        OptionError: an option is unknown or has a value of the wrong type, or the images are too small.
        SpecError: the dataset does not declare all of the task's dims.
    """
    missing = [name for name in task.dims if name not in dims]
    if missing:
        raise SpecError(f"the dataset does not declare {', '.join(missing)}, which {task.name} requires")
    size, smallest = dims.get("image_size"), entry.spec.smallest_image
    if size is not None and size < smallest:
        message = f"{entry.name} needs images of at least {smallest}×{smallest} pixels (got {size}×{size})"
        raise OptionError(message, hint=f"choose a size of at least {smallest} pixels")
    checked = model_options(entry, task, given)
    known = declared(entry.load())
    defaults = {name: option.default for name, option in known.items() if not option.required}
    arguments = {**{name: dims[name] for name in task.dims}, **defaults, **checked}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}


def model_options(entry: Entry[ArchitectureSpec], task: TaskSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preset's config and the user's options, converted to their types. Raises OptionError."""
    what, target = f"architecture {entry.name}", entry.load()
    refuse_unknown(given, declared(target).keys() - task.dims.keys(), what=what)
    chosen = {**entry.spec.config, **given}
    return check_arguments(target, chosen, what=what, flag="--model", filled=task.dims)


def build_model(
    entry: Entry[ArchitectureSpec], arguments: Mapping[str, Any], *, seed: int | None = None
) -> nn.Module:
    """Build a model with initial weights from `seed`; torch's global generator does not change.

    This is thread-safe, even while another thread trains: only one thread at a time uses the generator. Code
    outside zoo should not use the generator at the same time. Callers that replace the weights can omit the
    seed.

    Raises SpecError with the architecture's error message if it rejects its arguments.
    """
    keep_freed_memory()
    target = entry.load()
    try:
        with drawing_from(seed or 0):
            model = target(**arguments)
    except ZooError:
        raise
    except Exception as error:
        listed = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise SpecError(f"{entry.name} cannot be built with {listed}: {first_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"{entry.name}: {entry.spec.target} must return an nn.Module (got a {type(model).__name__})"
        )
    if lazy := [name for name, each in model.named_parameters() if is_lazy(each)]:
        message = f"{entry.name}: the size of {lazy[0]} is unknown until the model is called"
        raise SpecError(message, hint="give all sizes, for example nn.Linear instead of nn.LazyLinear")
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:  # module.to() would ask the same of five dimensions, and fail
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return model


@contextmanager
def on_meta() -> Generator[None]:
    """In the `with` block, build models on torch's meta device: tensors have shapes, but no values."""
    with torch.device("meta"), _SkipNormal():
        yield


@contextmanager
def generator_restored() -> Generator[None]:
    """Restore torch's global generator after the `with` block, but not while another thread depends on it."""
    kept = torch.random.fork_rng(range(torch.cuda.device_count()))
    with GLOBAL_GENERATOR:
        kept.__enter__()
    try:
        yield
    finally:
        with GLOBAL_GENERATOR:
            kept.__exit__(None, None, None)


@contextmanager
def drawing_from(seed: int) -> Generator[None]:
    """Seed torch's global generator in the `with` block, then restore it; other zoo threads wait."""
    if torch.get_default_device().type == "meta":  # where nothing is drawn
        yield
        return
    devices = range(torch.cuda.device_count())
    with GLOBAL_GENERATOR, torch.random.fork_rng(devices):
        # torch.manual_seed formats and keeps its stack for each kind of device that the machine lacks
        (torch.manual_seed if devices else torch.default_generator.manual_seed)(seed)
        yield


class _SkipNormal(TorchFunctionMode):
    """Skip `normal_` on the meta device, where it only imports torch's compiler, which takes 0.8 s."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in (Tensor.normal_, nn.init.normal_):
            tensor = args[0] if args else given["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **given)
