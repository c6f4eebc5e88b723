"""An exported file: its metadata and signature, and the result of its format's reader. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo.config import options
from zoo.errors import OptionError, WeightsError
from zoo.files.canonical import canonical_json, parse_json
from zoo.files.cards import KEY, Card, parse_card
from zoo.files.container import damaged

# Maps named NumPy arrays to named NumPy arrays; thread-safe
Program = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_SIGNATURE, _OPTIONS = "zoo_signature", "zoo_options"
# The output with the features of each item
FEATURES = "features"

Size = Annotated[int, Meta(ge=0, lt=2**31)]
Number = Literal["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or an output of a program.

    Attributes:
        dtype: its data type, as NumPy calls it.
        shape: its shape, with None for the batch axis, if there is one.
    """

    name: str
    dtype: Number
    shape: tuple[Size | None, ...]

    def shown(self) -> str:
        """Return the type and shape as text."""
        return f"{self.dtype} ({', '.join('batch' if size is None else str(size) for size in self.shape)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The inputs and outputs of a program.

    Attributes:
        inputs: the items of a batch, as in a split of a dataset, such as uint8 images; or one token of each
            text in the batch, followed by the parts of the state.
        outputs: first `logits`, or `outputs` for a model that predicts numbers; then the `probabilities` of
            the classes, or the parts of the state after the token; then, if the model has features,
            `features`: a vector for each item, or for each text after the token; then, if a linear layer
            reads the mean of the feature maps, the class activation maps `class_maps` (batch, classes, h, w)
            and the feature maps themselves, `feature_maps` (batch, F, h, w).
        state: maps each input that is a part of the state to the output with its next value; the initial
            state is zeros.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    state: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The result of a reader, before any code in the file has run.

    Attributes:
        size: size of the file in bytes.
        facts: other facts about the file, such as `{"opset": "20"}`.
        start: function that returns the program in the file, to run on a number of threads.
        sha256: sha256 of the bytes that were read and that `start` runs, to compare with a pinned hash.
    """

    card: Card
    signature: Signature
    size: int
    facts: Mapping[str, str]
    start: Callable[[int], Program]
    sha256: str = ""


def metadata_of(card: Card, signature: Signature, exporting: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of an exported file as strings by key, which any format can store.

    The metadata includes the class names as a JSON list, for users without zoo.

    Args:
        exporting: the options of the exporter that the user set.
    """
    classes = card.preprocess.get("classes")
    more = {"classes": canonical_json(classes)} if classes else {}
    if exporting:
        more[_OPTIONS] = canonical_json(exporting)
    return {KEY: card.to_json(), _SIGNATURE: canonical_json(asdict(signature)), **more}


def parse_metadata(metadata: Mapping[str, str], path: Path) -> tuple[Card, Signature]:
    """Parse the card and the signature of a file. Raises WeightsError if they are missing or invalid."""
    if KEY not in metadata or _SIGNATURE not in metadata:
        hint = "zoo can only run files that `zoo export` wrote"
        raise WeightsError(f"{path} is a {path.suffix} file without a zoo card", hint=hint)
    card = parse_card(metadata[KEY], path)
    try:
        signature = options.convert_table(parse_json(metadata[_SIGNATURE]), Signature, what="the signature")
        _check(signature)
    except (OptionError, ValueError) as error:
        raise damaged(path, f"its signature is invalid: {error}") from None
    return card, signature


def _check(signature: Signature) -> None:
    """Raise ValueError for a signature that is not valid."""
    inputs, outputs = ({port.name: port for port in ports} for ports in (signature.inputs, signature.outputs))
    if not inputs or not outputs or len(inputs) + len(outputs) < len(signature.inputs + signature.outputs):
        raise ValueError("it lacks inputs or outputs, or has duplicate names")
    for port in (*inputs.values(), *outputs.values()):
        if port.shape.count(None) > 1:
            raise ValueError(f"{port.name} has the invalid shape {list[Any](port.shape)}")
    if [*inputs][1:] != [port.name for port in signature.inputs if port.name in signature.state]:
        raise ValueError("its state does not match its inputs")
    for before, after in signature.state.items():
        if after not in outputs or replace(outputs[after], name=before) != inputs[before]:
            raise ValueError(f"the state {before} does not match the output {after}")
