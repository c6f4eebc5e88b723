"""A Card is the metadata of a weights file: everything needed to use, evaluate and rebuild the model.

It is stored as a canonical JSON string under the key `zoo` of the safetensors metadata, and can be read
without torch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from zoo.config import options
from zoo.errors import OptionError, WeightsError
from zoo.files.canonical import canonical_json, parse_json
from zoo.files.container import (
    Container,
    damaged,
    importing,
    read_container,
    read_metadata,
    tensor_sha256,
)

SCHEMA = 4
KEY = "zoo"
# The key of the other metadata of a checkpoint, which is read only to resume a run
CHECKPOINT = "zoo-checkpoint"
# The dataset of weights from elsewhere whose training data is not known
UNKNOWN_DATA = "unknown data"
# Bytes of a card, and marks of JSON in it, which bound its values; 100,000 words take about as many bytes
_LARGEST = 1_000_000
_MOST_MARKS = 200_000


class DatasetCard(msgspec.Struct, frozen=True, kw_only=True):
    """The data that a model was trained on.

    Attributes:
        fingerprint: sha256 of the data that was used.
    """

    name: str
    options: dict[str, Any]
    fingerprint: str


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The cost and environment of a training run; unknown values are empty or 0.

    Attributes:
        commit: commit of the git checkout with the architecture's code; empty if the code was not in a
            checkout.
        dirty: whether the checkout had uncommitted changes.
        threads: number of threads that torch used.
        processor: name of the CPU.
        device: `cpu`, or the name of the GPU.
        date: the day on which the weights were written, such as `2026-11-28`, in UTC.
        seconds: duration of the training.
    """

    commit: str = ""
    dirty: bool = False
    threads: int = 0
    processor: str = ""
    device: str = ""
    date: str = ""
    seconds: float = 0.0


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of a weights file.

    Attributes:
        architecture: full name, such as `charrnn/lstm`.
        arguments: every argument that the model was built with, including the task's dims.
        preprocess: how to prepare new inputs for the model: the vocabulary, or size, mean, std and classes.
        training: the training configuration.
        progress: number of `epochs` and `steps` trained.
        metrics: metrics by split.
        intervals: the 95% confidence interval of each metric, by split; empty unless they were measured.
        by_seed: the primary metric of the same training with multiple seeds, starting with this model's seed;
            empty if there is only one seed.
        base_model: the weights that training started from, if any: their `architecture`, `dataset` and
            `sha256`; for imported weights, the `file` that they come from and its `sha256`.
        calibration: the `temperature` by which the logits were divided after training, fitted on `count`
            items of the val split, with its expected calibration error (`ece`) and loss, before and after;
            empty if the model was not calibrated.
        changes: options changed during training, and when; `training` is the final configuration.
        environment: cost and environment of the training.
        versions: versions of zoo and torch and, under `plugin`, of the distribution that provides the
            architecture.
        sha256: sha256 of the tensor bytes.
        tied: maps the name of each tensor that shares another tensor's storage to the name that is stored.
    """

    schema: int = SCHEMA
    architecture: str
    arguments: dict[str, Any]
    task: str
    dataset: DatasetCard
    preprocess: dict[str, Any]
    training: dict[str, Any]
    seed: int
    progress: dict[str, int]
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    by_seed: dict[str, float] = {}
    base_model: dict[str, str] = {}
    calibration: dict[str, float] = {}
    changes: tuple[str, ...] = ()
    environment: Environment = Environment()
    versions: dict[str, str]
    sha256: str = ""
    tied: dict[str, str] = {}

    def to_dict(self) -> dict[str, Any]:
        """Return the card as JSON data."""
        fields = msgspec.structs.asdict(self)
        parts = {name: msgspec.structs.asdict(fields[name]) for name in ("dataset", "environment")}
        return copy.deepcopy(fields | parts)

    def to_json(self) -> str:
        """Return the card as canonical JSON."""
        return canonical_json(self.to_dict())


def read_card(path: Path) -> Card:
    """Return a file's card. Raises WeightsError if the file is damaged or is not a zoo weights file."""
    return read_weights(path)[0]


def read_weights(path: Path, *, sha256: str = "") -> tuple[Card, Container]:
    """Return a file's card and content, after verifying every byte.

    For a run's checkpoint, return the content that its weights file would have, with averaged weights if
    there are any.

    Raises WeightsError if the file is damaged or not a zoo weights file, and DataError if it does not match
    the given `sha256`.
    """
    container = read_container(path, sha256=sha256)
    card = _card(container.metadata, path)
    if not container.has_checksum:
        raise damaged(path, "its header has no checksum")
    if container.tensor_sha256 != card.sha256:
        raise damaged(path, "the sha256 of its tensors does not match its card")
    return _without_the_rest(card, container) if CHECKPOINT in container.metadata else (card, container)


def read_header(path: Path) -> Card:
    """Return the card of a file of any size quickly, without reading its tensors, which may be damaged.

    Raises WeightsError if the header is damaged, or the file is not a zoo weights file.
    """
    return _card(read_metadata(path), path)


def _card(metadata: Mapping[str, str], path: Path) -> Card:
    text = metadata.get(KEY)
    if text is None:
        raise WeightsError(f"{path} is a safetensors file without a zoo model card", hint=importing(path))
    return parse_card(text, path)


def _without_the_rest(card: Card, container: Container) -> tuple[Card, Container]:
    """Return the card and the weights of a checkpoint, without the rest of the training state."""
    prefix = "average/" if any(name.startswith("average/") for name in container.tensors) else "model/"
    theirs = [tensor for name, tensor in container.tensors.items() if name.startswith(prefix)]
    tensors = [msgspec.structs.replace(tensor, name=tensor.name.removeprefix(prefix)) for tensor in theirs]
    sha256 = tensor_sha256(tensors)
    size = sum(tensor.data.nbytes for tensor in tensors)
    named = {tensor.name: tensor for tensor in tensors}
    container = msgspec.structs.replace(container, tensors=named, tensor_sha256=sha256, size=size)
    return msgspec.structs.replace(card, sha256=sha256), container


def too_large(text: str) -> bool:
    """Return whether the JSON of a card has more bytes or values than zoo accepts."""
    return len(text.encode()) > _LARGEST or sum(map(text.count, ",[{")) > _MOST_MARKS


def parse_card(text: str, path: Path) -> Card:
    """Parse a card's JSON. Raises WeightsError with the file and the problem."""
    if too_large(text):
        raise WeightsError(f"{path}: the card is larger than {_LARGEST:,} bytes or has too many values")
    try:
        data = parse_json(text)
    except ValueError:
        raise damaged(path, "its card is not valid JSON") from None
    schema = cast("dict[str, Any]", data).get("schema") if isinstance(data, dict) else None
    if type(schema) is not int or schema != SCHEMA:
        message = f"{path}: the card has schema {schema!r:.40}, but this version of zoo reads schema {SCHEMA}"
        raise WeightsError(message, hint="the file may have been written by a different version of zoo")
    try:
        options.check_names(data, Card.__struct_fields__, what="the card")
        return options.convert_table(data, Card, what="the card")
    except OptionError as error:
        raise WeightsError(f"{path}: {error}") from None
