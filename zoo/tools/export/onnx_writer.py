"""Write ONNX files. A file is one graph that contains its weights, and its bytes depend only on the model."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from msgspec import Meta
from onnx import ModelProto

from zoo.interfaces import Exportable, Exporter
from zoo.tools.export.onnx_fields import with_checksum


class OnnxExporter(Exporter):
    """Write ONNX with torch's exporter. zoo runs the files with ONNX Runtime.

    Args:
        opset: version of the ONNX operators; an older inference engine may need a lower one.
    """

    def __init__(self, *, opset: Annotated[int, Meta(ge=18, le=23)] = 20) -> None:
        self._opset = opset

    def write(self, model: Exportable) -> bytes:
        inputs, outputs = (
            [port.name for port in ports] for ports in (model.signature.inputs, model.signature.outputs)
        )
        made = torch.onnx.export(
            model.trace(),
            dynamo=True,
            opset_version=self._opset,
            input_names=inputs,
            output_names=outputs,
        )
        assert made is not None
        proto: ModelProto = made.model_proto
        (written,) = (each.version for each in proto.opset_import if not each.domain)
        if written != self._opset:  # torch only warns
            raise ValueError(f"torch cannot convert the model to opset {self._opset}; use {written}")
        _strip(proto)
        for key, text in sorted(model.metadata.items()):
            proto.metadata_props.add(key=key, value=text)
        return with_checksum(proto)


def _strip(proto: ModelProto) -> None:
    """Remove torch's records of the origin of each node, and name the batch axis `batch`."""
    del proto.metadata_props[:]
    graph = proto.graph
    _forget([proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *proto.functions])
    for function in proto.functions:
        _forget(function.node)
        del function.value_info[:]
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = "batch"


def _forget(messages: Any) -> None:
    for message in messages:
        message.doc_string = ""
        del message.metadata_props[:]
