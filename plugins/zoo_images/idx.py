"""The idx format of MNIST: a magic number, the size of each dimension as 4 big-endian bytes, then the data.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section on file formats.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo import DataError

# The type code of unsigned bytes
_BYTES = 8


def read_idx(path: Path, *, dims: int) -> Tensor:
    """Return the data of a gzipped idx file of bytes as a uint8 tensor of `dims` dimensions.

    Raises DataError if the gzip file is damaged, or if its header or length is wrong.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}") from None
    magic = bytes((0, 0, _BYTES, dims))
    start = 4 + 4 * dims
    if content[:4] != magic or len(content) < start:
        raise DataError(
            f"{path} is not an idx file of bytes in {dims} dimensions: it must begin with {magic.hex(' ')} "
            f"and {dims} sizes of 4 bytes (got {content[:start].hex(' ') or 'nothing'})"
        )
    shape = struct.unpack_from(f">{dims}I", content, 4)
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path} must have {' × '.join(map(str, shape))} bytes of data, as its header says "
            f"(got {len(content) - start:,})"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def read_pair(images: Path, labels: Path, *, classes: int) -> tuple[Tensor, Tensor]:
    """Return images, uint8 (N, H, W), and labels, int64 (N,).

    Raises DataError as `read_idx` does, and if the number of labels differs or a label is out of range.
    """
    pixels, numbers = read_idx(images, dims=3), read_idx(labels, dims=1)
    if len(pixels) != len(numbers):
        raise DataError(f"{labels} has {len(numbers):,} labels, but {images} has {len(pixels):,} images")
    if len(numbers) and int(numbers.max()) >= classes:
        raise DataError(f"{labels}: labels must be below {classes} (got {int(numbers.max())})")
    return pixels, numbers.long()
