"""Image files that are decoded on every read, for datasets whose decoded images do not fit on the disk.

Worker processes read ahead. An item depends only on its index, so a run that resumes within an epoch only
requests the remaining batches: the loader has no state to save.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from zoo import DataError
from zoo.plugin import read_image

# The most processes that decode
_MOST_WORKERS = 8


class FileSplit:
    """A map-style dataset of image files and their labels.

    Args:
        files: the file of each image. See `zoo.interfaces.HasFiles`.
        labels: int64 (N,); or uint8 (N, K), 1 for each class that an image belongs to.
        shape: (channels, size, size), the shape of the images that the model reads.
    """

    def __init__(self, files: Sequence[Path], labels: Tensor, shape: tuple[int, int, int]) -> None:
        self.files = files
        self.labels = labels
        self.shape = shape

    def subset(self, indices: Sequence[int]) -> FileSplit:
        """Return the images with these indices as a split."""
        return FileSplit([self.files[index] for index in indices], self.labels[[*indices]], self.shape)

    def relabeled(self, labels: Tensor) -> FileSplit:
        """Return the same images with other labels."""
        return FileSplit(self.files, labels, self.shape)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        channels, size, _ = self.shape
        pixels, _ = read_image(self.files[index], size=size, channels=channels)
        label = self.labels[index]
        return torch.from_numpy(pixels), label if label.ndim else int(label)

    def batches(self, chosen: Sequence[Sequence[int]], /) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images (B, C, H, W) and labels of each batch of indices, in order.

        Raises DataError naming an image that cannot be read.
        """
        loader = DataLoader[Any](
            _Attempts(self),  # pyright: ignore[reportArgumentType] - any map-style dataset
            batch_sampler=[*map(list, chosen)],
            num_workers=min(_MOST_WORKERS, os.cpu_count() or 1, len(chosen)),
            collate_fn=_stacked,
            worker_init_fn=partial(_begin, os.getpid()),
            generator=torch.Generator(),  # or each epoch would draw from torch's own
        )
        for indices, images in zip(chosen, loader, strict=True):
            if isinstance(images, str):
                raise DataError(images)
            yield images, self.labels[torch.as_tensor(indices)]


class _Attempts:
    """Images, or the reason why an image cannot be read.

    A worker's error would reach the user as a traceback.
    """

    def __init__(self, split: FileSplit) -> None:
        self._split = split

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            return self._split[index][0]
        except DataError as error:
            return str(error)


def _stacked(items: Sequence[Tensor | str]) -> Tensor | str:
    images = [item for item in items if isinstance(item, Tensor)]
    reasons = [item for item in items if isinstance(item, str)]
    return reasons[0] if reasons else torch.stack(images)


def _begin(training: int, _: int) -> None:
    """Ignore Ctrl-C in a worker, since the training process handles it.

    Exit if the training process is killed.

    torch only checks the worker's parent, which is a different process if multiprocessing forks workers from
    a server.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=[training], daemon=True).start()


def _watch(training: int) -> None:
    try:
        while True:
            os.kill(training, 0)
            time.sleep(1)
    except ProcessLookupError:
        os._exit(1)
