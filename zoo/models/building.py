"""From an architecture's entry and options to a module."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.config.signatures import check_arguments, refuse_unknown, signature_options
from zoo.errors import SpecError, ZooError, first_line
from zoo.registry.registry import Entry
from zoo.registry.specs import ArchitectureSpec, TaskSpec

__all__ = ["build_model", "model_arguments", "on_meta"]

# The functions of torch, of tensors and of torch.nn.init that draw at random and accept a generator
_RANDOM = {
    "bernoulli", "bernoulli_", "binomial", "cauchy_", "exponential_", "geometric_", "kaiming_normal_",
    "kaiming_uniform_", "log_normal_", "multinomial", "normal", "normal_", "orthogonal_", "poisson", "rand",
    "rand_like", "randint", "randint_like", "randn", "randn_like", "random_", "randperm", "sparse_",
    "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_",
}  # fmt: skip


def model_arguments(
    entry: Entry[ArchitectureSpec], task: TaskSpec, dims: Mapping[str, int], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every argument to build a model with: dims, defaults, the preset's config, the user's options.

    Raises:
        OptionError: the architecture does not have an option, or the value is of the wrong type.
        SpecError: the dataset does not say all of the task's dims.
    """
    missing = [name for name in task.dims if name not in dims]
    if missing:
        raise SpecError(f"the dataset does not declare {', '.join(missing)}, which {task.name} requires")
    what = f"architecture {entry.name}"
    target = entry.load()
    known = signature_options(target)
    refuse_unknown(given, known.keys() - task.dims.keys(), what=what)
    chosen = {**entry.spec.config, **given}
    checked = check_arguments(target, chosen, what=what, flag="--model", filled=task.dims)
    defaults = {name: p.default for name, p in known.items() if p.default is not p.empty}
    arguments = {**{name: dims[name] for name in task.dims}, **defaults, **checked}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}


def build_model(
    entry: Entry[ArchitectureSpec], arguments: Mapping[str, Any], *, seed: int | None = None
) -> nn.Module:
    """Build a model, its initial weights drawn from `seed`; torch's global generator is left alone.

    Safe from many threads, also while another one trains. Without a seed, the weights are those of seed 0,
    for a caller that replaces them.

    Raises SpecError with the architecture's own message if it refuses its arguments.
    """
    target = entry.load()
    try:
        with _drawing_from(seed or 0):
            model = target(**arguments)
    except ZooError:
        raise
    except Exception as error:
        listed = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise SpecError(f"{entry.name} cannot be built with {listed}: {first_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"{entry.name}: {entry.spec.target} must build a torch module (it built a {type(model).__name__})"
        )
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:  # module.to() would ask the same of five dimensions, and fail
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return model


@contextmanager
def on_meta() -> Generator[None]:
    """Build models inside on torch's meta device: tensors have a dtype and a shape, but no values."""
    with torch.device("meta"), _SkipNormal():
        yield


def _drawing_from(seed: int) -> AbstractContextManager[object]:
    """Return a context in which this thread's random draws come from a generator of their own."""
    device = torch.get_default_device()
    if device.type == "meta":  # where nothing is drawn
        return nullcontext()
    return _OwnGenerator(torch.Generator(device).manual_seed(seed))


class _OwnGenerator(TorchFunctionMode):
    """Pass a generator to each random function that is called without one, in this thread only."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if getattr(func, "__name__", "") in _RANDOM and not any(
            isinstance(value, torch.Generator) for value in args
        ):
            given["generator"] = given.get("generator") or self._generator
        return func(*args, **given)


class _SkipNormal(TorchFunctionMode):
    """Leave out `normal_` on the meta device: it would do nothing but import torch's compiler, for 0.8 s."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in (Tensor.normal_, nn.init.normal_):
            tensor = args[0] if args else given["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **given)
