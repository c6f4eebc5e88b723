"""The idx format of MNIST: a magic number, the length of each dimension as 4 big-endian bytes, then the data.

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

_BYTES = 8
"""The format's number for unsigned bytes."""


def read_idx(path: Path, *, dims: int) -> Tensor:
    """Return the data of a gzipped idx file of bytes as a uint8 tensor of `dims` dimensions.

    Raises DataError naming the file that is no whole gzip file, begins otherwise, or has another length than
    its header says.
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
            f"{path} is not an idx file of bytes in {dims} dimensions: it begins with "
            f"{content[:4].hex(' ') or 'nothing'}, expected {magic.hex(' ')} and {dims} lengths"
        )
    shape = struct.unpack_from(f">{dims}I", content, 4)
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path} holds {len(content) - start:,} bytes of data, and its header promises "
            f"{' × '.join(map(str, shape))}"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def read_pair(images: Path, labels: Path, *, classes: int) -> tuple[Tensor, Tensor]:
    """Return images (N, H, W) uint8 and their labels (N,) int64.

    Raises DataError as `read_idx` does, and for labels of another number or beyond `classes`.
    """
    pixels, numbers = read_idx(images, dims=3), read_idx(labels, dims=1)
    if len(pixels) != len(numbers):
        raise DataError(f"{labels} has {len(numbers):,} labels, and {images} has {len(pixels):,} images")
    if len(numbers) and int(numbers.max()) >= classes:
        raise DataError(f"{labels} has the label {int(numbers.max())}; there are {classes} classes, from 0")
    return pixels, numbers.long()
