"""Build a model, and load the tensors of a state dict into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import WeightsError
from zoo.models.building import build_model, model_arguments
from zoo.registry.registry import Registry
from zoo.tools.imports.card_inputs import Feeding
from zoo.tools.imports.matched_names import Mismatch, TensorDifference, match
from zoo.tools.imports.state_files import State


def empty_model(
    architecture: str, feeding: Feeding, given: Mapping[str, Any], registry: Registry
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a model with initial weights, in evaluation mode, and all its arguments.

    Raises OptionError for an unknown or invalid option, and SpecError if the model cannot be built.
    """
    entry = registry.architecture(architecture)
    arguments = model_arguments(entry, feeding.task, feeding.dims, given)
    return build_model(entry, arguments).eval(), arguments


def load_state(
    module: nn.Module,
    state: State,
    *,
    file: Path,
    architecture: str,
    labels: tuple[str, int, str] | None,
    others: Sequence[str] = (),
) -> dict[str, Any]:
    """Load the tensors of a file into a model.

    Args:
        labels: the name and the value of the dim that counts the classes or tokens, and the key of
            `preprocess` that sets it; the key is empty if a dataset does.
        others: architectures with the name of the file, one of which the weights may be for.

    Returns `by`, `mapping`, `initial`, `unused` and `converted`, as `zoo.import_weights` describes them.

    Raises WeightsError if a tensor does not match, has the wrong type, or is not finite.
    """
    wanted, given = module.state_dict(), state.tensors
    tied = _tied(module)
    try:
        matched = match(_shapes(wanted), _shapes(given), tied=tied, ordered=state.ordered)
    except Mismatch as error:
        message, hint = f"{file} does not match {architecture}: {error}", error.hint
        hint = hint or _about_labels(error.rows, labels)
        if others and not hint:
            hint = f"if these are the weights of {others[0]}, use --architecture {others[0]}"
        hint = hint or f"`zoo show {architecture}` lists the options for --model"
        raise Mismatch(message, rows=error.rows, hint=hint) from None
    converted: dict[str, None] = {}
    for ours, theirs in matched.names.items():
        tensor, before = given[theirs], wanted[ours]
        if tensor.dtype != before.dtype:
            if tensor.is_floating_point() != before.is_floating_point():
                raise WeightsError(f"{file}: {theirs} is {tensor.dtype}, but {ours} is {before.dtype}")
            converted[f"{_name(tensor.dtype)} to {_name(before.dtype)}"] = None
            try:
                tensor = tensor.to(before.dtype)
            except NotImplementedError:  # two numbers in a byte
                raise WeightsError(
                    f"{file}: {theirs} is {tensor.dtype}, which zoo does not support"
                ) from None
        if ours in tied and not torch.equal(tensor, wanted[tied[ours]]):
            both = f"{theirs} and {matched.names[tied[ours]]}"
            raise WeightsError(f"{file}: {both} differ, but the model uses one tensor for both")
        if before.isfinite().all() and not tensor.isfinite().all():
            raise WeightsError(f"{file}: {theirs} has values that are not finite")
        wanted[ours] = tensor
    module.load_state_dict(wanted)
    return {
        "by": matched.by,
        "mapping": matched.names,
        "initial": [name for name in wanted if name not in matched.names],
        "unused": [*matched.unused, *state.others],
        "converted": [*converted],
    }


def _about_labels(rows: Sequence[TensorDifference], labels: tuple[str, int, str] | None) -> str:
    """Return a hint if only the number of classes in the file differs; otherwise ""."""
    name, ours, key = labels or ("", 0, "")
    changes = {pair for row in rows for pair in zip(row.shape, row.found, strict=False)}
    changes = {(old, new) for old, new in changes if old != new}
    same = all(row.problem == "shape" and len(row.shape) == len(row.found) for row in rows)
    if not same or [old for old, _ in changes] != [ours]:
        return ""
    theirs = changes.pop()[1]
    fix = f"pass all {theirs} with --preprocess {key}=..." if key else "choose another dataset"
    return f"the model has {name}={ours}, but the file seems to have {theirs}: {fix}"


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _tied(module: nn.Module) -> dict[str, str]:
    """Map each name in a model's state that shares storage with an earlier name to the earlier name."""
    first: dict[int, str] = {}
    owners = {
        name: first.setdefault(id(tensor), name) for name, tensor in module.state_dict(keep_vars=True).items()
    }
    return {name: owner for name, owner in owners.items() if owner != name}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
