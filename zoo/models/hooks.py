"""Looking inside a model without changing it: hooks, as the lesson teaches them, that always come off again.

    with untouched(model) as inner, stored(inner.get_submodule("stages")) as features:
        inner(images)
    features.output  # (B, C, h, w)

A hook is a function that a module calls with its output. Left behind, it keeps memory alive and runs for
ever; so each here lives only inside a `with`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping

import torch
from torch import Tensor, nn

from zoo.errors import OptionError

__all__ = ["Stored", "evaluating", "stored", "untouched", "watching"]


@contextlib.contextmanager
def watching(
    modules: Mapping[str, nn.Module], see: Callable[[str, object], object | None]
) -> Generator[None]:
    """Call `see(name, output)` whenever one of the modules has run; what it returns replaces the output."""
    with contextlib.ExitStack() as hooks:
        for name, module in modules.items():
            handle = module.register_forward_hook(lambda _, __, output, name=name: see(name, output))
            hooks.callback(handle.remove)
        yield


class Stored:
    """What a module put out last, and what depends on it."""

    def __init__(self) -> None:
        self._output: object = None

    @property
    def output(self) -> Tensor:
        """The output, apart from the graph that made it. Raises TypeError if it is not a tensor."""
        if not isinstance(self._output, Tensor):
            what = "nothing: it did not run" if self._output is None else f"a {type(self._output).__name__}"
            raise TypeError(f"the module gave {what}, where a tensor is needed")
        return self._output

    def gradient(self, of: Tensor, along: Tensor, *, again: bool = False) -> Tensor:
        """Return the gradient by the output of the sum of `of` times `along`; no `grad` is touched.

        Args:
            of: what the model made of the output, such as logits (B, K).
            along: of the same shape: a one for each number that counts.
            again: whether other gradients will be asked for.

        Raises OptionError if `of` does not depend on the output.
        """
        found = None
        if of.requires_grad:
            (found,) = torch.autograd.grad(
                of, self.output, along.to(of), retain_graph=again, allow_unused=True
            )
        if found is None:
            why = "or the model switches gradients off after it"
            raise OptionError(f"what the model gives does not depend on this layer, {why}")
        return found


@contextlib.contextmanager
def stored(module: nn.Module, *, differentiable: bool = False) -> Generator[Stored]:
    """Store what a module puts out, whatever is then done to it in place.

    The model runs without a graph; if `differentiable`, a graph begins right after the module, whatever the
    caller's gradient mode: so gradients by the output cost only what comes after it.
    """
    kept = Stored()

    def keep(_: str, output: object) -> object | None:
        kept._output = output  # pyright: ignore[reportPrivateUsage]
        if not isinstance(output, Tensor):
            return None
        kept._output = output.detach()  # pyright: ignore[reportPrivateUsage]
        if differentiable:
            torch.set_grad_enabled(True)
            kept._output.requires_grad_()  # pyright: ignore[reportPrivateUsage]
        return kept._output.clone()  # pyright: ignore[reportPrivateUsage]

    with torch.inference_mode(False), torch.no_grad(), watching({"": module}, keep):
        yield kept


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Switch a model to evaluation, and each module back to the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:  # each its own: a frozen BatchNorm is not in training
            module.training = training


@contextlib.contextmanager
def untouched(model: nn.Module) -> Generator[nn.Module]:
    """Lend a model for a look: evaluation mode inside, modes and random state afterwards as before.

    Yields the module itself, out of the wrappers of `torch.compile` and `DistributedDataParallel`; what was
    compiled runs uncompiled meanwhile, since compiled code does not call hooks.
    """
    inner = _unwrapped(model)
    compiled = any(
        module._compiled_call_impl is not None or hasattr(module, "_orig_mod")  # pyright: ignore
        for module in inner.modules()
    )
    stance = torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()
    gpus = {tensor.device for tensor in inner.parameters() if tensor.is_cuda}
    with stance, torch.random.fork_rng(gpus), evaluating(inner):
        yield inner


def _unwrapped(model: nn.Module) -> nn.Module:
    if hasattr(model, "_orig_mod"):  # torch.compile's OptimizedModule
        return _unwrapped(model._orig_mod)  # pyright: ignore[reportArgumentType]
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return _unwrapped(model.module)
    return model
