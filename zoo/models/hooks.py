"""Look inside a model without changing it, with hooks that are always removed.

    with untouched(model) as inner, watching({"stages": inner.get_submodule("stages")}, see):
        inner(images)  # calls see("stages", features)

A hook is a function that a module calls with its output. A hook that is not removed keeps memory in use and
runs in every forward pass, so every hook here is limited to a `with` block.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

# Reentrant, since an abandoned generator may be closed, and end its evaluation, at any moment
_LOCK, _STANCE = threading.RLock(), threading.RLock()
# For each module how many evaluate it, and the mode to restore
_EVALUATING: WeakKeyDictionary[nn.Module, tuple[int, bool]] = WeakKeyDictionary()


@contextlib.contextmanager
def watching(
    modules: Mapping[str, nn.Module], see: Callable[[str, object], object | None]
) -> Generator[None]:
    """Call `see(name, output)` after a module has run; a result other than None replaces the output.

    The names are the keys of `modules`. Clone an output to keep it, if a later layer may change it in place.

    Only calls from this thread are seen, so several threads can look inside the same model.
    """
    me = threading.get_ident()

    def here(name: str, _: nn.Module, __: object, output: object) -> object | None:
        return see(name, output) if threading.get_ident() == me else None

    with _hooked(module.register_forward_hook(partial(here, name)) for name, module in modules.items()):
        yield


@contextlib.contextmanager
def receiving(modules: Mapping[str, nn.Module], see: Callable[[str, object], None]) -> Generator[None]:
    """Call `see(name, input)` with a module's first argument before it runs; see `watching`."""
    me = threading.get_ident()

    def here(name: str, _: nn.Module, given: tuple[object, ...]) -> None:
        if given and threading.get_ident() == me:
            see(name, given[0])

    with _hooked(module.register_forward_pre_hook(partial(here, name)) for name, module in modules.items()):
        yield


@contextlib.contextmanager
def _hooked(hooks: Iterable[RemovableHandle]) -> Generator[None]:
    """Register hooks from an iterable, and always remove them."""
    with contextlib.ExitStack() as stack:
        with _LOCK:
            for hook in hooks:
                stack.enter_context(hook)
        yield


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Switch a model to evaluation mode in the `with` block, then restore the mode of each module.

    If several threads evaluate a model, the last one restores the modes.
    """
    modules = [*model.modules()]
    with _LOCK:
        if not _EVALUATING and not any(module.training for module in modules):
            modules = []  # nothing to switch, and nothing to restore
        for module in modules:  # whose modes may differ: a frozen BatchNorm stays in evaluation mode
            users, training = _EVALUATING.get(module, (0, module.training))
            _EVALUATING[module] = (users + 1, training)
        if modules:
            model.eval()
    try:
        yield
    finally:
        with _LOCK:
            for module in modules:
                users, training = _EVALUATING.pop(module)
                if users > 1:
                    _EVALUATING[module] = (users - 1, training)
                else:
                    module.training = training


@contextlib.contextmanager
def untouched(model: nn.Module) -> Generator[nn.Module]:
    """Yield a model in evaluation mode, and restore its modes afterwards.

    Yields the module inside the wrappers of `torch.compile` and `DistributedDataParallel`. In the `with`
    block, compiled modules run uncompiled, since compiled code does not call hooks, and only one thread at a
    time can run them. Use your own `torch.Generator` for random numbers: the caller, or a training run in
    another thread, may depend on torch's global generator.
    """
    inner = _unwrapped(model)
    compiled = any(
        module._compiled_call_impl is not None or hasattr(module, "_orig_mod")  # pyright: ignore
        for module in inner.modules()
    )
    with uncompiled() if compiled else contextlib.nullcontext(), evaluating(inner):
        yield inner


@contextlib.contextmanager
def uncompiled() -> Generator[None]:
    """Run compiled modules uncompiled in the `with` block, in one thread at a time.

    Dynamo cannot trace these hooks. Once it has seen a module with them, it never compiles the module again.
    """
    with _STANCE, torch.compiler.set_stance("force_eager"):  # which is of the whole process
        yield


def _unwrapped(model: nn.Module) -> nn.Module:
    if hasattr(model, "_orig_mod"):  # torch.compile's OptimizedModule
        return _unwrapped(model._orig_mod)  # pyright: ignore[reportArgumentType]
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return _unwrapped(model.module)
    return model


# The most bytes that a layer may compute: for a batch, which is halved until it does, and for a single item
# or some tokens of a model from a file, since a small file could take all memory
MOST_BYTES, MOST_OF_ONE = 1 << 27, 1 << 29


class TooLarge(Exception):
    """A layer's output would be larger than allowed."""


@contextlib.contextmanager
def no_larger_outputs(model: nn.Module, most: float) -> Generator[None]:
    """Raise TooLarge before a convolution, a linear layer or an embedding returns more than `most` bytes.

    A 1 MB file may contain a convolution with 2,000 channels, whose output is a thousand times as large. The
    limit applies only to this thread.
    """
    layers = {
        str(n): layer
        for n, layer in enumerate(model.modules())
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)
    }

    def check(name: str, x: Any) -> None:
        layer = layers[name]
        if isinstance(layer, nn.Conv2d):
            positions = x.shape[-1] // layer.stride[-1] * (x.shape[-2] // layer.stride[-2])
            numbers = len(x) * layer.out_channels * positions
        elif isinstance(layer, nn.Linear):
            numbers = x.numel() // layer.in_features * layer.out_features
        else:
            numbers = x.numel() * layer.embedding_dim
        if 4 * numbers > most:
            raise TooLarge(f"{4 * numbers:,} bytes")

    with receiving(layers, check):
        yield
