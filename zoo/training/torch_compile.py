"""Train a model compiled with torch.compile."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator
from dataclasses import replace

import torch
from torch import nn

from zoo.errors import RunError, cause
from zoo.interfaces import Step
from zoo.models.states import tensors_of, with_tensors


@contextlib.contextmanager
def compiled(model: nn.Module, device: str, *, wanted: bool) -> Generator[None]:
    """Compile a model if `wanted`; on a GPU, use CUDA graphs. Copies of the model are not compiled.

    Raises RunError in the first steps if the model cannot be compiled.
    """
    if not wanted:
        yield
        return
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"torch\._(dynamo|inductor)")  # advice on a model's code
            model.compile(mode="reduce-overhead" if torch.device(device).type == "cuda" else "default")
            yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        hint = "train without --compile, or install a C++ compiler if none is installed"
        raise RunError(f"torch.compile failed: {cause(error)}", hint=hint) from error


def uncompilable(model: nn.Module) -> str:
    """Return the name of the layer that prevents a model from being compiled; empty if there is none.

    Dynamo skips all code that calls torch's recurrent layers; inside a function mode, it unrolls them, which
    takes minutes.
    """
    layers = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.RNNBase))
    return next((name or type(module).__name__ for name, module in layers), "")


def begin_compiled_step() -> None:
    """Allow CUDA graphs to overwrite the tensors that they returned."""
    torch.compiler.cudagraph_mark_step_begin()


def keep_gradients(model: nn.Module) -> None:
    """Copy gradients out of CUDA graph memory, which the next part of a step overwrites."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad = parameter.grad.clone()


def kept(step: Step) -> Step:
    """Return a step with a copy of its hidden state, so that the next step cannot overwrite it."""
    if step.state is None:
        return step
    return replace(step, state=with_tensors(step.state, map(torch.clone, tensors_of(step.state).values())))
