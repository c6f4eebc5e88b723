"""Write torch's pt2 files, which zoo does not read, because loading an untrusted file can run its code."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from zoo.files.exported import Program, Signature
from zoo.interfaces import Exportable, Exporter


class Pt2Exporter(Exporter):
    """Write a torch.export program."""

    def write(self, model: Exportable) -> bytes:
        program = model.trace()
        program._example_inputs = None  # pyright: ignore[reportPrivateUsage] - which would be pickled
        file = io.BytesIO()
        torch.export.save(program, file, extra_files=dict(model.metadata))
        return file.getvalue()

    def start(self, content: bytes, signature: Signature, threads: int) -> Program:
        return program_of(torch.export.load(io.BytesIO(content)).module(), signature)


def program_of(module: nn.Module, signature: Signature) -> Program:
    """Return a torch.export program as a function over arrays."""
    names = [port.name for port in signature.outputs]

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            outputs = module(*(torch.from_numpy(array) for array in inputs.values()))
        return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}

    return run
