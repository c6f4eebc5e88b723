"""Save and load a model with its card: one self-contained safetensors file.

Files are not trusted. The hash of the tensor bytes and every name, shape and dtype are checked before the
model is built; all values are checked to be finite before they are loaded into it. Weights are never
unpickled. The memory and time needed to load a file are bounded by its size.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from zoo.config.declarations import declared
from zoo.errors import OptionError, SpecError, UnknownName, WeightsError, warn
from zoo.files.cards import KEY, SCHEMA, Card, read_card, read_weights
from zoo.files.container import Container, StoredTensor, tensor_sha256, write_container
from zoo.interfaces import make_task
from zoo.models.building import build_model, on_meta
from zoo.models.finite import infinite_buffers, not_finite
from zoo.models.ties import ties, untied, with_ties
from zoo.registry.plugins import LOCAL, Plugin
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec

_DTYPES = {
    torch.complex64: "C64",
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
_TORCH_DTYPES = {name: dtype for dtype, name in _DTYPES.items()}

# Bytes of buffers, such as masks, that a model may have in addition to what its file holds
_SPARE = 64_000_000


def can_hold(dtype: torch.dtype) -> bool:
    """Return whether a file can hold tensors of a dtype."""
    return dtype in _DTYPES


def require_storable(model: nn.Module, entry: Entry[ArchitectureSpec]) -> None:
    """Raise SpecError if a file could not hold a parameter or a buffer of a model."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in model.state_dict().items():
        if not can_hold(tensor.dtype):
            kind = "parameter" if name in parameters else "buffer"
            message = f"{entry.name}: {kind} {name} has dtype {tensor.dtype}, which cannot be stored"
            hint = "in the architecture, convert it with torch.view_as_real or to a different dtype"
            if kind == "buffer":
                hint = f"{hint}; or, if it can be recomputed, register it with persistent=False"
            raise SpecError(message, hint=hint)


def require_loadable(model: nn.Module, entry: Entry[ArchitectureSpec], arguments: Mapping[str, Any]) -> None:
    """Raise SpecError if the weights of a model could be saved, but not loaded again.

    Before a file is loaded, its model is built on the meta device to compare shapes.
    """
    try:
        with on_meta():
            planned = build_model(entry, arguments)
    except SpecError as error:
        hint = "to load weights, zoo first builds the model on the meta device, where tensors have no values"
        raise SpecError(str(error), hint=hint) from error
    stored = model.state_dict()
    for name, tensor in stored.items():
        if any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)):
            message = f"{entry.name}: elements of {name} share memory, so weights cannot be loaded into it"
            raise SpecError(message, hint="call `clone()` on the result of `expand`")
    needed = sum(tensor.nbytes for tensor in (*planned.parameters(), *planned.buffers()))
    size = sum(tensor.nbytes for tensor in stored.values())
    if needed > 2 * size + _SPARE:
        message = f"{entry.name} needs {needed:,} bytes but stores only {size:,}, so zoo would not load it"
        raise SpecError(message, hint="compute large non-persistent buffers only when needed")


def save(
    path: Path,
    model: nn.Module,
    card: Card,
    *,
    half: bool = False,
    infinite: Collection[str] = (),
    folder: int | None = None,
) -> Card:
    """Write a model's weights and its card; return the card that was written, with its hash and ties.

    Equal weights and equal cards produce equal bytes.

    Args:
        half: store the fp32 parameters that are matrices as bf16, in half the bytes. They are loaded as fp32
            again, rounded to 8 bits of precision; biases and normalization statistics are not rounded.
        infinite: buffers that need not be finite, since they were not finite when the model was built.
        folder: descriptor of the open folder of `path`, if the folder may be moved.

    Raises WeightsError if any other weight is not finite, and OSError if the file cannot be written.
    """
    stored = untied(model)
    if name := not_finite(stored, infinite):
        raise WeightsError(f"{name} has values that are not finite; nothing was written to {path}")
    if half:
        stored |= {name: stored[name].bfloat16() for name in _matrices(model) if name in stored}
    packed = pack(stored)
    card = _completed(card, model, packed)
    write_container(path, packed, {"format": "pt", KEY: card.to_json()}, folder=folder)
    return card


def _matrices(model: nn.Module) -> list[str]:
    """Return the names of the fp32 parameters of two or more dimensions."""
    named = model.named_parameters(remove_duplicate=False)
    return [name for name, tensor in named if tensor.dtype == torch.float32 and tensor.ndim >= 2]


def kept(path: Path, model: nn.Module, card: Card) -> Card | None:
    """Return a file's card if the file holds these weights and, except for its versions, this card."""
    try:
        found = read_card(path)
    except WeightsError:
        return None
    wanted = _completed(card, model, pack(untied(model)))
    return found if replace(wanted, versions=found.versions) == found else None


def _completed(card: Card, model: nn.Module, packed: Sequence[StoredTensor]) -> Card:
    return replace(card, schema=SCHEMA, sha256=tensor_sha256(packed), tied=ties(model))


@torch.inference_mode(False)  # so that a caller in inference mode gets weights that can have gradients
def load(
    path: Path | str, registry: Registry, *, device: str = "cpu", sha256: str = ""
) -> tuple[nn.Module, Card]:
    """Return the model in evaluation mode, and its card.

    Raises WeightsError if the file is damaged or does not match its architecture, or if the plugin that
    provides the architecture is not installed. Raises DataError if the file does not match the given
    `sha256`.
    """
    path = Path(path)
    card, container = read_weights(path, sha256=sha256)
    return module_of(path, card, container, registry).to(device).eval(), card


@torch.inference_mode(False)
def module_of(path: Path, card: Card, container: Container, registry: Registry) -> nn.Module:
    """Return the model of a file whose content was read. Raises WeightsError in the same cases as `load`."""
    entry = _trusted(card, path, registry)
    _check_plan(path, entry, card, container)
    tensors = unpack(container.tensors.values())
    model = build_model(entry, card.arguments)
    if name := not_finite(tensors, infinite_buffers(model)):
        raise WeightsError(f"{path}: {name} has values that are not finite")
    model.load_state_dict(with_ties(tensors, model))
    return model


def bit_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors have the same type, shape and bits, also for NaN and negative zero."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(*(each.detach().contiguous().reshape(-1).view(torch.uint8) for each in (one, other)))


def pack(tensors: Mapping[str, torch.Tensor]) -> list[StoredTensor]:
    """Return tensors as bytes to write. Raises WeightsError for a dtype that no file can hold."""
    packed: list[StoredTensor] = []
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise WeightsError(f"{name} has dtype {tensor.dtype}, which a weights file cannot store")
        flat = tensor.detach().cpu().resolve_conj().contiguous().reshape(-1).view(torch.uint8)
        data = memoryview(flat.numpy())  # pyright: ignore[reportArgumentType]
        packed.append(StoredTensor(name, _DTYPES[tensor.dtype], tuple(tensor.shape), data))
    return packed


def unpack(stored: Iterable[StoredTensor]) -> dict[str, torch.Tensor]:
    """Return tensors that share memory with the bytes read."""
    return {
        tensor.name: torch.frombuffer(tensor.data, dtype=_TORCH_DTYPES[tensor.dtype]).reshape(tensor.shape)
        if tensor.data.nbytes
        else torch.empty(tensor.shape, dtype=_TORCH_DTYPES[tensor.dtype])
        for tensor in stored
    }


def _trusted(card: Card, path: Path, registry: Registry) -> Entry[ArchitectureSpec]:
    """Return the architecture of a card, after checking that it is installed and has all its arguments.

    Raises WeightsError also if the card's `preprocess` is missing or does not match its dims.
    """
    origin = card.versions.get("plugin", "an unknown distribution")
    try:
        task = make_task(registry, card.task)
        entry = registry.architecture(card.architecture)
    except UnknownName as error:
        message = f"{path} requires {card.architecture}, which no installed plugin provides ({error})"
        hint = f"the file was written with {origin}; `zoo plugins` lists the installed plugins"
        if (file := origin.partition(" ")[0]).endswith(".py"):
            hint = f"it was written with {file}: pass that file with --plugin or $ZOO_PLUGIN_FILES"
        if card.architecture.startswith(f"{LOCAL}/"):
            message, hint = f"{path}: {error}", error.hint
        raise WeightsError(message, hint=hint) from error
    if not registry.serves(entry, card.task):
        raise WeightsError(f"{path} is for {card.task}, but {entry.name} is for {entry.spec.task}")
    unknown = [name for name in card.arguments if name not in declared(entry.load())]
    if unknown:
        raise WeightsError(f"{path}: this version of {entry.name} has no argument {', '.join(unknown)}")
    try:
        task.processor.check_feeding(card.preprocess, card.arguments)
    except OptionError as error:
        raise WeightsError(f"{path}: its card is invalid: {error}", hint=error.hint) from None
    warn_of_another_version(path, card, entry.plugin)
    return entry


def warn_of_another_version(path: Path, card: Card, plugin: Plugin) -> None:
    """Warn if a file was written with a version of its plugin that may have built a different model."""
    name, _, before = card.versions.get("plugin", "").rpartition(" ")
    ours, _, now = plugin.edition.rpartition(" ")
    if plugin.ours or name != ours or not now:
        return
    if plugin.dist is None and before != now:
        warn(f"the source of {card.architecture} has changed since {path} was written")
    elif plugin.dist is not None and _release(before) != _release(now):
        then = f"{path} was written with {name} {before}, but {now} is installed"
        warn(f"{then}, which may build {card.architecture} differently")


def _release(version: str) -> str:
    """Return the part of a version that signals breaking changes: major or, before 1.0, minor."""
    major, _, rest = version.partition(".")
    return f"0.{rest.partition('.')[0]}" if major == "0" else major


def _check_plan(path: Path, entry: Entry[ArchitectureSpec], card: Card, container: Container) -> None:
    """Build the model on the meta device; raise WeightsError unless the file has its tensors."""
    reason = f"{path} does not match its architecture"
    with on_meta(), _no_larger_than(len(container.tensors) + len(card.tied), reason):
        planned = build_model(entry, card.arguments)
    expected = planned.state_dict()
    matrices = set(_matrices(planned))
    have = container.tensors.keys() | card.tied.keys()
    missing = sorted(expected.keys() - have) or sorted(set(card.tied.values()) - container.tensors.keys())
    extra = sorted(have - expected.keys())
    if missing or extra:
        parts = [f"lacks {name}" for name in missing[:1]]
        parts += [f"has {name}, which the model lacks" for name in extra[:1]]
        raise WeightsError(f"{reason}: it {' and '.join(parts)}")
    for name, tensor in expected.items():
        held = container.tensors[card.tied.get(name, name)]
        there, here = f"{held.dtype} {[*held.shape]}", f"{_DTYPES.get(tensor.dtype)} {[*tensor.shape]}"
        halved = held.dtype == "BF16" and held.shape == tuple(tensor.shape) and name in matrices
        if there != here and not halved:
            raise WeightsError(f"{reason}: {name} is {there} in the file, but {here} in the model")
    needed = sum(tensor.nbytes for tensor in (*planned.parameters(), *planned.buffers()))
    if needed > 2 * container.size + _SPARE:
        raise WeightsError(
            f"{reason}: the model would need {needed:,} bytes, but the file has only {container.size:,}"
        )


class _Building(threading.local):
    """The number of tensors and layers that this thread's model may still register; None for no limit."""

    left: dict[str, int] | None = None
    reason = ""

    def count(self, what: str) -> None:
        if self.left is not None:
            self.left[what] -= 1
            if self.left[what] < 0:
                raise WeightsError(f"{self.reason}, but the model has far more {what}")


_building = _Building()
_REGISTERING = threading.Lock()


@contextlib.contextmanager
def _no_larger_than(count: int, reason: str) -> Generator[None]:
    """Raise WeightsError if a model built in the `with` block has far more tensors or layers than `count`.

    Some tensors and layers are not in the file: tensors that a constructor replaces, buffers that are not
    saved, and layers without parameters. Several are therefore allowed for each tensor in the file, and more
    for a small file. torch has only global hooks for this. They are never removed, since removal would break
    threads that are building a model, but they count only in this `with` block and in this thread.
    """
    with _REGISTERING:
        _register_hooks()
    _building.reason = f"{reason}: it has {count} tensors"
    _building.left = {
        "parameters": 4 * count + 100,
        "buffers": 40 * count + 1_000,
        "layers": 40 * count + 1_000,
    }
    try:
        yield
    finally:
        _building.left = None


@functools.cache
def _register_hooks() -> None:
    register_module_parameter_registration_hook(lambda *_: _building.count("parameters"))
    register_module_buffer_registration_hook(lambda *_: _building.count("buffers"))
    register_module_module_registration_hook(lambda *_: _building.count("layers"))
