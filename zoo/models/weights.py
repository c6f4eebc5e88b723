"""Save and load a model with its Card: one safetensors file that needs no other.

Loading believes nothing: the hash of the tensor bytes, every name, shape and dtype, and that all values are
finite are checked, before the model is built, and nothing is ever unpickled. What a file costs in memory and
time is bounded by its size.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from zoo.config import options
from zoo.errors import OptionError, UnknownName, WeightsError, did_you_mean
from zoo.files import downloads as fetch
from zoo.files import storage
from zoo.files.cards import KEY, SCHEMA, Card, read_card
from zoo.models.building import build_model, signature_options
from zoo.registry.catalog import Catalog
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskName

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

_SPARE = 64_000_000
"""Bytes of buffers that a model may have beside what its file holds, such as masks."""


class ImageFeeding(TypedDict):
    """What a card's `preprocess` must have for images to be fed."""

    size: Any
    mean: list[float]
    std: list[float]
    classes: list[str]


class TextNeeds(TypedDict):
    """What a card's `preprocess` must have for a text to be fed."""

    tokens: str
    lower: bool
    vocabulary: list[str]
    specials: int


class TextFeeding(TextNeeds, total=False):
    """What it may have besides."""

    newline_eos: bool
    backwards: bool


_FEEDING: Mapping[TaskName, type[Any]] = {"classification": ImageFeeding, "language-modelling": TextFeeding}


def save(path: Path, model: nn.Module, card: Card) -> Card:
    """Write a model's weights and its card; return the card as written, with hash and ties.

    Equal weights and an equal card give equal bytes. Raises WeightsError if a weight is not finite.
    """
    stored, tied = _untie(model.state_dict())
    for name, tensor in stored.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{name} holds values that are not finite; nothing was written to {path}")
    card = dataclasses.replace(card, schema=SCHEMA, sha256=storage.tensor_sha256(pack(stored)), tied=tied)
    save_tensors(path, stored, {"format": "pt", KEY: card.to_json()})
    return card


def load(path: Path | str, registry: Registry, *, device: str = "cpu") -> tuple[nn.Module, Card]:
    """Return the model in eval mode, and its card.

    Raises WeightsError for a file that is damaged or does not fit its architecture, and when the plugin
    that brings the architecture is not installed.
    """
    path = Path(path)
    card, header = read_card(path)
    _check_feeding(card, path)
    entry = _architecture(card, path, registry)
    unknown = [name for name in card.arguments if name not in signature_options(entry.load())]
    if unknown:
        raise WeightsError(f"{path}: {entry.name} has no argument {', '.join(unknown)} in this version")
    stored = sum(1 for _ in header.tensors) + len(card.tied)
    with torch.device("meta"), _no_larger_than(stored, f"{path} does not fit its architecture"):
        planned = build_model(entry, card.arguments)
    expected = planned.state_dict()
    told = {name: (tensor["dtype"], tuple(tensor["shape"])) for name, tensor in header.tensors.items()}
    _check_fit(path, expected, told, card.tied)
    needed = sum(tensor.nbytes for tensor in (*planned.parameters(), *planned.buffers()))
    if needed > 2 * header.size + _SPARE:
        raise WeightsError(
            f"{path} does not fit its architecture: the model would take {needed:,} bytes, and the file has "
            f"{header.size:,}"
        )
    tensors = read_tensors(path, header, card.sha256)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite")
    model = build_model(entry, card.arguments)
    model.load_state_dict(tensors | {name: tensors[source] for name, source in card.tied.items()})
    return model.to(device).eval(), card


def find(name: str, catalog: Catalog) -> Path:
    """Return the file behind a path or an id from registry.toml, its sha256 checked in the second case.

    A run's folder stands for the weights it ended with.

    Raises WeightsError where it is neither, DataError where a published file cannot be had.
    """
    if name not in catalog.weights or Path(name).exists():
        if not Path(name).exists():
            hint = (
                did_you_mean(name, catalog.weights).removeprefix("; ")
                or "`zoo list weights` shows published ones"
            )
            raise WeightsError(f"there is no file {name}, and no published weights of that name", hint=hint)
        result = Path(name) / "model.safetensors"
        return result if result.is_file() else Path(name)
    entry = catalog.weights[name]
    if entry.file:
        return fetch.verified(catalog.weights_home[name] / entry.file, entry.sha256)
    place = f"weights/{name}.safetensors"
    return fetch.data_file(place, url=entry.url, sha256=entry.sha256, max_bytes=entry.bytes)


def pack(tensors: Mapping[str, torch.Tensor]) -> list[storage.Tensor]:
    """Return tensors as bytes ready to be written."""
    packed: list[storage.Tensor] = []
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        data = memoryview(flat.numpy())  # pyright: ignore[reportArgumentType]
        packed.append(storage.Tensor(name, _DTYPES[tensor.dtype], tuple(tensor.shape), data))
    return packed


@contextlib.contextmanager
def _no_larger_than(tensors: int, told: str) -> Generator[None]:
    """Stop a model from being built inside that has far more parameters or layers than a file has tensors."""
    parameters, modules = 4 * tensors + 100, 40 * tensors + 1_000

    def count_parameter(*_: object) -> None:
        nonlocal parameters
        parameters -= 1
        if parameters < 0:
            raise WeightsError(f"{told}: it holds {tensors} tensors, and the model has several times as many")

    def count_module(*_: object) -> None:
        nonlocal modules
        modules -= 1
        if modules < 0:
            raise WeightsError(f"{told}: it holds {tensors} tensors, and the model has far more layers")

    hooks = (
        register_module_parameter_registration_hook(count_parameter),
        register_module_module_registration_hook(count_module),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _check_feeding(card: Card, path: Path) -> None:
    """Refuse a card that does not say how its model is fed, or says so for a model of other dims."""
    feeding = _FEEDING[card.task]
    lacking = [name for name in feeding.__required_keys__ if name not in card.preprocess]
    if lacking:
        raise WeightsError(f"{path}: its card does not say the {', '.join(sorted(lacking))} of its data")
    try:
        told = cast("dict[str, Any]", options.convert(card.preprocess, feeding, what="its card's preprocess"))
    except OptionError as error:
        raise WeightsError(f"{path}: {error}") from None
    if card.task == "classification":
        lengths = {"classes": "num_classes", "mean": "in_channels", "std": "in_channels"}
        if not all(map(math.isfinite, told["mean"])) or not all(
            0 < value < math.inf for value in told["std"]
        ):
            raise WeightsError(f"{path}: its card has a mean or std that no image can be normalised with")
    else:
        lengths = {"vocabulary": "vocab_size"}
    for name, dim in lengths.items():
        if len(told[name]) != card.arguments.get(dim):
            raise WeightsError(
                f"{path}: its card has {len(told[name])} values in {name}, and {dim} is "
                f"{card.arguments.get(dim)!r:.40}"
            )
    if card.task == "language-modelling" and not 0 <= told["specials"] <= len(told["vocabulary"]):
        raise WeightsError(f"{path}: its card has specials={told['specials']}, and too few tokens for that")


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata as one safetensors file, atomically."""
    storage.write_container(path, pack(tensors), metadata)


def read_tensors(path: Path, header: storage.Header, sha256: str) -> dict[str, torch.Tensor]:
    """Return a file's tensors. Raises WeightsError if their bytes are not the ones that were hashed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(memoryview(data)[header.data_start :]).hexdigest() != sha256:
        raise WeightsError(
            f"{path} is damaged: the sha256 of its tensors is not the one in its card",
            hint="copy or download it again",
        )
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError:
        raise WeightsError(f"{path} is damaged: its header does not describe its bytes") from None


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
