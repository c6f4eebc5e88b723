"""The kit's models for exporters (a classifier and a step of a language model), and exported files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.errors import SpecError
from zoo.files.cards import Card
from zoo.files.exported import Port, Signature, metadata_of
from zoo.interfaces import Exportable, Exporter
from zoo.testing._case import Case, failing, message, require_instance, without_extra
from zoo.testing._models import drawing_from, made_up_card
from zoo.testing._process import differences, settings
from zoo.tools.export import export_weights
from zoo.tools.export.traced_program import trace


def write_models(case: Case, folder: Path) -> None:
    """Write each of the kit's models to a file, in a different order than the checks, to detect counters."""
    exporter = exporter_of(case)
    for number, model in reversed([*enumerate(models())]):
        (folder / str(number)).write_bytes(write(exporter, model))


def write(exporter: Exporter, model: Exportable) -> bytes:
    """Return the bytes that an exporter writes. Raises AssertionError if it fails or changes the model."""
    before = settings()
    with failing(
        expected="the content of a file",
        usually="inputs or outputs of types and shapes that the exporter does not expect",
    ):
        content, changed = export_weights.write(exporter, model)
    changed = [*changed, *differences(before, settings())]
    assert not changed, message(
        expected="a model and torch settings that writing does not change",
        got=f"a change in {', '.join(changed[:3])}",
        usually="weights or modes changed without a copy of `model.module`, or a setting not restored",
    )
    return content


def exporter_of(case: Case) -> Exporter:
    """Return the exporter. Raises Skip if its target cannot be imported."""
    try:
        made = case.spec.load()()
    except SpecError as error:  # which targets_resolve finds, unless it is for want of the extra
        raise without_extra(case.spec, error) from None
    usually = "a class that does not subclass Exporter"
    require_instance(made, Exporter, "a zoo.interfaces.Exporter", usually=usually)
    return made


def models() -> Iterator[Exportable]:
    """Yield both models, identical each time."""
    with drawing_from(0):
        classifier, step = _Classifier().eval(), _Step().eval()
    images = Port(name="inputs", dtype="uint8", shape=(None, 3, 8, 8))
    logits = Port(name="logits", dtype="float32", shape=(None, 5))
    shares = Port(name="probabilities", dtype="float32", shape=(None, 5))
    yield _exportable(classifier, Signature(inputs=(images,), outputs=(logits, shares)))
    tokens = Port(name="tokens", dtype="int64", shape=(None,))
    state = Port(name="state", dtype="float32", shape=(1, None, 6))
    following = Port(name="next_state", dtype="float32", shape=(1, None, 6))
    logits = Port(name="logits", dtype="float32", shape=(None, 7))
    names = {"state": "next_state"}
    signature = Signature(inputs=(tokens, state), outputs=(logits, following), state=names)
    yield _exportable(step, signature)


def _exportable(module: nn.Module, signature: Signature) -> Exportable:
    inputs = {name: torch.from_numpy(array) for name, array in synthetic(signature, 2).items()}
    return Exportable(
        module=module,
        inputs=inputs,
        signature=signature,
        metadata=metadata_of(card(), signature, {}),
        trace=partial(trace, module, inputs, signature),
    )


def card() -> Card:
    """Return the card that both models share."""
    return made_up_card("kit", arguments={}, preprocess={"classes": ["a", "b", "c", "d", "é"]})


def synthetic(signature: Signature, batch: int) -> dict[str, NDArray[Any]]:
    """Return random inputs for a batch of a given size, the same each time."""
    random = np.random.default_rng(batch)
    arrays: dict[str, NDArray[Any]] = {}
    for port in signature.inputs:
        shape = [batch if size is None else size for size in port.shape]
        numbers = random.random(shape) * {"uint8": 256, "int64": 7}.get(port.dtype, 1)
        arrays[port.name] = numbers.astype(port.dtype)
    return arrays


class _Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.out(self.conv(images / 255).relu().mean((2, 3)))
        return logits, logits.softmax(1)


class _Step(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn, self.out = nn.Embedding(7, 4), nn.GRU(4, 6), nn.Linear(6, 7)

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        output, hidden = self.rnn(self.embedding(tokens)[None], state[0])
        return self.out(output[0]), hidden
