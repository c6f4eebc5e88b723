"""Open a user's pickle, a file that `torch.save` wrote, in a separate process. No other code of zoo does.

`zoo.tools.imports.state_files` starts the process in an empty folder, with the file as stdin, and ends it.
The process reads the file with torch's restricted unpickler, which creates only tensors and plain containers.
The memory, the time and the size of the files that the process writes are limited. Nothing else confines the
process: it runs under the user's account.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import psutil
import safetensors.torch
import torch

from zoo.errors import cause

# The files that the process writes: names and errors as JSON, and the tensors, named by their numbers
ANSWER, TENSORS = "answer.json", "tensors.safetensors"
# Keys under which training programs store the state dict of the model
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
# The maximum depth of nested dicts in which a state dict is looked for
_DEEPEST = 4


def main() -> None:
    """Read the file on stdin, and write what it contains into the current folder."""
    memory, seconds = map(int, sys.argv[1:])
    _limit(memory, seconds)
    try:
        answer = _read(sys.stdin.buffer)
    except MemoryError:
        answer = {"memory": True}
    except Exception as error:
        answer = _described(error)
    Path(ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    os._exit(0)  # without running code that the file may have registered


def _limit(memory: int, seconds: int) -> None:
    """Limit the memory and the CPU time that this process uses from now on, and the files that it writes."""
    used = psutil.Process().memory_info().vms
    limits = {
        resource.RLIMIT_AS: used + memory,
        resource.RLIMIT_CPU: int(time.process_time()) + seconds,
        resource.RLIMIT_FSIZE: memory,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in limits.items():
        with suppress(ValueError, OSError):  # it is lower already, or macOS does not have it
            resource.setrlimit(limit, (most, most + 1))  # at the lower one, SIGXCPU tells why it ends


def _read(file: IO[bytes]) -> dict[str, Any]:
    """Write the tensors of a file, and return their names, in order, and those of other values.

    Raises ValueError, and any error from torch, zipfile or safetensors.
    """
    _require_stored(file)
    found = torch.load(file, map_location="cpu", weights_only=True)
    state = _state_dict(found)
    named = {str(name): value for name, value in state.items()}
    tensors = {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise ValueError(f"{name} is a sparse or quantized tensor, which zoo does not support")
    copies = (tensor.detach().clone(memory_format=torch.contiguous_format) for tensor in tensors.values())
    safetensors.torch.save_file({str(n): copy for n, copy in enumerate(copies)}, TENSORS)
    return {"names": [*tensors], "others": [name for name in named if name not in tensors]}


def _require_stored(file: IO[bytes]) -> None:
    """Raise ValueError if a zip archive is larger than its file: torch does not compress what it saves."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4) == b"PK\x03\x04":
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > size:
            raise ValueError("its records are compressed, but torch.save does not compress records")
    file.seek(0)


def _state_dict(found: object) -> Mapping[object, object]:
    """Return the state dict in an object that was saved. Raises ValueError if there is none."""
    for _ in range(_DEEPEST):
        if not isinstance(found, Mapping):
            break
        table = cast("Mapping[object, object]", found)
        inner = next((table[key] for key in WRAPPERS if isinstance(table.get(key), Mapping)), None)
        if inner is None:
            if any(isinstance(value, torch.Tensor) for value in table.values()):
                return table
            break
        found = inner
    raise ValueError("it contains no state dict, a dict of tensors by name")


def _described(error: Exception) -> dict[str, Any]:
    """Describe why torch, zipfile or safetensors cannot read a file."""
    text = str(error)
    if named := re.search(r"GLOBAL (\S+)", text):
        return {"global": named[1]}
    if isinstance(error, zipfile.BadZipFile):
        return {"error": "it is truncated or damaged"}
    if "PytorchStreamReader" in text or "inline_container" in text:
        return {"error": "it is damaged, or a zip archive from another program"}
    if "allocate" in text and "memory" in text:
        return {"memory": True}
    if "TorchScript" in text:
        return {"error": "it is a TorchScript archive, which contains code"}
    if type(error) is ValueError:
        return {"error": text}
    if "Weights only load failed" in text:  # torch goes on to recommend unsafe loading
        return {"error": "it is damaged, or it is not a state dict"}
    return {"error": f"torch.load rejects it: {cause(error):.200}"}


if __name__ == "__main__":
    main()
