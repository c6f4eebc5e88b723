"""The output of one layer, and gradients with respect to it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import torch
from torch import Tensor, nn

from zoo import OptionError
from zoo.plugin import watching


class Stored:
    """The last output of a module, and gradients with respect to it.

    Attributes:
        found: the module's output, if the module ran; a tensor output is detached.
    """

    def __init__(self) -> None:
        self.found: object = None

    @property
    def output(self) -> Tensor:
        """The output, detached from the graph that computed it. Raises TypeError if it is not a tensor."""
        if not isinstance(self.found, Tensor):
            got = "nothing because it did not run" if self.found is None else f"a {type(self.found).__name__}"
            raise TypeError(f"expected a tensor, but the module returned {got}")
        return self.found

    def gradient(self, of: Tensor, along: Tensor, *, again: bool = False) -> Tensor:
        """Return the gradient of `(of * along).sum()` with respect to the output; `.grad` is not changed.

        Args:
            of: a result that the model computed from the output, such as logits (B, K).
            along: weights of the same shape, such as a one-hot row for each image.
            again: keep the graph for further gradients.

        Raises OptionError if `of` does not depend on the output.
        """
        gradient = None
        if of.requires_grad:
            (gradient,) = torch.autograd.grad(
                of, self.output, along.to(of), retain_graph=again, allow_unused=True
            )
        if gradient is None:
            why = "or the model disables gradients after it"
            raise OptionError(f"the model's output does not depend on this layer, {why}")
        return gradient


@contextlib.contextmanager
def stored(module: nn.Module, *, differentiable: bool = False) -> Generator[Stored]:
    """Store the output of a module before the model can change it in place.

    The model runs without an autograd graph. If `differentiable`, a graph starts right after the module,
    regardless of the caller's gradient mode, so gradients with respect to the output pass only through later
    layers.
    """
    kept = Stored()

    def keep(_: str, output: object) -> object | None:
        if not isinstance(output, Tensor):
            kept.found = output
            return None
        found = kept.found = output.detach()
        if differentiable:
            torch.set_grad_enabled(True)
            found.requires_grad_()
        return found.clone()

    with torch.inference_mode(False), torch.no_grad(), watching({"": module}, keep):
        yield kept
