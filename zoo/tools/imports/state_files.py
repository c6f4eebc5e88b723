"""Read the tensors of a file that another program wrote: safetensors here, a pickle in another process.

Tensors are mapped, so that only those that a model needs are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import safetensors
from torch import Tensor

from zoo.errors import WeightsError, first_line
from zoo.files.regular import open_regular, read_regular
from zoo.tools.imports.unpickler import ANSWER, TENSORS

# The first torch whose restricted unpickler does not corrupt memory (CVE-2026-24747)
_SAFE = (2, 10)
# Bytes of memory, besides four times those of the file, that opening a pickle may take
_MEMORY = 1 << 29
# Seconds that opening a pickle may take in all, with the start of the process, and of CPU time
_SECONDS, _CPU = 120, 10
# Bytes that are read in a second at least, bytes of a list of names, and bytes of a header
_RATE, _MOST_NAMES, _MOST_HEADER = 10_000_000, 50_000_000, 10_000_000
_EXPECTED = "expected a state dict: a .pth, .pt or .bin file written by torch.save, or a .safetensors file"
_SAVE = "in the program that wrote it, save only the tensors: torch.save(model.state_dict(), FILE)"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The tensors of a file.

    Attributes:
        tensors: the tensors by name.
        others: names of values that are not tensors.
        ordered: whether the tensors are in the order in which the program's model has them.
        sha256: the sha256 of the file.
    """

    tensors: dict[str, Tensor]
    others: list[str]
    ordered: bool
    sha256: str


def read_state(path: Path) -> State:
    """Return the tensors of a state dict in a file. A pickle is opened in a separate process.

    Raises WeightsError if the file is missing or damaged, or if it is not a state dict.
    """
    try:
        with open_regular(path) as file:
            start = file.read(9)
            if start[8:] == b"{":
                tensors, others, ordered = _from_safetensors(path, start), list[str](), False
            elif start.startswith((b"PK\x03\x04", b"\x80")):
                (tensors, others), ordered = _from_pickle(path, file), True
            else:
                what = "neither a safetensors file nor a file that torch.save wrote" if start else "empty"
                raise WeightsError(f"{path} is {what}", hint=_EXPECTED)
            with os.fdopen(os.dup(file.fileno()), "rb", buffering=0) as raw:  # the process has read from it
                raw.seek(0)
                sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
    except FileNotFoundError:
        raise WeightsError(f"no such file: {path}", hint=_EXPECTED) from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}", hint=_EXPECTED) from None
    if not tensors:
        raise WeightsError(f"{path} contains no tensors", hint=_EXPECTED)
    return State(tensors=tensors, others=others, ordered=ordered, sha256=sha256)


def _from_safetensors(path: Path, start: bytes) -> dict[str, Tensor]:
    if int.from_bytes(start[:8], "little") > _MOST_HEADER:
        raise WeightsError(f"{path} is damaged: its header has more than {_MOST_HEADER:,} bytes")
    try:
        tensors, metadata = _mapped(path)
    except (safetensors.SafetensorError, RuntimeError, TypeError) as error:  # the last two are torch's
        raise WeightsError(f"{path} is damaged: {first_line(error)}") from None
    if "zoo" in metadata:
        hint = "use it directly: every command accepts its path"
        raise WeightsError(f"{path} is already a zoo weights file", hint=hint)
    return tensors


def _mapped(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file, and its metadata."""
    with open_regular(path), safetensors.safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _from_pickle(path: Path, file: IO[bytes]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a file that `torch.save` wrote, in its order, and the names of other values."""
    _require_safe_torch(version("torch"))
    status = os.fstat(file.fileno())
    is_sparse = os.lseek(file.fileno(), 0, os.SEEK_HOLE) < status.st_size
    stored = min(status.st_size, status.st_blocks * 512) if is_sparse else status.st_size
    with tempfile.TemporaryDirectory(prefix="zoo-import-") as folder:
        _unpickle(path, file, Path(folder), memory=4 * stored + _MEMORY, more=stored // _RATE)
        try:
            answer = _answer(path, Path(folder) / ANSWER)
            numbered, _ = _mapped(Path(folder) / TENSORS)
            names = {str(name): numbered[str(number)] for number, name in enumerate(answer["names"])}
            return names, [*map(str, answer["others"])]
        except (ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError):
            message = f"{path} cannot be read: the process that opened it did not return tensors"
            raise WeightsError(message, hint=_EXPECTED) from None


def _require_safe_torch(installed: str) -> None:
    """Raise WeightsError if torch's restricted unpickler has a known vulnerability."""
    if tuple(map(int, re.findall(r"\d+", installed)[:2])) < _SAFE:
        message = f"opening a pickle requires torch 2.10 or newer (got {installed})"
        hint = "older versions are vulnerable (CVE-2026-24747): upgrade torch, or use a safetensors file"
        raise WeightsError(message, hint=hint)


def _unpickle(path: Path, file: IO[bytes], folder: Path, *, memory: int, more: int) -> None:
    """Run `zoo.tools.imports.unpickler` on a file, in a folder. Raises WeightsError if its process fails.

    Args:
        more: seconds that a large file may take besides the usual ones.
    """
    search = os.pathsep.join(str(Path(place).absolute()) for place in sys.path if place)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "zoo.tools.imports.unpickler", str(memory), str(_CPU + more)],
        stdin=file,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        start_new_session=True,  # a Ctrl-C is for the caller, which then ends it
    )
    try:
        code = process.wait(_SECONDS + more)
    except subprocess.TimeoutExpired:
        code = -signal.SIGXCPU
    finally:
        with suppress(ProcessLookupError):  # and what it may have started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code == -signal.SIGXCPU:
        raise WeightsError(f"{path} cannot be read: opening it takes too long", hint=_EXPECTED)
    if code:
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        message = f"{path} cannot be read: the process that opened it crashed ({ended})"
        raise WeightsError(message, hint=_EXPECTED)


def _answer(path: Path, file: Path) -> dict[str, Any]:
    """Return what the process found. Raises WeightsError if the file cannot be read."""
    answer: dict[str, Any] = json.loads(read_regular(file, most=_MOST_NAMES))
    if name := answer.get("global"):
        message = f"{path} contains Python objects besides tensors, such as {name}, which zoo does not load"
        raise WeightsError(message, hint=_SAVE)
    if "memory" in answer:
        raise WeightsError(f"{path} cannot be read: opening it requires too much memory", hint=_EXPECTED)
    if error := answer.get("error"):
        raise WeightsError(f"{path} cannot be read: {error}", hint=_EXPECTED)
    return answer
