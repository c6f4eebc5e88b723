"""Torch's own pt2 files, which are only written: reading one that somebody else wrote can run their code."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from zoo.interfaces import Exportable, Exporter
from zoo.plugin import Program, Signature, silently, traced

__all__ = ["Pt2Exporter"]


class Pt2Exporter(Exporter):
    """Writes a program of torch.export."""

    def write(self, model: Exportable) -> bytes:
        program = traced(model)
        program._example_inputs = None  # pyright: ignore[reportPrivateUsage] - which would be pickled
        file = io.BytesIO()
        with silently():
            torch.export.save(program, file, extra_files=dict(model.metadata))
        return file.getvalue()

    def start(self, content: bytes, signature: Signature, threads: int) -> Program:
        with silently():
            module = torch.export.load(io.BytesIO(content)).module()
        names = [port.name for port in signature.outputs]

        def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            with torch.no_grad():
                outputs = module(*(torch.from_numpy(array) for array in inputs.values()))
            return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}

        return run
