"""Run ONNX files with ONNX Runtime, on the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from zoo.files.exported import Program, Signature

# Read when it is imported: from 1.29 on it reports the models that it runs to Microsoft unless this is set
_TELEMETRY = "ORT_DISABLE_TELEMETRY"
_before = os.environ.get(_TELEMETRY)
os.environ[_TELEMETRY] = "1"
import onnxruntime  # noqa: E402 - after the setting

if _before is None:
    del os.environ[_TELEMETRY]
else:
    os.environ[_TELEMETRY] = _before

# Only fatal errors are printed; all others are exceptions
_FATAL = 4


def start(content: bytes, signature: Signature, threads: int) -> Program:
    """Return the program of an ONNX file's content."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait for work without sleeping are worth it for the short steps of a language model only:
    # they keep others from their cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if signature.state else "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")  # not whatever it looks like
    options.log_severity_level = _FATAL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run
