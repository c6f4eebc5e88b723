"""Images in shards, tar or Parquet files with thousands of images each, which are decoded on every read."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import PIL
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from zoo import DataError
from zoo.interfaces import SPLITS, Split
from zoo.plugin import as_image, cause, open_regular, report_work
from zoo_images.decoded_images import MAX_THREADS
from zoo_images.image_set import ImageSet, Statistics, TrainSize, statistics_from, values_of
from zoo_images.kept_array import kept_fact
from zoo_images.shard_files import Finder, Shard, read_checksums
from zoo_images.shard_index import Index, index_of, parquet_file, scan

# Images whose pixels determine the mean and the standard deviation, evenly spaced over the training split
_MEASURED = 10_000
# Rows of Parquet files whose encoded images are kept in memory
_KEPT_ROWS = 16_384
_AT_ONCE = 500


def shards(
    *,
    train: str,
    val: str = "",
    test: str = "",
    size: Annotated[int, Meta(ge=8, le=1_024)] = 64,
    channels: Literal[1, 3] = 3,
    train_size: TrainSize = 0,
    classes: tuple[str, ...] = (),
    checksums: str = "",
    download_gb: Annotated[int, Meta(ge=1)] = 100,
) -> ImageSet:
    """Read images in shards: tar files as for WebDataset, or Parquet files.

    For each image, a tar contains `KEY.jpg`, or an image of another format, and `KEY.cls`, or `KEY.json` with
    a label; other members are ignored. A Parquet file has the columns `image`, the bytes of an image file,
    and `label`. A label is an integer or a name. Images are preprocessed as in `folder`, on every read.

    Args:
        train: a shard, a folder of shards, or a pattern such as `imgs-{000..099}.tar` or `imgs-*.parquet`; or
            an https address, which may contain braces.
        val: the shards of the validation split.
        test: the shards of the test split.
        size: height and width in pixels.
        channels: 3 for color, 1 for gray.
        train_size: number of training images to use, a random sample that is always the same; 0 uses all.
        classes: names of the classes. If the labels are integers, label 0 is the first class. By default, the
            classes are the labels of the training split.
        checksums: a text file with the sha256 and the name of shards, as `sha256sum` writes it. It must list
            all shards at https addresses.
        download_gb: the most that the shards at https addresses may take in the cache.

    Raises:
        DataError: a shard is missing or damaged, or an item lacks an image or a label, or has two.
    """
    finder = Finder(read_checksums(checksums), download_gb)
    given: Mapping[Split, str] = {"train": train, "val": val, "test": test}
    found = {split: finder.find(given[split]) for split in SPLITS}
    indexes: dict[Split, list[Index]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        for done, shard in enumerate(found[split], start=1):
            indexes[split].append(index_of(shard))
            report_work(f"indexing shards of {split}", done, len(found[split]), "shards")
    distinct = {name for index in indexes["train"] for name in index.names}
    names = list(classes) or sorted(distinct, key=_natural)
    numbers = {name: number for number, name in enumerate(names)}
    if classes and all(map(str.isdecimal, distinct)) and not distinct & numbers.keys():
        numbers = {str(number): number for number in range(len(names))}
    made: dict[Split, Any] = {}
    for split in SPLITS:
        labels = _labels(found[split], indexes[split], numbers)
        made[split] = ShardSplit(found[split], indexes[split], labels, (channels, size, size))
    source = size, channels, names, [[shard.sha256 for shard in found[split]] for split in SPLITS]
    fingerprint = hashlib.sha256(repr(source).encode()).hexdigest()
    measure = partial(_statistics, made["train"])
    statistics = kept_fact("decoded/shards", (PIL.__version__, fingerprint), measure, Statistics)
    whole = ImageSet(made, classes=names, fingerprint=fingerprint, statistics=statistics)
    return whole.limited(train_size)


class ShardSplit:
    """A map-style dataset of images in shards and their labels, about 30 bytes of memory for each image.

    Args:
        shards: the shards.
        indexes: the index of each shard.
        labels: int64 (N,).
        shape: (channels, size, size), the shape of the images that the model reads.
        chosen: numbers of the images in the shards, sorted, int64 (N,); by default, all.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        indexes: Sequence[Index],
        labels: Tensor,
        shape: tuple[int, int, int],
        chosen: NDArray[np.int64] | None = None,
    ) -> None:
        self._shards, self._indexes = shards, indexes
        self._ends = np.cumsum([len(index.codes) for index in indexes], dtype=np.int64)
        self._seen = [_seen(shard) for shard in shards]
        self._groups: dict[tuple[int, int], Any] = {}
        self._chosen = chosen
        self.labels = labels
        self.shape = shape

    @property
    def shard_lengths(self) -> list[int]:
        """The number of images in each tar, and in each row group of a Parquet file."""
        lengths = [length for index in self._indexes for length in index.groups]
        if self._chosen is None:
            return lengths
        return np.diff(np.searchsorted(self._chosen, np.cumsum(lengths)), prepend=0).tolist()

    def subset(self, indices: Sequence[int]) -> ShardSplit:
        """Return the images with these indices, which are sorted, as a split."""
        places = np.asarray(indices, np.int64)
        chosen = places if self._chosen is None else self._chosen[places]
        labels = self.labels[torch.from_numpy(places)]
        return ShardSplit(self._shards, self._indexes, labels, self.shape, chosen)

    def relabeled(self, labels: Tensor) -> ShardSplit:
        """Return the same images with other labels."""
        return ShardSplit(self._shards, self._indexes, labels, self.shape, self._chosen)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self.read_batch([range(len(self))[index]])
        return images[0], int(labels[0])

    def read_batch(self, indices: Sequence[int], /) -> tuple[Tensor, Tensor]:
        places = np.asarray(indices, np.int64)
        wanted = places if self._chosen is None else self._chosen[places]
        order = np.argsort(wanted, kind="stable")
        contents: list[bytes] = [b""] * len(wanted)
        homes = np.searchsorted(self._ends, wanted, side="right")
        for shard, group in itertools.groupby(order.tolist(), key=lambda place: int(homes[place])):
            own = [*group]
            begin = self._ends[shard] - len(self._indexes[shard].codes)
            for place, content in zip(own, self._read(shard, wanted[own] - begin), strict=True):
                contents[place] = content
        channels, size, _ = self.shape
        images = np.empty((len(wanted), channels, size, size), np.uint8)

        def decode(place: int) -> None:
            try:
                images[place] = as_image(contents[place], size=size, channels=channels)
            except DataError as error:
                where = self._named(int(homes[place]), int(wanted[place]))
                raise DataError(
                    f"{where} cannot be read{str(error).partition('cannot be read')[2]}"
                ) from None

        with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
            for _ in pool.map(decode, range(len(wanted))):
                pass
        return torch.from_numpy(images), self.labels[torch.from_numpy(places)]

    def _named(self, shard: int, item: int) -> str:
        """Return the shard and the key of an item, for an error."""
        begin = self._ends[shard] - len(self._indexes[shard].codes)
        return f"{self._shards[shard].name}: key {scan(self._shards[shard])[0][item - begin].key!r}"

    def _read(self, number: int, items: Any) -> list[bytes]:
        """Return the files of some images of a shard."""
        shard, index = self._shards[number], self._indexes[number]
        if _seen(shard) != self._seen[number]:
            raise DataError(f"{shard.name} changed while it was in use")
        if not len(index.starts):
            ends = np.cumsum(index.groups)
            groups = np.searchsorted(ends, items, side="right").tolist()
            rows = (items - ends[groups] + np.asarray(index.groups)[groups]).tolist()
            return [self._row(number, group, row) for group, row in zip(groups, rows, strict=True)]
        try:
            with open_regular(shard.path) as file:
                return [
                    os.pread(file.fileno(), size, start)
                    for start, size in zip(
                        index.starts[items].tolist(), index.sizes[items].tolist(), strict=True
                    )
                ]
        except OSError as error:
            raise DataError(f"{shard.name} cannot be read: {error.strerror}") from None

    def _row(self, number: int, group: int, row: int) -> bytes:
        """Return the file of an image in a row group, which is kept for the next rows."""
        rows = self._groups.get((number, group))
        if rows is None:
            shard = self._shards[number]
            try:
                with open_regular(shard.path) as file:
                    opened = parquet_file(shard, file)
                    rows = opened.read_row_group(group, columns=["image"]).column("image")
            except OSError as error:  # pyarrow's are subclasses
                raise DataError(f"{shard.name} cannot be read: {cause(error)}") from None
            kept = self._groups
            while kept and sum(map(len, kept.values())) + len(rows) > _KEPT_ROWS:
                kept.pop(next(iter(kept)), None)
            kept[number, group] = rows
        image = rows[row].as_py()
        return (image.get("bytes") if isinstance(image, dict) else image) or b""


def _seen(shard: Shard) -> tuple[int, int]:
    try:
        status = shard.path.stat()
    except OSError as error:
        raise DataError(f"{shard.name} cannot be read: {error.strerror}") from None
    return status.st_size, status.st_mtime_ns


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts `2` before `10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _labels(shards: Sequence[Shard], indexes: Sequence[Index], numbers: Mapping[str, int]) -> Tensor:
    """Return the class number of each item. Raises DataError for a label that is not in `numbers`."""
    parts: list[Any] = [np.zeros(0, np.int64)]
    for shard, index in zip(shards, indexes, strict=True):
        parts.append(np.array([numbers.get(name, -1) for name in index.names], np.int64)[index.codes])
        if (parts[-1] < 0).any():
            item = scan(shard)[0][int(parts[-1].argmin())]
            hint = "its classes are the labels of the training split, or the option classes"
            raise DataError(f"{shard.name}: key {item.key!r} has the unknown label {item.label!r}", hint=hint)
    return torch.from_numpy(np.concatenate(parts))


def _statistics(split: ShardSplit) -> Statistics:
    """Return each channel's mean and standard deviation, from images evenly spaced over a split."""
    chosen = np.unique(np.linspace(0, len(split) - 1, min(_MEASURED, len(split))).astype(np.int64)).tolist()
    counts = torch.zeros(split.shape[0], 256, dtype=torch.int64)
    for start in range(0, len(chosen), _AT_ONCE):
        counts += values_of(split.read_batch(chosen[start : start + _AT_ONCE])[0])
        report_work("measuring images", min(start + _AT_ONCE, len(chosen)), len(chosen), "images")
    return statistics_from(counts)
