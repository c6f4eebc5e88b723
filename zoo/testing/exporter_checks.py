"""Checks of an exporter, on two small models of the kit: a classifier, and a step of a language model."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.errors import SpecError, WeightsError, cause, first_line
from zoo.files.exported import Signature
from zoo.interfaces import Exportable
from zoo.models.runners import Arrays, ProgramRunner
from zoo.testing._case import Case, Failure, Inapplicable, Skip, failing, message
from zoo.testing._data import empty_folder
from zoo.testing._exportable_models import card, exporter_of, models, synthetic, write
from zoo.testing._fresh import Fresh, ask_shared
from zoo.tools.export.fresh_process import fresh_process

# The first is that of the example
_BATCHES = (2, 1, 5, 64)
# Differences that lower precision explains, relative to the largest output
_SMALL = 0.02
# A word, but not the hex digits of a hash, which differ whatever differs
_WORD = re.compile(rb"(?<![\w.+:-])[\w.+:-]{3,39}(?![\w.+:-])")


def programs_answer_alike(case: Case) -> None:
    """The written program, run in a new process, matches the model's outputs to 1e-4, for any batch size.

    Writing does not change the model or torch's settings.
    """
    if case.spec.reader:
        _require_reader(case)  # which targets_resolve finds, if it cannot be had
    written = _written(case)
    with fresh_process(case.spec, case.registry, 1) as start:
        for model, content in zip(models(), written, strict=True):
            wanted = {size: _outputs(model, size) for size in _BATCHES}
            found: dict[int, Arrays] = {}
            with failing(
                expected=f"a program with {', '.join(port.name for port in model.signature.outputs)}",
                usually=partial(_cause_of_no_answer, found),
            ):
                program = ProgramRunner(start(content, model.signature), model.signature, name="the program")
                for size in _BATCHES:
                    found[size] = _answers(program, model.signature, size)
            far = {size: _distance(wanted[size], found[size]) for size in _BATCHES}
            wrong = [size for size, distance in far.items() if not distance <= 1e-4]
            assert not wrong, message(
                expected="the outputs of the model",
                got=f"a difference of {far[wrong[0]]:.2g} in a batch of {wrong[0]}" if wrong else "",
                usually=_cause_of_difference(wanted, found, wrong),
            )


def _cause_of_no_answer(found: Mapping[int, Arrays], error: Exception) -> str:
    """Return the usual cause of a program's error, given the batch sizes that worked."""
    if found:
        return f"the example's batch size {_BATCHES[0]} fixed in the file"
    if " must return " in first_line(error):
        return "outputs whose names, types or shapes do not match the signature"
    return (
        "a `start` or reader that needs data that `write` kept in memory or another file; it runs in a new "
        "process with only the content"
    )


def _cause_of_difference(
    wanted: Mapping[int, Arrays], found: Mapping[int, Arrays], wrong: Collection[int]
) -> str:
    """Return the usual cause of differences for the batch sizes `wrong`."""
    if len(wrong) < len(wanted):
        return "the example's batch size 2 fixed in the file, or a mean over the batch"
    size = max(wanted)
    for name, output in found[size].items():
        for other, array in wanted[size].items():
            if other != name and array.shape == output.shape and np.allclose(array, output, atol=1e-4):
                return "outputs in a different order than in the signature"
    largest = max(float(np.abs(array).max()) for array in wanted[size].values())
    if _distance(wanted[size], found[size]) <= _SMALL * largest:
        return "arithmetic in lower precision, or a changed weight"
    return "weights of a different model, or a layer written as a different layer"


def equal_models_equal_files(case: Case) -> None:
    """Equal models produce equal bytes in any process, and the bytes contain no path from this machine."""
    places = [Path.cwd(), Path.home(), sys.prefix, tempfile.gettempdir(), Path(torch.__file__).parents[1]]
    for one in _written(case):
        found = [place for place in map(str, places) if len(place) > 1 and place.encode() in one]
        assert not found, message(
            expected="a file without paths from this machine",
            got=found[0] if found else "",
            usually="stack traces that torch keeps with each node; `Exportable.trace` removes them",
        )
    with empty_folder() as folder:
        time.sleep(1)  # or a time in seconds may be the same
        with failing(
            expected="the file that a new process writes for the same models",
            usually="a setting or a loaded module that a new process lacks",
        ):
            ask_shared(case, "write", exporter=case.entry.name, folder=str(folder))
        again = [file.read_bytes() for file in sorted(folder.iterdir())]
    for one, other in zip(_written(case), again, strict=True):
        if one != other:
            got, usually = _difference(one, other)
            raise Failure(
                expected="equal bytes for equal models, from two processes", got=got, usually=usually
            )


def _difference(one: bytes, other: bytes) -> tuple[str, str]:
    """Return the first words or bytes that differ between two files, and the usual cause."""
    words = [word for word in _WORD.finditer(one) if other[slice(*word.span())] != word[0]]
    moved = {*_WORD.findall(other)}
    first = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    usually = "a time, a random id, a process id, a memory address, or a counter"
    if one.startswith(b"\x1f\x8b") and 4 <= first < 8:
        words, usually = [], "the time in gzip's header; pass `mtime=0`"
    elif len(one) == len(other) and 2 * sum(word[0] in moved for word in words) > len(words):
        usually = "an unsorted set or folder: the same words are in a different order"
    places = [word.span() for word in words[:3]] or [(first, first + 8)]
    got = (f"{one[start:end]!r} and {other[start:end]!r} at byte {start:,}" for start, end in places)
    return "; ".join(got), usually


def reads_without_torch(case: Case) -> None:
    """A file can be read and run without torch; its card, signature and outputs match the model's."""
    _require_reader(case)
    with empty_folder() as folder:
        path = folder / f"model{case.spec.suffix}"
        path.write_bytes(_written(case)[1])
        model = [*models()][1]
        inputs = {name: array.tolist() for name, array in synthetic(model.signature, 2).items()}
        with failing(
            expected="a reader that works without torch",
            usually="`import torch` at the top of the reader's module, or a result that is not an Exported",
        ):
            read = Fresh(case.plugin).ask("exported", exporter=case.spec.name, path=str(path), inputs=inputs)
    ours = json.loads(json.dumps({"card": card().to_dict(), "signature": asdict(model.signature)}))
    differing = [key for key, value in ours.items() if read[key] != value]
    assert not differing, message(
        expected="the metadata that was written",
        got=f"a different {' and a different '.join(differing)}",
        usually="a reader that does not use zoo.plugin.parse_metadata",
    )
    outputs = {name: np.array(value) for name, value in read["outputs"].items()}
    distance = _distance(_outputs(model, 2), outputs)
    assert distance <= 1e-4, message(
        expected="the model's outputs from a file that was read",
        got=f"a difference of {distance:.2g}",
        usually="a different file, or different inputs",
    )


def refuses_what_it_did_not_write(case: Case) -> None:
    """Reading a file that is empty, truncated, changed, or of a different type raises a WeightsError."""
    _require_reader(case)
    read, whole = case.spec.load_reader(), _written(case)[0]
    middle = len(whole) // 2
    contents = {
        "an empty file": b"",
        "a text file": b"What does this model say?\n" * 100,
        "a truncated file": whole[:middle],
        "a file with a flipped bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "a missing file": None,
    }
    for what, content in contents.items():
        with empty_folder() as folder:
            path = folder / f"model{case.spec.suffix}"
            if content is not None:
                path.write_bytes(content)
            ended = _ended(read, path)
        assert ended == "WeightsError", message(
            expected=f"a WeightsError for {what}",
            got=ended,
            usually="a file without a checksum, or an uncaught error of a library",
        )


def _require_reader(case: Case) -> None:
    """Raise Inapplicable if the exporter has no reader, and Skip if the reader cannot be imported."""
    if not case.spec.reader:
        raise Inapplicable("it has no reader")
    try:
        case.spec.load_reader()
    except SpecError as error:  # which targets_resolve finds, unless it is for want of the extra
        raise Skip(str(error)) from None


def _written(case: Case) -> list[bytes]:
    """Return the files of both models."""

    def write_both() -> list[bytes]:
        exporter = exporter_of(case)
        return [write(exporter, model) for model in models()]

    return case.kept("written", write_both)


def _ended(read: Callable[[Path], Any], path: Path) -> str:
    """Describe how reading a file ended."""
    try:
        found = read(path)
    except Exception as error:
        return "WeightsError" if isinstance(error, WeightsError) else cause(error)
    return f"a {type(found).__name__}"


def _outputs(model: Exportable, batch: int) -> Arrays:
    """Return the outputs of a model for a batch of a given size."""
    inputs = synthetic(model.signature, batch)
    with torch.no_grad():
        outputs = model.module(*(torch.from_numpy(array) for array in inputs.values()))
    return {port.name: out.numpy() for port, out in zip(model.signature.outputs, outputs, strict=True)}


def _answers(program: ProgramRunner, signature: Signature, batch: int) -> Arrays:
    """Return the outputs of a program for a batch of a given size, which must match its signature."""
    items, *state = synthetic(signature, batch).values()
    if not signature.state:
        return program.run(items)
    outputs, following = program.step(items[None], dict(zip(signature.state, state, strict=True)))
    return {name: output[0] for name, output in outputs.items()} | {
        after: following[before] for before, after in signature.state.items()
    }


def _distance(wanted: Arrays, found: Arrays) -> float:
    """Return the largest difference between outputs."""
    return float(np.max([np.abs(array - found[name]).max() for name, array in wanted.items()]))
