"""Freeze parts of a model, so that training does not change them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from zoo.errors import OptionError


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Freeze the parameters that match a pattern; parameters that are already frozen stay frozen.

    A pattern is the name of a parameter, or of a module, whose parameters are then all frozen; `*` matches
    anything. Examples are `stages`, `stages.0` and `*.norm`. A tied parameter matches by any of its names.

    Raises:
        OptionError: a pattern matches no parameter, or no parameter is left to train.
    """
    for pattern in patterns:
        for parameter in parameters_named(model, pattern, what="freeze"):
            parameter.requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in model.parameters()):
        raise OptionError(f"freeze={','.join(patterns)} leaves no parameters to train")


def parameters_named(model: nn.Module, pattern: str, *, what: str) -> set[nn.Parameter]:
    """Return the parameters that match a pattern, as in `freeze`.

    Args:
        what: the training option that contains the pattern.

    Raises OptionError if the pattern matches no parameter.
    """
    parameters = list(model.named_parameters(remove_duplicate=False))
    found = {parameter for name, parameter in parameters if _matches(name, pattern)}
    if not found:
        tops = ", ".join(dict.fromkeys(name.partition(".")[0] for name, _ in parameters))
        raise OptionError(f"{what}={pattern} matches no parameter", hint=f"top-level names: {tops}")
    return found


def refuse_frozen(fresh: Iterable[str], patterns: Sequence[str]) -> None:
    """Raise OptionError if a pattern matches a newly initialized tensor."""
    if frozen := _among(fresh, patterns):
        raise OptionError(
            f"freeze={','.join(patterns)} matches newly initialized tensors: {', '.join(frozen)}"
        )


def train_mode(model: nn.Module, patterns: Sequence[str]) -> None:
    """Switch a model to training mode, except frozen modules with buffers, such as a BatchNorm.

    A frozen BatchNorm therefore keeps its statistics. A module is frozen if all its direct parameters match a
    pattern or, if it has none, all its direct buffers.
    """
    model.train()
    for prefix, module in model.named_modules():
        own = [name for name, _ in module.named_parameters(prefix, recurse=False)]
        buffers = [name for name, _ in module.named_buffers(prefix, recurse=False)]
        names = own or buffers
        if buffers and len(_among(names, patterns)) == len(names):
            module.training = False  # itself, not its children


def _among(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that match a pattern."""
    return [name for name in names if any(_matches(name, pattern) for pattern in patterns)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
