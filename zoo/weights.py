"""Save and load a model with its Card: one safetensors file that needs no other.

Loading believes nothing: the hash of the tensor bytes, every name, shape and dtype, and that all values are
finite are checked, and nothing is ever unpickled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from zoo import fetch, storage
from zoo.building import build_model, signature_options
from zoo.cards import KEY, Card, read_card
from zoo.catalog import Catalog
from zoo.errors import UnknownName, WeightsError, did_you_mean
from zoo.registry import Registry
from zoo.specs import TaskName

__all__ = ["find", "load", "pack", "read_tensors", "save", "save_tensors"]

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


_PREPROCESS: Mapping[TaskName, tuple[str, ...]] = {
    "classification": ("size", "mean", "std", "classes"),
    "language-modelling": ("tokens", "lower", "vocabulary", "specials"),
}
"""By task: what a card's `preprocess` must have for new data to be fed."""


def save(path: Path, model: nn.Module, card: Card) -> Card:
    """Write a model's weights and its card; return the card as written, with hash and ties.

    Equal weights and an equal card give equal bytes. Raises WeightsError if a weight is not finite.
    """
    stored, tied = _untie(model.state_dict())
    for name, tensor in stored.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{name} holds values that are not finite; nothing was written to {path}")
    card = dataclasses.replace(card, sha256=storage.tensor_sha256(pack(stored)), tied=tied)
    save_tensors(path, stored, {"format": "pt", KEY: card.to_json()})
    return card


def load(path: Path | str, registry: Registry, *, device: str = "cpu") -> tuple[nn.Module, Card]:
    """Return the model in eval mode, and its card.

    Raises WeightsError for a file that is damaged or does not fit its architecture, and when the plugin
    that brings the architecture is not installed.
    """
    path = Path(path)
    card, header = read_card(path)
    lacking = [name for name in _PREPROCESS[card.task] if name not in card.preprocess]
    if lacking:
        raise WeightsError(f"{path}: its card does not say the {', '.join(lacking)} of its data")
    entry = _architecture(card, path, registry)
    unknown = [name for name in card.arguments if name not in signature_options(entry.load())]
    if unknown:
        raise WeightsError(f"{path}: {entry.name} has no argument {', '.join(unknown)} in this version")
    with torch.device("meta"):
        expected = build_model(entry, card.arguments).state_dict()
    told = {name: (tensor["dtype"], tuple(tensor["shape"])) for name, tensor in header.tensors.items()}
    _check_fit(path, expected, told, card.tied)
    tensors = read_tensors(path, header, card.sha256)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite")
    model = build_model(entry, card.arguments)
    model.load_state_dict(tensors | {name: tensors[source] for name, source in card.tied.items()})
    return model.to(device).eval(), card


def find(name: str, catalog: Catalog) -> Path:
    """Return the file behind a path or an id from registry.toml, its sha256 checked in the second case.

    Raises WeightsError where it is neither, DataError where a published file cannot be had.
    """
    if name not in catalog.weights or Path(name).exists():
        if not Path(name).exists():
            hint = (
                did_you_mean(name, catalog.weights).removeprefix("; ")
                or "`zoo list weights` shows published ones"
            )
            raise WeightsError(f"there is no file {name}, and no published weights of that name", hint=hint)
        return Path(name)
    entry = catalog.weights[name]
    if entry.file:
        return fetch.verified(catalog.weights_home[name] / entry.file, entry.sha256)
    return fetch.data_file(f"weights/{name}.safetensors", url=entry.url, sha256=entry.sha256)


def pack(tensors: Mapping[str, torch.Tensor]) -> list[storage.Tensor]:
    """Return tensors as bytes ready to be written."""
    packed: list[storage.Tensor] = []
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        data = memoryview(flat.numpy())  # pyright: ignore[reportArgumentType]
        packed.append(storage.Tensor(name, _DTYPES[tensor.dtype], tuple(tensor.shape), data))
    return packed


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata as one safetensors file, atomically."""
    storage.write_container(path, pack(tensors), metadata)


def read_tensors(path: Path, header: storage.Header, sha256: str) -> dict[str, torch.Tensor]:
    """Return a file's tensors. Raises WeightsError if their bytes are not the ones that were hashed."""
    data = path.read_bytes()
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError:
        raise WeightsError(f"{path} is damaged: its header does not describe its bytes") from None
    if _sha256(data, header.data_start) != sha256:
        raise WeightsError(
            f"{path} is damaged: the sha256 of its tensors is not the one in its card",
            hint="copy or download it again",
        )
    return tensors


def _sha256(data: bytes, start: int) -> str:
    import hashlib

    return hashlib.sha256(memoryview(data)[start:]).hexdigest()


def _architecture(card: Card, path: Path, registry: Registry):
    try:
        return registry.architecture(card.architecture)
    except UnknownName as error:
        origin = card.versions.get("plugin", "an unknown distribution")
        raise WeightsError(
            f"{path} holds a {card.architecture}, and no installed plugin provides that",
            hint=f"it was written with {origin}: install that, or see `zoo plugins`",
        ) from error


def _untie(state: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Split a state dict into tensors to store and names that share one of them."""
    stored: dict[str, torch.Tensor] = {}
    tied: dict[str, str] = {}
    owners: dict[tuple[object, ...], str] = {}
    for name in sorted(state):
        tensor = state[name]
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and place in owners:
            tied[name] = owners[place]
        else:
            owners[place] = name
            stored[name] = tensor
    return stored, tied


def _check_fit(
    path: Path,
    expected: Mapping[str, torch.Tensor],
    told: Mapping[str, tuple[str, tuple[int, ...]]],
    tied: Mapping[str, str],
) -> None:
    have = set(told) | set(tied)
    if have != set(expected) or not set(tied.values()) <= set(told):
        missing = sorted(set(expected) - have) or sorted(set(tied.values()) - set(told))
        extra = sorted(have - set(expected))
        parts = [f"lacks {name}" for name in missing[:1]]
        parts += [f"has {name}, which the model lacks" for name in extra[:1]]
        raise WeightsError(f"{path} does not fit its architecture: it {' and '.join(parts)}")
    for name, tensor in expected.items():
        dtype, shape = told[tied.get(name, name)]
        if (dtype, shape) != (_DTYPES[tensor.dtype], tuple(tensor.shape)):
            raise WeightsError(
                f"{path} does not fit its architecture: {name} is {dtype} {list(shape)} in the file, "
                f"{_DTYPES[tensor.dtype]} {list(tensor.shape)} in the model"
            )
