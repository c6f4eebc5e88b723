"""What lies where in a shard, found once and kept in the cache."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from zoo import DataError
from zoo.plugin import IMAGE_SUFFIXES, cached_files, cause, first_line, open_regular
from zoo_images.shard_files import Shard

# The version of the index, raised whenever the same shard gets another one
_FORMAT = 1
# Bytes of an encoded image, of a label, of a header in a tar, and of a row group in memory
_MAX_IMAGE, _MAX_LABEL, _MAX_HEADER, _MAX_GROUP = 1 << 28, 1 << 16, 1 << 20, 1 << 31
_LABEL_SUFFIXES = (".cls", ".json")
_LAYOUT = (
    "for each image, a tar has KEY.jpg and KEY.cls, or KEY.json with a label; Parquet has image and label"
)

_NO_LABEL = "has no label: expected a .cls member, or a .json member with a label"
_COPY = "copy or download it again"


class Index(NamedTuple):
    """The items of a shard.

    Attributes:
        starts: position of each image in a tar, int64 (N,); empty for Parquet.
        sizes: bytes of each image in a tar, int32 (N,); empty for Parquet.
        codes: each item's position in `names`, int32 (N,).
        names: the distinct labels.
        groups: the number of items in each row group; for a tar, the number of all items.
    """

    starts: NDArray[np.int64]
    sizes: NDArray[np.int32]
    codes: NDArray[np.int32]
    names: list[str]
    groups: list[int]


class _Item(NamedTuple):
    key: str
    label: str
    start: int = 0
    size: int = 0


def index_of(shard: Shard) -> Index:
    """Return the index of a shard, making it first if it is not in the cache.

    Raises DataError naming the shard and, if possible, the key, if the shard is damaged or has no images, or
    an item lacks an image or a label, or has two.
    """

    def make(folder: Path) -> None:
        items, groups = scan(shard)
        names = [*dict.fromkeys(item.label for item in items)]
        codes = {name: code for code, name in enumerate(names)}
        is_tar = shard.name.endswith(".tar")
        columns: dict[str, Any] = {
            "starts": np.array([item.start for item in items if is_tar], np.int64),
            "sizes": np.array([item.size for item in items if is_tar], np.int32),
            "codes": np.array([codes[item.label] for item in items], np.int32),
        }
        for name, column in columns.items():
            (folder / name).write_bytes(column.tobytes())
        (folder / "labels.json").write_bytes(msgspec.json.encode((names, groups)))

    found = cached_files("decoded/shards", (_FORMAT, shard.sha256), make, what="the index of a shard")
    names, groups = msgspec.json.decode(found["labels.json"], type=tuple[list[str], list[int]])
    return Index(
        np.frombuffer(found["starts"], np.int64),
        np.frombuffer(found["sizes"], np.int32),
        np.frombuffer(found["codes"], np.int32),
        names,
        groups,
    )


def scan(shard: Shard) -> tuple[list[_Item], list[int]]:
    """Return the items of a shard and the number of items in each row group. Raises as `index_of`."""
    try:
        with open_regular(shard.path) as file:
            if shard.name.endswith(".tar"):
                items = sorted(_tar_items(shard, file), key=lambda item: item.start)
                groups = [len(items)]
            else:
                items, groups = _parquet_items(shard, parquet_file(shard, file))
    except DataError:
        raise
    except Exception as error:  # of pyarrow too
        raise DataError(f"{shard.name} is damaged: {cause(error)}") from None
    if not items:
        raise DataError(f"{shard.name} contains no images", hint=_LAYOUT)
    return items, groups


class _Headers:
    """A file of which only headers are read, since one could claim to be of any length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header has {size:,} bytes")
        return self._file.read(size)


def _tar_items(shard: Shard, file: IO[bytes]) -> Iterator[_Item]:
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, str] = {}
    for key, kind, start, size in _members(shard, file):
        if kind in IMAGE_SUFFIXES:
            if key in images:
                raise _wrong(shard, key, "has two images")
            images[key] = start, size
            continue
        try:
            label = _label_of(os.pread(file.fileno(), size, start), kind)
        except ValueError as error:
            raise _wrong(shard, key, f"has no valid label: {first_line(error)}") from None
        if label is not None and labels.setdefault(key, label) != label:
            raise _wrong(shard, key, f"has two labels, {labels[key]!r} and {label!r}")
    for key in images.keys() ^ labels.keys():
        raise _wrong(shard, key, _NO_LABEL if key in images else "has a label but no image")
    for key, (start, size) in images.items():
        yield _Item(key, labels[key], start, size)


def _members(shard: Shard, file: IO[bytes]) -> Iterator[tuple[str, str, int, int]]:
    """Yield the key, the suffix, the position and the size of each image and label in a tar."""
    last, end = "", os.fstat(file.fileno()).st_size
    try:
        with tarfile.open(fileobj=cast("Any", _Headers(file)), mode="r:") as tar:
            for member in tar:
                cast("Any", tar).members.clear()  # or it would keep all of them
                last, (key, kind) = member.name, _key_of(member.name)
                if not member.isreg() or kind not in (*IMAGE_SUFFIXES, *_LABEL_SUFFIXES):
                    continue
                start, size = member.offset_data, member.size
                most = _MAX_IMAGE if kind in IMAGE_SUFFIXES else _MAX_LABEL
                if member.issparse() or not 0 <= size <= most:
                    raise _wrong(shard, key, f"has a {kind} file of {size:,} bytes, more than {most:,}")
                if start + size > end:
                    raise DataError(
                        f"{shard.name}: key {key!r} is cut off: the file is truncated", hint=_COPY
                    )
                yield key, kind, start, size
            position = tar.offset
        if os.pread(file.fileno(), 512, position) == bytes(512):
            return
        why = "the rest is missing or damaged"
    except tarfile.TarError as error:
        why = first_line(error)
    where = f"after {last!r}" if last else "from its first byte"
    raise DataError(f"{shard.name} cannot be read {where}: {why}", hint=_COPY)


def _wrong(shard: Shard, key: str, why: str) -> DataError:
    return DataError(f"{shard.name}: key {key!r} {why}")


def _key_of(name: str) -> tuple[str, str]:
    """Split the name of a member at the first dot of its last part; the suffix is in lower case.

    >>> _key_of("./cats/01.JPG")
    ('cats/01', '.jpg')
    """
    folder, _, base = name.removeprefix("./").rpartition("/")
    base, dot, suffix = base.partition(".")
    return f"{folder}/{base}" if folder else base, (dot + suffix).lower() if base else ""


def _label_of(content: bytes, kind: str) -> str | None:
    """Return the label in a .cls or .json member; None for JSON data about the image without a label."""
    if kind == ".cls":
        return as_label(content.decode().strip())
    found = msgspec.json.decode(content)
    if isinstance(found, dict):
        fields = cast("dict[str, Any]", found)
        return as_label(fields["label"]) if "label" in fields else None
    return as_label(found)


def as_label(found: Any) -> str:
    """Return a label, an integer or a name, as text. Raises ValueError for anything else."""
    if isinstance(found, str) and re.fullmatch(r"\d{1,9}", found):
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return str(found)
    if not isinstance(found, str) or not found.strip() or len(found) > 1_000:
        raise ValueError(f"expected an integer from 0 or a name (got {str(found)[:40]!r})")
    return found


def parquet_file(shard: Shard, file: IO[bytes]) -> Any:
    """Open a Parquet file. Raises DataError if pyarrow is missing, or a row group is too large."""
    try:
        from pyarrow import parquet
    except ImportError:
        hint = '`pip install "zoo-registry[data]"` installs it'
        raise DataError(f"reading {shard.name} requires pyarrow", hint=hint) from None
    opened = cast("Any", parquet).ParquetFile(file)
    for number in range(opened.num_row_groups):
        size = opened.metadata.row_group(number).total_byte_size
        if not 0 <= size <= _MAX_GROUP:
            raise DataError(
                f"{shard.name}: row group {number} has {size:,} bytes, more than {_MAX_GROUP:,}",
                hint="write smaller row groups, such as row_group_size=1000",
            )
    return opened


def _parquet_items(shard: Shard, opened: Any) -> tuple[list[_Item], list[int]]:
    names: Sequence[str] = opened.schema_arrow.names
    if missing := {"image", "label"} - {*names}:
        raise DataError(f"{shard.name} has no column {min(missing)!r} (found {', '.join(names)})")
    items: list[_Item] = []
    groups: list[int] = []
    for number in range(opened.num_row_groups):
        for found in opened.read_row_group(number, columns=["label"]).column(0).to_pylist():
            key = str(len(items))
            try:
                items.append(_Item(key, as_label(found)))
            except ValueError as error:
                raise _wrong(shard, key, f"has no valid label: {error}") from None
        groups.append(len(items) - sum(groups))
    return items, groups
