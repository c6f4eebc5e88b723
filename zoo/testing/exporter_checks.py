"""Checks of an exporter, on two small models of the kit's own: a classifier, and a step of text."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.errors import SpecError, WeightsError, ZooError, cause, first_line
from zoo.files.exported import Signature
from zoo.interfaces import Exportable
from zoo.models.runners import Arrays, ProgramRunner
from zoo.testing._case import Case, Skip, message
from zoo.testing._exporting import card, exporter_of, models, provided_here, synthetic, write
from zoo.testing._fresh import Fresh

__all__ = [
    "equal_models_equal_files",
    "programs_answer_alike",
    "reads_without_torch",
    "refuses_what_it_did_not_write",
]

# The first is that of the example
_BATCHES = (2, 1, 5, 64)
# Differences that lower precision explains, relative to the largest output
_SMALL = 0.02
# Why words differ, the most telling first
_CAUSES = ("the id of the process", "a time", "a random id, or an address in memory")
# Letters of a sha1 and of a sha256, which differ whatever differs
_DIGESTS = (40, 64)
# Words; and those that may be a random id, or a time or the id of a process
_WORD, _ID = re.compile(rb"[\w.+-]{3,}"), re.compile(rb"[0-9a-f-]{8,}|\d[\d:.T+-]{2,}")


def programs_answer_alike(case: Case) -> None:
    """What is written, run in a new process, gives the model's outputs to 1e-4, for a batch of any size.

    Writing leaves the model and the settings of torch as they are.
    """
    _has_reader(case)  # which targets_resolve finds, if it cannot be had
    exporter, fresh_process = exporter_of(case), provided_here(case, "starting", "fresh_process")
    with fresh_process(case.spec, case.registry, 1) as start:
        for model in models(case):
            wanted = {size: _outputs(model, size) for size in _BATCHES}
            content = write(case, exporter, model)
            found: dict[int, Arrays] = {}
            try:
                program = ProgramRunner(start(content, model.signature), model.signature, name="the program")
                for size in _BATCHES:
                    found[size] = _answers(program, model.signature, size)
            except Exception as error:
                raise AssertionError(
                    message(
                        expected=f"a program with {', '.join(port.name for port in model.signature.outputs)}",
                        got=first_line(error) if isinstance(error, ZooError) else cause(error),
                        usually=_cause_of_no_answer(error, found),
                    )
                ) from error
            far = {size: _distance(wanted[size], found[size]) for size in _BATCHES}
            wrong = [size for size, distance in far.items() if not distance <= 1e-4]
            assert not wrong, message(
                expected="the outputs of the model",
                got=f"a difference of {far[wrong[0]]:.2g} in a batch of {wrong[0]}" if wrong else "",
                usually=_cause_of_difference(wanted, found, wrong),
            )
            _written(case).append(content)


def _cause_of_no_answer(error: Exception, found: Mapping[int, Arrays]) -> str:
    """Return the usual cause of an error of a program that has answered for batches of some sizes."""
    if found:
        return f"a batch that is kept as the {_BATCHES[0]} of the example"
    if " should give " in first_line(error):
        return "outputs of other names, types or shapes than in the signature"
    return (
        "a `start`, or a reader, that needs what `write` kept in memory or in another file; it is called in "
        "a new process, with the content alone"
    )


def _cause_of_difference(
    wanted: Mapping[int, Arrays], found: Mapping[int, Arrays], wrong: Collection[int]
) -> str:
    """Return the usual cause of differences in batches of the sizes `wrong`."""
    if len(wrong) < len(wanted):
        return "a batch that is kept as the 2 of the example, or a mean over the batch"
    size = max(wanted)
    for name, output in found[size].items():
        for other, array in wanted[size].items():
            if other != name and array.shape == output.shape and np.allclose(array, output, atol=1e-4):
                return "outputs in another order than in the signature"
    largest = max(float(np.abs(array).max()) for array in wanted[size].values())
    if _distance(wanted[size], found[size]) <= _SMALL * largest:
        return "arithmetic in lower precision, or a changed weight"
    return "other weights than the model's, or a layer that is written as another one"


def equal_models_equal_files(case: Case) -> None:
    """Equal models give equal bytes, in any process, and nothing in them says where they were written."""
    places = [Path.cwd(), Path.home(), sys.prefix, tempfile.gettempdir(), Path(torch.__file__).parents[1]]
    for one in _written(case):
        found = [place for place in map(str, places) if len(place) > 1 and place.encode() in one]
        assert not found, message(
            expected="a file without a path of this machine",
            got=found[0] if found else "",
            usually="stack traces that torch keeps with each node; `Exportable.trace` removes them",
        )
    with tempfile.TemporaryDirectory(prefix="zoo-check-") as folder:
        time.sleep(1)  # or a time in seconds may be the same
        process = case.shared.pop("writing", None) or Fresh(case.plugin)
        failed = process.ask("write", exporter=case.entry and case.entry.name, folder=folder)
        assert failed == '""', message(
            expected="what a new process writes of the same models",
            got=failed,
            usually="a setting, or something loaded before, that a new process lacks",
        )
        case.shared["writing"] = process  # for the next exporter; torch takes seconds to import
        again = [file.read_bytes() for file in sorted(Path(folder).iterdir())]
    for one, other in zip(_written(case), again, strict=True):
        if one != other:
            at, usually = _first_difference(one, other)
            pieces = " and ".join(repr(content[at : at + 24]) for content in (one, other))
            raise AssertionError(
                message(
                    expected="equal bytes of equal models, from two processes",
                    got=f"{pieces} at byte {at:,} of {len(one):,}",
                    usually=usually,
                )
            )


def _first_difference(one: bytes, other: bytes) -> tuple[int, str]:
    """Return where two files differ, in the word that explains it if there is one, and the usual cause."""
    shared = min(len(one), len(other))
    differing = np.frombuffer(one[:shared], np.uint8) != np.frombuffer(other[:shared], np.uint8)
    places = np.flatnonzero(differing)
    first = int(places[0]) if len(places) else shared
    if one.startswith(b"\x1f\x8b") and 4 <= first < 8:
        return first, "the time in the header of gzip; pass `mtime=0`"
    words, ids = (
        [word for word in pattern.finditer(one) if other[slice(*word.span())] != word[0]]
        for pattern in (_WORD, _ID)
    )
    moved = {*_WORD.findall(other)}
    if 2 * sum(word[0] in moved for word in words) > len(words):
        return first, "an unsorted set or folder: the same words are in another order"
    usual = {word.start(): _cause_of_id(word[0]) for word in ids}
    for likely in _CAUSES:
        for start, found in usual.items():
            if found == likely:
                return start, likely
    return first, "a time, a random id, a counter, or an unsorted set"


def _cause_of_id(word: bytes) -> str:
    """Return which of the usual causes a word is evidence of, which differs between two files."""
    if word == str(os.getpid()).encode():
        return _CAUSES[0]
    if b":" in word or word.startswith((str(int(time.time()))[:5].encode(), time.strftime("%Y-").encode())):
        return _CAUSES[1]
    return _CAUSES[2] if len(word) >= 8 and len(word) not in _DIGESTS else ""


def reads_without_torch(case: Case) -> None:
    """A file is read and run without torch, and gives back its card, its signature and its answers."""
    if not _has_reader(case):
        return
    with tempfile.TemporaryDirectory(prefix="zoo-check-") as folder:
        path = Path(folder) / f"model{case.spec.suffix}"
        path.write_bytes(_written(case)[1])
        model = [*models(case)][1]
        inputs = {name: array.tolist() for name, array in synthetic(model.signature, 2).items()}
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
    ours = json.loads(json.dumps({"card": card().to_dict(), "signature": asdict(model.signature)}))
    differing = [key for key, value in ours.items() if read[key] != value]
    assert not differing, message(
        expected="what was written",
        got=f"another {' and another '.join(differing)}",
        usually="a reader that does not use zoo.plugin.parse_metadata",
    )
    outputs = {name: np.array(value) for name, value in read["outputs"].items()}
    distance = _distance(_outputs(model, 2), outputs)
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


def _outputs(model: Exportable, batch: int) -> Arrays:
    """Return the outputs of a model for a batch of some size."""
    inputs = synthetic(model.signature, batch)
    with torch.no_grad():
        outputs = model.module(*(torch.from_numpy(array) for array in inputs.values()))
    return {port.name: out.numpy() for port, out in zip(model.signature.outputs, outputs, strict=True)}


def _answers(program: ProgramRunner, signature: Signature, batch: int) -> Arrays:
    """Return the outputs of a program for a batch of some size, which must be those of its signature."""
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
