"""A Card is what a weights file says of itself: all that is needed to use, judge and remake the model.

It is one canonical JSON text under the key `zoo` of the safetensors metadata, readable without torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from zoo.config import options
from zoo.errors import OptionError, WeightsError
from zoo.files.storage import Header, canonical_json, parse_json, read_header
from zoo.registry.specs import TaskName

__all__ = ["SCHEMA", "Card", "DatasetCard", "read_card"]

SCHEMA = 2
READABLE = (1, 2)
"""Files of schema 1 have no seal, and their cards no `changes`."""
KEY = "zoo"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCard:
    """The data a model learned from."""

    name: str
    options: dict[str, Any]
    fingerprint: str
    """sha256 of the data as used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a weights file says of itself."""

    schema: int = SCHEMA
    architecture: str
    """Full name, such as `charrnn/lstm`."""
    arguments: dict[str, Any]
    """Every argument the model was built with, the task's dims included."""
    task: TaskName
    dataset: DatasetCard
    preprocess: dict[str, Any]
    """How to feed the model new input: the vocabulary, or size, mean, std and classes."""
    recipe: dict[str, Any]
    seed: int
    progress: dict[str, int]
    """`epochs` and `steps` trained."""
    metrics: dict[str, dict[str, float]]
    """By split."""
    start: dict[str, str] = field(default_factory=dict[str, str])
    """What training started from, if not from random weights: its `architecture`, `dataset` and `sha256`."""
    changes: tuple[str, ...] = ()
    """What was changed in the course of training, and when: the recipe is what held at the end."""
    versions: dict[str, str]
    """Of zoo, torch and, under `plugin`, the distribution that brings the architecture."""
    sha256: str = ""
    """Of the tensor bytes."""
    tied: dict[str, str] = field(default_factory=dict[str, str])
    """Tensors that are the same as another: name to the name that is stored."""

    def to_dict(self) -> dict[str, Any]:
        """Return the card as JSON data."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the card as canonical JSON."""
        return canonical_json(self.to_dict())


def read_card(path: Path) -> tuple[Card, Header]:
    """Return a file's card and header. Raises WeightsError if it is no zoo weights file."""
    header = read_header(path)
    text = header.metadata.get(KEY)
    if text is None:
        raise WeightsError(
            f"{path} is a safetensors file without a zoo card",
            hint="zoo reads the model.safetensors that `zoo train` writes",
        )
    card = parse_card(text, path)
    if card.schema > 1 and not header.sealed:
        raise WeightsError(
            f"{path} is damaged: its header lacks its sha256", hint="copy or download it again"
        )
    return card, header


def parse_card(text: str, path: Path) -> Card:
    """Read a card's JSON. Raises WeightsError naming the file and what is wrong with the card."""
    try:
        data = parse_json(text)
    except ValueError:
        raise WeightsError(f"{path} is damaged: its card is not JSON") from None
    schema = cast("dict[str, Any]", data).get("schema") if isinstance(data, dict) else None
    if type(schema) is not int or schema not in READABLE:
        told = " and ".join(map(str, READABLE))
        raise WeightsError(
            f"{path} has a card of schema {schema!r:.40}, and this zoo reads {told}",
            hint="a newer zoo wrote it: pip install --upgrade zoo-registry",
        )
    try:
        options.check_names(data, Card.__dataclass_fields__, what="the card")
        return options.convert(data, Card, what="the card")
    except OptionError as error:
        raise WeightsError(f"{path}: {error}") from None
