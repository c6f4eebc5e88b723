"""Read an ONNX file that `zoo export` wrote. Torch-free; ONNX Runtime is imported when the file is run."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from zoo.errors import WeightsError
from zoo.files.exported import Exported, Program, parse_metadata
from zoo.files.regular import open_regular
from zoo.tools.export.onnx_fields import NotOnnx, described

# Bytes; protobuf allows no more
_LARGEST = 2**31
_HINT = "zoo can run only .onnx files that `zoo export` wrote"


def read(path: Path) -> Exported:
    """Return the content of a file without running any of it.

    Raises WeightsError if it cannot be read, is damaged, or is not an ONNX file from zoo.
    """
    try:
        with open_regular(path) as file:
            size, first = os.fstat(file.fileno()).st_size, file.read(1)
            if size >= _LARGEST or first != b"\x08":  # the tag of ir_version
                raise WeightsError(f"{path} cannot be used: it is not an ONNX model", hint=_HINT)
            content = first + file.read(_LARGEST)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
    try:
        found = described(content)
    except NotOnnx as error:
        raise WeightsError(f"{path} cannot be used: {error}", hint=_HINT) from None
    card, signature = parse_metadata(found.texts, path)
    if found.checksum is None:
        raise WeightsError(f"{path} is damaged: it has no checksum", hint="export the model again")

    def run(threads: int) -> Program:
        from zoo.tools.export.onnx_runtime import start

        try:
            return start(content, signature, threads)
        except ImportError:
            raise
        except Exception as error:  # of ONNX Runtime, which has its own for everything
            raise WeightsError(f"{path} cannot be run: {str(error).strip().split(chr(10))[0]}") from None

    facts = {"operators": f"ONNX opset {found.opset}"}
    digest = sha256(content).hexdigest()
    return Exported(card=card, signature=signature, size=len(content), facts=facts, start=run, sha256=digest)
