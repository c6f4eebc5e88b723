"""Parts of a model that training leaves as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from torch import nn

from zoo.errors import OptionError

__all__ = ["freeze", "train_mode"]


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Take the gradient from each parameter that a pattern matches, and give it back to all others.

    A pattern is a name, of a parameter or of a module with all it holds, in which `*` stands for anything:
    `stages`, `stages.0`, `*.norm`.

    Raises:
        OptionError: for a pattern that matches nothing, and where nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            tops = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            raise OptionError(f"freeze={pattern} matches no parameter", hint=f"the model consists of {tops}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(_matches(name, pattern) for pattern in patterns))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise OptionError(f"freeze={','.join(patterns)} leaves nothing to train")


def train_mode(model: nn.Module, patterns: Sequence[str]) -> None:
    """Switch a model to training, but for its frozen modules with buffers: BatchNorm keeps its statistics."""
    model.train()
    for module in _still(model, patterns):
        module.eval()


def _still(model: nn.Module, patterns: Sequence[str]) -> Iterator[nn.Module]:
    """Yield modules with buffers of their own, all of whose own tensors are frozen."""
    for name, module in model.named_modules():
        buffers = [key for key, _ in module.named_buffers(name, recurse=False)]
        parameters = [key for key, _ in module.named_parameters(name, recurse=False)]
        if buffers and all(any(_matches(key, each) for each in patterns) for key in buffers + parameters):
            yield module


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
