"""Threads that decode images, apart from the models' threads, so that no large image delays a small one."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import PriorityQueue
from typing import Any, TypeVar

import numpy as np

from zoo.data.image_files import pixels_of
from zoo.errors import DataError
from zoo.processors import InputReader
from zoo.tools.serve.model_threads import settle
from zoo.tools.serve.request_inputs import Input

T = TypeVar("T")

# Pixels or bytes, whichever are more, above which an image is large
_LARGE = 2**22
# A JPEG is decoded several times as fast as other images
_JPEG = b"\xff\xd8"


class Decoder:
    """Decodes images in threads, the smallest first, and large ones one at a time.

    Images whose client has disconnected, or has been told that the request took too long, are skipped.
    """

    def __init__(self) -> None:
        self._small = _Threads(min(8, os.cpu_count() or 1))
        self._large = _Threads(1)

    async def sizes(self, contents: Sequence[bytes]) -> list[int]:
        """Return the number of pixels of each image; for a JPEG, a quarter of the number."""
        found = [self._small.run(lambda given=given: _size(given), cost=len(given)) for given in contents]
        return await asyncio.gather(*found)

    async def decode(self, reader: InputReader, images: Sequence[Input]) -> list[Input]:
        """Return images with arrays, uint8 (H, W, C), as the model sees them, or with their errors."""
        found = [
            (self._large if image.cost > _LARGE else self._small).run(
                partial(_decoded, reader, image), cost=image.cost
            )
            for image in images
        ]
        return await asyncio.gather(*found)


def _decoded(reader: InputReader, image: Input) -> Input:
    try:
        return image._replace(value=np.moveaxis(reader.read(image.value)[0], 0, -1))
    except DataError as error:
        return image._replace(error=str(error))


def _size(content: bytes) -> int:
    return pixels_of(content) // (4 if content.startswith(_JPEG) else 1)


class _Threads:
    """Threads that call functions, those of the lowest cost first."""

    def __init__(self, most: int) -> None:
        self._numbers = itertools.count()
        self._asked: PriorityQueue[tuple[int, int, Callable[[], Any], Future[Any]]] = PriorityQueue()
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="zoo-serve-decode")

    def run(self, function: Callable[[], T], *, cost: int) -> asyncio.Future[T]:
        """Await and return the result of a function, or raise its error."""
        result = Future[T]()
        self._asked.put((cost, next(self._numbers), function, result))
        self._pool.submit(self._next)
        return asyncio.wrap_future(result)

    def _next(self) -> None:
        *_, function, result = self._asked.get()
        if result.set_running_or_notify_cancel():
            settle(result, function)
