"""The idx format of MNIST: a magic number, the size of each dimension as 4 big-endian bytes, and the data.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section on file formats.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

from torch import Tensor

from zoo import DataError
from zoo.plugin import first_line, open_regular

# The most that is read of a file: the images of MNIST are 47 MB, and a gzipped file may hold far more
_MAX_BYTES = 1 << 26


def unpacked(path: Path, *, sha256: str) -> bytes:
    """Return the content of a file, decompressed if its name ends in `.gz`.

    Raises DataError if it cannot be read or decompressed, or if the sha256 of the content differs.
    """
    try:
        with open_regular(path) as file:
            packed = path.suffix == ".gz"
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(_MAX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from None
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise DataError(
            f"{path} has the wrong content: expected sha256 {sha256}, got {actual}",
            hint="copy it again, or delete it from the cache so that zoo downloads it again",
        )
    return content


def tensors(content: Tensor) -> list[Tensor]:
    """Return the data of idx files with byte elements, concatenated in an array, as uint8 tensors."""
    found: list[Tensor] = []
    while len(content):
        dims = int(content[3])
        start = 4 + 4 * dims
        shape = struct.unpack(f">{dims}I", content[4:start].numpy().tobytes())
        end = start + math.prod(shape)
        found.append(content[start:end].view(shape))
        content = content[end:]
    return found
