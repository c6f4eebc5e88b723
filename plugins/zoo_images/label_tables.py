"""Read CSV files of images and labels, and find the images."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from zoo import DataError
from zoo.interfaces import SPLITS, Split
from zoo.plugin import IMAGE_SUFFIXES, open_regular, warn
from zoo_images.class_folders import ImageFile, draw, existing
from zoo_images.decoded_images import readable

LAYOUT = (
    "root must contain labels.csv, or train.csv, val.csv and test.csv; the header must be `file,labels`, "
    "`file` followed by the class names or, for the dataset folder, `file,label`"
)
# What some spreadsheets put between columns
_NO_COMMAS = {";": "semicolons", "\t": "tabs"}
# What the column of labels may be called, and that of a single class; other columns are classes themselves
_LISTS = ("labels", "tag", "tags")
_SINGLE = "label"
# Classes that a notice names
_NAMED = 5
# What may separate labels, before spaces
_SEPARATORS = ("|", ";", ",")
# What a column of a class may hold; a table may have gone through floating-point numbers, or be of booleans
_MARKS = {"0": False, "0.0": False, "False": False, "1": True, "1.0": True, "True": True}
_TABLES: Mapping[Split, str] = {"train": "train.csv", "val": "val.csv", "test": "test.csv"}


@dataclass(frozen=True, slots=True)
class Labeled:
    """An image and the names of its classes.

    Attributes:
        name: the path from the root, with `/` between folders.
    """

    path: Path
    name: str
    labels: tuple[str, ...]


def find_labeled(root: str) -> tuple[list[str], dict[Split, list[Labeled]]]:
    """Return the names of the classes, and the images by split; all images of `labels.csv` are in train.

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

    Without tables for val and test, the `shares` of val and test are drawn from each class.

    Raises DataError if a table or an image is missing, or an image has no class.
    """
    tables = _tables(home)
    classes, found = _read(home, tables)
    warn(f"{tables['train']}: one class per image; {_named(classes)}")
    splits: dict[Split, list[ImageFile]] = {}
    for split in SPLITS:
        files = [ImageFile(row.path, classes.index(row.labels[0])) for row in found.get(split, [])]
        splits[split] = sorted(files, key=lambda file: file.label)
    return classes, splits if len(tables) > 1 else {**splits, **draw(splits["train"], shares, seed)}


def _named(classes: Sequence[str]) -> str:
    """Return the number of classes and the first of them, so that a misread table is noticed."""
    return (
        f"{len(classes)} classes: {', '.join(map(repr, classes[:_NAMED]))}{', ...' * (len(classes) > _NAMED)}"
    )


def _read(home: Path, tables: Mapping[Split, Path]) -> tuple[list[str], dict[Split, list[Labeled]]]:
    """Return the names of the classes in the table of train, and the images of each table."""
    images = _images(home)
    classes, _ = _read_table(tables["train"])
    splits: dict[Split, list[Labeled]] = {}
    seen: dict[Path, Path] = {}
    for split, table in tables.items():
        theirs, rows = _read_table(table)
        if strange := [name for name in theirs if name not in classes]:
            raise DataError(f"{table} contains the class {strange[0]!r}, which is not in {tables['train']}")
        splits[split] = _located(rows, images, home, table)
        for row in splits[split]:
            if seen.setdefault(row.path, table) != table:
                raise DataError(f"{seen[row.path]} and {table} both list {row.name}")
    kept = {*readable([*seen])}
    return classes, {split: [row for row in rows if row.path in kept] for split, rows in splits.items()}


def has_classes(home: Path) -> bool:
    """Return whether a folder has a table with a column `label`, which gives each image one class."""
    table = _tables(home).get("train")
    header = next(_lines(table), (0, []))[1] if table else []
    return [name.strip().lower() for name in header[1:]] == [_SINGLE]


def _tables(home: Path) -> dict[Split, Path]:
    """Return the table of each split; `labels.csv`, if there is no other, is that of train."""
    tables: dict[Split, Path] = {
        split: home / name for split, name in _TABLES.items() if (home / name).exists()
    }
    whole = home / "labels.csv"
    return tables or ({"train": whole} if whole.exists() else {})


def _located(
    rows: Mapping[str, tuple[str, ...]], images: Mapping[str, list[Path]], home: Path, table: Path
) -> list[Labeled]:
    """Return the images of a table.

    Raises DataError if an image is missing, or if a name matches several images.
    """
    found: dict[Path, Labeled] = {}
    for name, labels in rows.items():
        places = images.get(name.replace("\\", "/").removeprefix("./"), [])
        if not places:
            hint = f"image files end in {', '.join(IMAGE_SUFFIXES)}"
            raise DataError(f"{table} lists {name!r}, but there is no such image in {home}", hint=hint)
        if len(places) > 1:
            raise DataError(f"{table} lists {name!r}, which could be {places[0]} or {places[1]}")
        (path,) = places
        if path in found:
            raise DataError(f"{table} lists {path} twice")
        found[path] = Labeled(path, path.relative_to(home).as_posix(), labels)
    return sorted(found.values(), key=lambda row: row.name)


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


def _require_commas(header: list[str], path: Path) -> None:
    for sign, name in _NO_COMMAS.items():
        if len(header) < 2 and sign in header[0]:
            hint = "save the table as CSV with commas; labels within a cell may be separated by ; or |"
            raise DataError(f"the columns of {path} are separated by {name}, not by commas", hint=hint)


def _read_table(path: Path) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the classes of a table, and the labels of each image by its name in the table."""
    lines = list(_lines(path))
    if len(lines) < 2:
        raise DataError(f"{path} does not list any images", hint=LAYOUT)
    (_, header), *rows = lines
    _require_commas(header, path)
    header = [name.strip() for name in header]
    if len(header) < 2 or not all(header[1:]) or len({*header[1:]}) < len(header) - 1:
        raise DataError(f"{path} must start with a header of unique column names", hint=LAYOUT)
    for number, row in rows:
        if len(row) != len(header):
            raise DataError(f"{path}, line {number}: expected {len(header)} columns (got {len(row)})")
    lists = [name for name in header[1:] if name.lower() in (*_LISTS, _SINGLE)]
    if lists and len(header) > 2:
        other = next(name for name in header[1:] if name not in lists[:1])
        raise DataError(f"{path} has an unexpected column {other!r} in addition to {lists[0]!r}", hint=LAYOUT)
    named = [(number, row[0].strip(), row[1:]) for number, row in rows]
    if header[1].lower() == _SINGLE:
        labels = _single(named, path)
    else:
        labels = _listed(named) if lists else _marked(named, header[1:], path)
    table: dict[str, tuple[str, ...]] = {}
    for (number, name, _), those in zip(named, labels, strict=True):
        if not name or name in table:
            raise DataError(
                f"{path}, line {number}: {f'{name!r} is already listed' if name else 'missing image name'}"
            )
        table[name] = those
    classes = sorted({name for those in labels for name in those}) if lists else header[1:]
    if not classes:
        raise DataError(f"{path} does not contain any labels", hint=LAYOUT)
    return classes, table


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file that are not empty, with their numbers."""
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(map(str.strip, row)):
                    yield reader.line_num, row
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise DataError(f"{path} is not UTF-8 text", hint="save the file as UTF-8 CSV") from None
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}") from None


def _single(rows: list[tuple[int, str, list[str]]], path: Path) -> list[tuple[str, ...]]:
    """Return the class of each line, the whole cell."""
    for number, _, (cell,) in rows:
        if not cell.strip():
            raise DataError(f"{path}, line {number}: missing label")
    return [(cell.strip(),) for _, _, (cell,) in rows]


def _listed(rows: list[tuple[int, str, list[str]]]) -> list[tuple[str, ...]]:
    """Return the labels of each line, from a single column."""
    cells = [cell for _, _, (cell,) in rows]
    separator = next((sign for sign in _SEPARATORS if any(sign in cell for cell in cells)), None)
    return [tuple(dict.fromkeys(filter(None, map(str.strip, cell.split(separator))))) for cell in cells]


def _marked(rows: list[tuple[int, str, list[str]]], classes: list[str], path: Path) -> list[tuple[str, ...]]:
    """Return the labels of each line, from a column of 0 or 1 for each class."""
    labels: list[tuple[str, ...]] = []
    for number, _, marks in rows:
        for name, mark in zip(classes, marks, strict=True):
            if mark.strip() not in _MARKS:
                message = f"{path}, line {number}: {name!r} must be 0 or 1 (got {mark.strip()!r:.40})"
                raise DataError(message, hint="a column that lists labels must be named `labels` or `tags`")
        pairs = zip(classes, marks, strict=True)
        labels.append(tuple(name for name, mark in pairs if _MARKS[mark.strip()]))
    return labels
