"""Read tables of images and labels, CSV or Parquet files, and find the images."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from zoo import DataError
from zoo.interfaces import SPLITS, Split
from zoo.plugin import IMAGE_SUFFIXES, read_table, warn
from zoo_images.class_folders import SPLIT_NAMES, ImageFile, draw, existing
from zoo_images.decoded_images import readable

LAYOUT = (
    "root must contain labels.csv, or train.csv, val.csv and test.csv, or .parquet files; the header must be "
    "`file,labels`, `file` followed by the class names or, for the dataset folder, `file,label`; a column "
    "`split` is optional"
)
# What the column of labels may be called, and that of a single class; other columns are classes themselves
_LISTS = ("labels", "tag", "tags")
_SINGLE = "label"
# The column of the split of each image
_SPLIT = "split"
# Classes that a notice names
_NAMED = 5
# What may separate labels, before spaces
_SEPARATORS = ("|", ";", ",")
# What a column of a class may hold; a table may have gone through floating-point numbers, or be of booleans
_MARKS = {"0": False, "0.0": False, "False": False, "1": True, "1.0": True, "True": True}
# What a table may be, the preferred kind first
_SUFFIXES = (".csv", ".parquet")
# The rows of a table with their places
_Cells = Sequence[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Labeled:
    """An image and the names of its classes.

    Attributes:
        name: the path from the root, with `/` between folders.
    """

    path: Path
    name: str
    labels: tuple[str, ...]


class _Row(NamedTuple):
    """A row of a table: an image, as the table names it."""

    place: str
    name: str
    split: Split
    labels: tuple[str, ...]


def find_labeled(root: str) -> tuple[list[str], dict[Split, list[Labeled]]]:
    """Return the names of the classes, and the images by split.

    Without tables or a column for the splits, all images are in train.

    Classes in a column of labels are sorted by name; classes that are columns keep their order.

    Raises DataError if a table or an image is missing, or a table does not follow LAYOUT.
    """
    home = existing(root, LAYOUT)
    tables = _tables(home)
    if "train" not in tables:
        lacks = "train.csv" if tables else "labels.csv"
        raise DataError(f"{home} contains no {lacks}", hint=LAYOUT)
    if has_classes(home):
        message = f"{tables['train']} has a column `{_SINGLE}`, so each image has one class"
        hint = f"use the dataset folder: `zoo train ARCHITECTURE folder --data root={shlex.quote(root)}`"
        raise DataError(message, hint=f"{hint}, or rename the column to `labels` if images have several")
    classes, splits = _read(home, tables)
    warn(f"{tables['train']}: several classes per image; {_named(classes)}")
    return classes, splits


def find_classified(
    home: Path, shares: Mapping[Split, float], seed: int
) -> tuple[list[str], dict[Split, list[ImageFile]]]:
    """Return the names of the classes, and the images of train, val and test, from tables with `label`.

    If the tables have no splits, the `shares` of val and test are drawn from each class.

    Raises DataError if a table or an image is missing, or an image has no class.
    """
    tables = _tables(home)
    classes, found = _read(home, tables)
    warn(f"{tables['train']}: one class per image; {_named(classes)}")
    splits: dict[Split, list[ImageFile]] = {}
    for split in SPLITS:
        files = [ImageFile(row.path, classes.index(row.labels[0])) for row in found.get(split, [])]
        splits[split] = sorted(files, key=lambda file: file.label)
    return classes, splits if len(found) > 1 else {**splits, **draw(splits["train"], shares, seed)}


def _named(classes: Sequence[str]) -> str:
    """Return the number of classes and the first of them, so that a misread table is noticed."""
    return (
        f"{len(classes)} classes: {', '.join(map(repr, classes[:_NAMED]))}{', ...' * (len(classes) > _NAMED)}"
    )


def _read(home: Path, tables: Mapping[Split, Path]) -> tuple[list[str], dict[Split, list[Labeled]]]:
    """Return the names of the classes of the training images, and the images of each split."""
    images = cache(lambda: _images(home))
    read = {split: _read_table(path, split, alone=len(tables) == 1) for split, path in tables.items()}
    columns, rows = read["train"]
    trained = [row for row in rows if row.split == "train"]
    classes = columns or sorted({label for row in trained for label in row.labels})
    if not trained or not classes:
        raise DataError(f"{tables['train']} does not contain any labels of training images", hint=LAYOUT)
    splits: dict[Split, list[Labeled]] = {split: [] for split in tables}
    seen: dict[Path, Path] = {}
    for split, table in tables.items():
        theirs, rows = read[split]
        where = tables["train"] if split != "train" else "its training split"
        known = {*theirs, *(label for row in rows for label in row.labels)}
        if strange := sorted(known - {*classes}):
            raise DataError(f"{table} contains the class {strange[0]!r}, which is not in {where}")
        for path, row in _located(rows, images, home, table).items():
            name = Path(os.path.relpath(path, home)).as_posix()
            if seen.setdefault(path, table) != table:
                raise DataError(f"{seen[path]} and {table} both list {name}")
            splits.setdefault(row.split, []).append(Labeled(path, name, row.labels))
    kept = {*readable([*seen])}
    return classes, {
        split: sorted((file for file in files if file.path in kept), key=lambda file: file.name)
        for split, files in splits.items()
    }


def has_classes(home: Path) -> bool:
    """Return whether a folder has a table with a column `label`, which gives each image one class."""
    table = _tables(home).get("train")
    _, header = next(read_table(table), ("", [])) if table else ("", [])
    return _SINGLE in [name.lower() for name in header]


def _tables(home: Path) -> dict[Split, Path]:
    """Return the table of each split; the table `labels`, if there is no other, is that of train."""

    def named(name: str) -> Path | None:
        return next((path for suffix in _SUFFIXES if (path := home / f"{name}{suffix}").exists()), None)

    tables: dict[Split, Path] = {split: path for split in SPLITS if (path := named(split))}
    whole = named("labels")
    return tables or ({"train": whole} if whole else {})


def _located(
    rows: Sequence[_Row], images: Callable[[], Mapping[str, list[Path]]], home: Path, table: Path
) -> dict[Path, _Row]:
    """Return the rows of a table by the paths of their images, which are relative to the table.

    Raises DataError if an image is missing, or if a name that is not a path matches several images.
    """
    found: dict[Path, _Row] = {}
    for row in rows:
        name = row.name.replace("\\", "/").removeprefix("./")
        places = [Path(os.path.normpath(home / name))]
        if places[0].suffix.lower() not in IMAGE_SUFFIXES or not os.path.isfile(places[0]):  # noqa: PTH113 - no error
            places = images().get(name, [])
        if not places:
            hint = f"image files end in {', '.join(IMAGE_SUFFIXES)}"
            raise DataError(f"{table} lists {row.name!r}, but there is no such image in {home}", hint=hint)
        if len(places) > 1:
            raise DataError(f"{table} lists {row.name!r}, which could be {places[0]} or {places[1]}")
        (path,) = places
        if path in found:
            raise DataError(f"{table} lists {path} twice")
        found[path] = row
    return found


def _images(home: Path) -> dict[str, list[Path]]:
    """Map all names that a table may use to the visible images in a folder and its subfolders.

    The names are the relative path and the file name, each with and without the suffix.
    """
    known: dict[str, list[Path]] = {}
    try:
        inside = [path.relative_to(home) for path in home.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES]
    except OSError as error:
        raise DataError(f"{home} cannot be read: {error.strerror}") from None
    for path in sorted(inside):
        if not any(part.startswith(".") for part in path.parts):
            for name in {path.as_posix(), path.with_suffix("").as_posix(), path.name, path.stem}:
                known.setdefault(name, []).append(home / path)
    return known


def _read_table(path: Path, split: Split, *, alone: bool) -> tuple[list[str], list[_Row]]:
    """Return the columns of a table that are classes, and its rows.

    Args:
        split: the split of the images, unless the table is `alone` and has a column `split`.
    """
    lines = [*read_table(path)]
    if len(lines) < 2:
        raise DataError(f"{path} does not list any images", hint=LAYOUT)
    (_, header), *cells = lines
    lower = [name.lower() for name in header]
    if lower[0] in (*_LISTS, _SINGLE, _SPLIT):
        raise DataError(f"{path} has no column of file names (found {', '.join(header)})", hint=LAYOUT)
    column = next((lower.index(name) for name in (*_LISTS, _SINGLE) if name in lower), None)
    others = [n for n in range(1, len(header)) if n != column and lower[n] != _SPLIT]
    if column is None and not others:
        raise DataError(f"{path} has no column of labels (found {', '.join(header)})", hint=LAYOUT)
    if column is None:
        labels = _marked(cells, {n: header[n] for n in others}, path)
    else:
        labels = (_single if lower[column] == _SINGLE else _listed)(cells, column, path)
    if column and others:
        warn(f"{path}: columns that are not used: {', '.join(repr(header[n]) for n in others)}")
    rows: dict[str, _Row] = {}
    for (place, row), those in zip(cells, labels, strict=True):
        name, own = row[0].strip(), split
        if not name or name in rows:
            what = f"{name!r} is already listed" if name else "missing image name"
            raise DataError(f"{path}, {place}: {what}")
        if alone and _SPLIT in lower:
            given = row[lower.index(_SPLIT)].strip()
            if given.lower() not in SPLIT_NAMES:
                raise DataError(f"{path}, {place}: {_SPLIT} must be train, val or test (got {given!r:.40})")
            own = SPLIT_NAMES[given.lower()]
        rows[name] = _Row(place, name, own, those)
    return [] if column else [header[n] for n in others], [*rows.values()]


def _single(rows: _Cells, column: int, path: Path) -> list[tuple[str, ...]]:
    """Return the class of each row, the whole cell."""
    for place, cells in rows:
        if not cells[column].strip():
            raise DataError(f"{path}, {place}: missing label")
    return [(cells[column].strip(),) for _, cells in rows]


def _listed(rows: _Cells, column: int, _: Path) -> list[tuple[str, ...]]:
    """Return the labels of each row, from a single column."""
    lists = [cells[column] for _, cells in rows]
    separator = next((sign for sign in _SEPARATORS if any(sign in cell for cell in lists)), None)
    return [tuple(dict.fromkeys(filter(None, map(str.strip, cell.split(separator))))) for cell in lists]


def _marked(rows: _Cells, classes: Mapping[int, str], path: Path) -> list[tuple[str, ...]]:
    """Return the labels of each row, from a column of 0 or 1 for each class."""
    labels: list[tuple[str, ...]] = []
    for place, cells in rows:
        marks = {name: cells[number].strip() for number, name in classes.items()}
        for name, mark in marks.items():
            if mark not in _MARKS:
                message = f"{path}, {place}: {name!r} must be 0 or 1 (got {mark!r:.40})"
                raise DataError(message, hint="a column that lists labels must be named `labels` or `tags`")
        labels.append(tuple(name for name, mark in marks.items() if _MARKS[mark]))
    return labels
