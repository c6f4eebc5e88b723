"""Checks of an exporter, on two small models of the kit's own: a classifier, and a step of text."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.errors import MissingModule, PluginError, SpecError, WeightsError, first_line
from zoo.files.cards import Card, DatasetCard
from zoo.files.exported import Port, Program, Signature, metadata_of
from zoo.interfaces import Exportable, Exporter
from zoo.registry.provided import provided
from zoo.testing._case import Case, Skip, message
from zoo.testing._fresh import Fresh
from zoo.testing._models import drawing_from

__all__ = [
    "equal_models_equal_files",
    "programs_answer_alike",
    "reads_without_torch",
    "refuses_what_it_did_not_write",
]

_BATCHES = (1, 2, 5, 64)


def programs_answer_alike(case: Case) -> None:
    """What is written gives the model's outputs to 1e-4, for a batch of any size."""
    exporter, silently = _exporter(case), _tracing(case, "silently")
    for model in _models(case):
        try:
            with silently():
                content = exporter.write(model)
                program = exporter.start(content, model.signature, 1)
            distances = {size: _distance(model, program, size) for size in _BATCHES}
        except Exception as error:
            raise AssertionError(
                message(
                    expected=f"a program with {', '.join(port.name for port in model.signature.outputs)}",
                    got=f"{type(error).__name__}: {first_line(error)}",
                    usually="a batch that is kept as the 2 of the example, or outputs by other names",
                )
            ) from error
        wrong = [size for size, distance in distances.items() if not distance <= 1e-4]
        assert not wrong, message(
            expected="the outputs of the model",
            got=f"a difference of {distances[wrong[0]]:.2g} in a batch of {wrong[0]}" if wrong else "",
            usually="inputs or outputs in another order than in the signature",
        )
        _written(case).append(content)


def equal_models_equal_files(case: Case) -> None:
    """Equal models give equal bytes, in which nothing says where or when they were written."""
    exporter, silently = _exporter(case), _tracing(case, "silently")
    for model, one in zip(_models(case), _written(case), strict=True):
        with silently():
            again = exporter.write(model)
        assert one == again, message(
            expected="equal bytes of equal models",
            got="others",
            usually="a time, a random id, or an unsorted set",
        )
        places = [Path.cwd(), Path.home(), sys.prefix, tempfile.gettempdir(), Path(torch.__file__).parents[1]]
        found = [place for place in map(str, places) if len(place) > 1 and place.encode() in one]
        assert not found, message(
            expected="a file without a path of this machine",
            got=found[0] if found else "",
            usually="stack traces that torch keeps with each node; `Exportable.trace` removes them",
        )


def reads_without_torch(case: Case) -> None:
    """A file is read and run without torch, and gives back its card, its signature and its answers."""
    if not _has_reader(case):
        return
    with tempfile.TemporaryDirectory(prefix="zoo-check-") as folder:
        path = Path(folder) / f"model{case.spec.suffix}"
        path.write_bytes(_written(case)[1])
        model = [*_models(case)][1]
        inputs = {name: array.tolist() for name, array in _synthetic(model.signature, 2).items()}
        answer = Fresh(case.plugin).ask("exported", exporter=case.spec.name, path=str(path), inputs=inputs)
    try:
        read = json.loads(answer)
    except ValueError:
        read = dict[str, Any](error=answer)
    assert "error" not in read, message(
        expected="a reader that works without torch",
        got=read.get("error", ""),
        usually="`import torch` at the top of the reader's module, or no Exported",
    )
    ours = json.loads(json.dumps({"card": _card().to_dict(), "signature": asdict(model.signature)}))
    differing = [key for key, value in ours.items() if read[key] != value]
    assert not differing, message(
        expected="what was written",
        got=f"another {' and another '.join(differing)}",
        usually="a reader that does not use zoo.plugin.parse_metadata",
    )
    distance = _distance(model, partial(_given, read["outputs"]), 2)
    assert distance <= 1e-4, message(
        expected="the outputs of the model from a file that was read",
        got=f"a difference of {distance:.2g}",
        usually="another file, or other inputs",
    )


def refuses_what_it_did_not_write(case: Case) -> None:
    """A WeightsError refuses a file that is empty, cut off, changed, or of another kind."""
    if not _has_reader(case):
        return
    read, whole = case.spec.load_reader(), _written(case)[0]
    middle = len(whole) // 2
    contents = {
        "an empty file": b"",
        "a text": b"What does this model say?\n" * 100,
        "a file cut off": whole[:middle],
        "a file with a flipped bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "a missing file": None,
    }
    for what, content in contents.items():
        with tempfile.TemporaryDirectory(prefix="zoo-check-") as folder:
            path = Path(folder) / f"model{case.spec.suffix}"
            if content is not None:
                path.write_bytes(content)
            ended = _ended(read, path)
        assert ended == "WeightsError", message(
            expected=f"a WeightsError for {what}",
            got=ended,
            usually="a file without a checksum, or an error of a library that is not caught",
        )


def _has_reader(case: Case) -> bool:
    """Return whether files can be read. Raises Skip if what reads them cannot be had."""
    try:
        return bool(case.spec.reader and case.spec.load_reader())
    except SpecError as error:  # which targets_resolve finds, unless it is for want of the extra
        raise Skip(str(error)) from None


def _written(case: Case) -> list[bytes]:
    """Return what the exporter wrote of both models in its first check."""
    return case.shared.setdefault(f"written {case.label}", [])


def _given(outputs: dict[str, Any], _: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return outputs that were read, as a program does."""
    return {name: np.array(value) for name, value in outputs.items()}


def _exporter(case: Case) -> Exporter:
    """Return the exporter. Raises Skip if its target cannot be had."""
    try:
        made = case.spec.load()()
    except MissingModule as error:
        why = f"; the extra {case.spec.extra} installs it" if case.spec.extra else ""
        raise Skip(f"{error}{why}") from None
    except SpecError as error:  # which targets_resolve finds
        raise Skip(str(error)) from None
    assert isinstance(made, Exporter), message(
        expected="a zoo.interfaces.Exporter",
        got=type(made).__name__,
        usually="a class that does not subclass it",
    )
    return made


def _ended(read: Callable[[Path], Any], path: Path) -> str:
    """Return how reading a file ended."""
    try:
        found = read(path)
    except Exception as error:
        return (
            "WeightsError"
            if isinstance(error, WeightsError)
            else f"{type(error).__name__}: {first_line(error)}"
        )
    return f"a {type(found).__name__}"


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


def _models(case: Case) -> Iterator[Exportable]:
    with drawing_from(0):
        classifier, step = _Classifier().eval(), _Step().eval()
    images = Port(name="inputs", dtype="uint8", shape=(None, 3, 8, 8))
    logits = Port(name="logits", dtype="float32", shape=(None, 5))
    shares = Port(name="probabilities", dtype="float32", shape=(None, 5))
    yield _exportable(case, classifier, Signature(inputs=(images,), outputs=(logits, shares)))
    tokens = Port(name="tokens", dtype="int64", shape=(None,))
    state = Port(name="state", dtype="float32", shape=(1, None, 6))
    following = Port(name="next_state", dtype="float32", shape=(1, None, 6))
    logits = Port(name="logits", dtype="float32", shape=(None, 7))
    names = {"state": "next_state"}
    signature = Signature(inputs=(tokens, state), outputs=(logits, following), state=names)
    yield _exportable(case, step, signature)


def _exportable(case: Case, module: nn.Module, signature: Signature) -> Exportable:
    inputs = {name: torch.from_numpy(array) for name, array in _synthetic(signature, 2).items()}
    return Exportable(
        module=module,
        inputs=inputs,
        signature=signature,
        metadata=metadata_of(_card(), signature),
        trace=partial(_tracing(case, "trace"), module, inputs, signature),
    )


def _tracing(case: Case, name: str) -> Any:
    """Return a function of zoo's own exporters. Raises Skip if their plugin is not loaded."""
    try:
        return provided("zoo_export.tracing", name, case.registry)
    except PluginError as error:
        raise Skip(str(error)) from None


def _card() -> Card:
    return Card(
        architecture="kit/small",
        arguments={},
        task="kit",
        dataset=DatasetCard(name="kit/none", options={}, fingerprint=""),
        preprocess={"classes": ["a", "b", "c", "d", "é"]},
        training={},
        seed=0,
        progress={},
        metrics={},
        versions={},
    )


def _synthetic(signature: Signature, batch: int) -> dict[str, NDArray[Any]]:
    """Return random inputs for a batch of some size, the same each time."""
    random = np.random.default_rng(batch)
    arrays: dict[str, NDArray[Any]] = {}
    for port in signature.inputs:
        shape = [batch if size is None else size for size in port.shape]
        numbers = random.random(shape) * {"uint8": 256, "int64": 7}.get(port.dtype, 1)
        arrays[port.name] = numbers.astype(port.dtype)
    return arrays


def _distance(model: Exportable, program: Program, batch: int) -> float:
    """Return the largest difference between the outputs of a model and of a program."""
    inputs = _synthetic(model.signature, batch)
    with torch.no_grad():
        ours = model.module(*(torch.from_numpy(array) for array in inputs.values()))
    theirs = program(inputs)
    return max(
        float(np.abs(one.numpy() - theirs[port.name]).max())
        for one, port in zip(ours, model.signature.outputs, strict=True)
    )
