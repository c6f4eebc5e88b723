"""Exporters for the kit's own tests: those that fail a check, made from an honest one."""

import dataclasses
import time
from pathlib import Path
from typing import ClassVar

import torch

from zoo_export.onnx_writer import OnnxExporter
from zoo_export.pt2 import Pt2Exporter


class WritesOnce(OnnxExporter):
    """Honest, and quick: the models of the kit are always the same."""

    _written: ClassVar = {}

    def write(self, model):
        key = repr(model.signature)
        if key not in self._written:
            self._written[key] = super().write(model)
        return self._written[key]


class Foreign:
    """No Exporter, although it has its methods."""

    def write(self, model):
        return b""


class KeepsTheBatch(Pt2Exporter):
    def write(self, model):
        program = torch.export.export(model.module, tuple(model.inputs.values()))
        return super().write(dataclasses.replace(model, trace=lambda: program))


class SwapsOutputs(Pt2Exporter):
    def start(self, content, signature, threads):
        return super().start(
            content, dataclasses.replace(signature, outputs=signature.outputs[::-1]), threads
        )


class RoundsWeights(Pt2Exporter):
    def write(self, model):
        with torch.no_grad():
            before = [parameter.clone() for parameter in model.module.parameters()]
            for parameter in model.module.parameters():
                parameter.copy_(parameter.bfloat16())
            content = super().write(model)
            for parameter, value in zip(model.module.parameters(), before, strict=True):
                parameter.copy_(value)
        return content


class SaysWhen(Pt2Exporter):
    def write(self, model):
        return super().write(
            dataclasses.replace(model, metadata={**model.metadata, "time": str(time.time_ns())})
        )


class SaysWhere(Pt2Exporter):
    def write(self, model):
        return super().write(dataclasses.replace(model, metadata={**model.metadata, "from": str(Path.cwd())}))
