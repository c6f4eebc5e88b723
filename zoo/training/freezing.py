"""Freeze parts of a model, so that training does not change them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from zoo.errors import OptionError


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[nn.Parameter]:
    """Freeze the parameters that match a pattern, and return them, except those that were already frozen.

    A pattern is the name of a parameter, or of a module, whose parameters are then all frozen; `*` matches
    anything. Examples are `stages`, `stages.0` and `*.norm`. A tied parameter matches by any of its names.

    Raises:
        OptionError: a pattern matches no parameter, or no parameter is left to train.
    """
    matching = {p for pattern in patterns for p in parameters_named(model, pattern, what="freeze")}
    frozen = [parameter for parameter in matching if parameter.requires_grad]
    set_frozen(frozen, True)
    if patterns and not any(parameter.requires_grad for parameter in model.parameters()):
        raise OptionError(f"freeze={','.join(patterns)} leaves no parameters to train")
    return frozen


def set_frozen(parameters: Iterable[nn.Parameter], frozen: bool) -> None:
    """Freeze parameters, or train them again."""
    for parameter in parameters:
        parameter.requires_grad_(not frozen)


def without(model: nn.Module, fresh: Sequence[str], prefix: str = "") -> list[str]:
    """Return the names of the largest modules and parameters without a newly initialized tensor."""
    found: list[str] = []
    for name, part in (*model.named_children(), *model.named_parameters(recurse=False)):
        inside = [each for each in fresh if _matches(each, f"{prefix}{name}")]
        if not inside and (isinstance(part, nn.Parameter) or any(True for _ in part.parameters())):
            found.append(f"{prefix}{name}")
        elif isinstance(part, nn.Module):
            found += without(part, inside, f"{prefix}{name}.")
    return found


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
