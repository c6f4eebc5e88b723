"""Exporters for the kit's own tests: those that fail a check, made from an honest one."""

import copy
import dataclasses
import gzip
import itertools
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import torch

from zoo.interfaces import Exporter
from zoo.tools.export.onnx_fields import with_checksum
from zoo.tools.export.onnx_writer import OnnxExporter
from zoo.tools.export.pt2_writer import Pt2Exporter, program_of
from zoo.tools.export.traced_program import trace


class WritesOnce(OnnxExporter):
    """Honest, and quick: the models of the kit are always the same."""

    _written: ClassVar = {}

    def write(self, model):
        key = repr(model.signature)
        if key not in self._written:
            self._written[key] = super().write(model)
        return self._written[key]


class IgnoresItsLevel(WritesOnce):
    def __init__(self, *, level: int = 9):
        super().__init__()


class UntypedLevel(WritesOnce):
    def __init__(self, *, level=9):
        super().__init__()
        self._level = level


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


class GivesOneOutput(Pt2Exporter):
    def start(self, content, signature, threads):
        program = super().start(content, signature, threads)
        return lambda inputs: dict([*program(inputs).items()][:1])


class SaysMore(WritesOnce):
    """Writes one more text into the file."""

    def text(self):
        raise NotImplementedError

    def write(self, model):
        proto = onnx.ModelProto.FromString(super().write(model))
        texts = [(each.key, each.value) for each in proto.metadata_props if each.key != "zoo_sha256"]
        del proto.metadata_props[:]
        for key, value in [*texts, ("zz", self.text())]:
            proto.metadata_props.add(key=key, value=value)
        return with_checksum(proto)


class SaysWhen(SaysMore):
    def text(self):
        return str(time.time_ns())


class SaysWhere(SaysMore):
    def text(self):
        return str(Path.cwd())


class SaysHowMany(SaysMore):
    count = itertools.count()

    def text(self):
        return f"number {next(self.count)}"


class SaysMoreEachTime(WritesOnce):
    """Begins with a longer number each time, which moves all that follows it."""

    count = itertools.count()

    def write(self, model):
        proto = onnx.ModelProto.FromString(super().write(model))
        del proto.metadata_props[-1]  # the checksum
        proto.producer_name = f"number {10 ** next(self.count)}"
        return with_checksum(proto)


class SaysASet(SaysMore):
    def text(self):
        return " ".join({f"name-{n}" for n in range(20)})


class KeepsTheModel(Exporter):
    """Writes garbage, and runs the model that it was given."""

    def write(self, model):
        self._model = model
        return b"nothing"

    def start(self, content, signature, threads):
        return program_of(self._model.module, signature)


class KeepsItInAFile(Pt2Exporter):
    """Writes a file beside, and only its name into the content."""

    def write(self, model):
        Path("kept.pt2").write_bytes(super().write(model))
        return b"kept.pt2"

    def start(self, content, signature, threads):
        return super().start(Path(content.decode()).read_bytes(), signature, threads)


class HalvesAWeight(Pt2Exporter):
    def write(self, model):
        with torch.no_grad():
            next(model.module.parameters()).mul_(0.5)
        return super().write(model)


class LeavesTrainingMode(Pt2Exporter):
    def write(self, model):
        content = super().write(model)
        model.module.train()
        return content


class Freezes(Pt2Exporter):
    def write(self, model):
        return super().write(dataclasses.replace(model, module=model.module.requires_grad_(False)))


class LeavesGradientsOff(Pt2Exporter):
    def write(self, model):
        torch.set_grad_enabled(False)
        return super().write(model)


class AddsAThousandth(Pt2Exporter):
    def start(self, content, signature, threads):
        program = super().start(content, signature, threads)
        return lambda inputs: {name: array + np.float32(1e-3) for name, array in program(inputs).items()}


class GivesFloat64(Pt2Exporter):
    def start(self, content, signature, threads):
        program = super().start(content, signature, threads)
        return lambda inputs: {name: array.astype(np.float64) for name, array in program(inputs).items()}


class NormalizesBatches(Pt2Exporter):
    """Right for two items, whose mean it does not use."""

    def start(self, content, signature, threads):
        program = super().start(content, signature, threads)

        def run(inputs):
            outputs = program(inputs)
            return {name: a - (a.ndim == 2 and len(a) > 2) * a.mean(0) for name, a in outputs.items()}

        return run


class WritesZeros(Pt2Exporter):
    def write(self, model):
        zeros = copy.deepcopy(model.module)
        for parameter in zeros.parameters():
            parameter.data.zero_()
        program = trace(zeros, model.inputs, model.signature)
        return super().write(dataclasses.replace(model, trace=lambda: program))


class ZipsWithATime(Pt2Exporter):
    def write(self, model):
        return gzip.compress(super().write(model))

    def start(self, content, signature, threads):
        return super().start(gzip.decompress(content), signature, threads)
