"""Tables of files: CSV and Parquet files with a column of paths. Torch-free."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib import import_module
from io import TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any, cast

from zoo.errors import DataError, first_line
from zoo.files.regular import open_regular
from zoo.registry.extras import needing_extra

TABLES = (".csv", ".parquet")
# What the column of paths may be called; in other tables, it is the first
_PATHS = ("file", "path", "filename", "filepath", "file_name", "file_path", "image", "image_path")
# Types of Parquet columns that are not text or numbers, such as the contents of files
_NOT_CELLS = ("binary", "struct", "map")
# What some spreadsheets put between columns
_NO_COMMAS = {";": "semicolons", "\t": "tabs"}


def read_table(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of a CSV or Parquet file, the header first, each with its place, such as `line 3`.

    The column of paths comes first: `file`, `path`, `filename` or `image`, or the first column. All cells are
    strings; after each item of a list in a Parquet file, there is a `|`. Empty rows are skipped, and so are
    columns without a name and columns of bytes.

    Raises DataError if the file cannot be read, or a row has the wrong number of columns, and SpecError if
    pyarrow is not installed.
    """
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    rows = ((place, row) for place, row in rows if any(map(str.strip, row)))
    place, header = next(rows, ("", list[str]()))
    header = [name.strip() for name in header]
    for sign, name in _NO_COMMAS.items():
        if len(header) == 1 and sign in header[0]:
            hint = "save the table as CSV with commas; labels within a cell may be separated by ; or |"
            raise DataError(f"the columns of {path} are separated by {name}, not by commas", hint=hint)
    first = next((number for number, name in enumerate(header) if name.lower() in _PATHS), 0)
    order = [first, *(number for number, name in enumerate(header) if name and number != first)]
    if header:
        names = [header[number] for number in order]
        if len({*names}) < len(names):
            raise DataError(f"{path} must start with a header of unique column names")
        yield place, names
    for place, row in rows:
        if len(row) != len(header):
            raise DataError(f"{path}, {place}: expected {len(header)} columns (got {len(row)})")
        yield place, [row[number] for number in order]


def _csv_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                yield f"line {reader.line_num}", row
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise DataError(f"{path} is not UTF-8 text", hint="save the file as UTF-8 CSV") from None
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}") from None


def _parquet_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    with needing_extra("data", f"reading {path.name}"):
        arrow, parquet = cast("Any", import_module("pyarrow")), cast("Any", import_module("pyarrow.parquet"))
    try:
        with open_regular(path) as raw:
            file, numbers = parquet.ParquetFile(raw), count(1)
            fields = [
                field for field in file.schema_arrow if not any(t in str(field.type) for t in _NOT_CELLS)
            ]
            yield "header", [field.name for field in fields]
            for batch in file.iter_batches(columns=[field.name for field in fields]):
                for row in zip(*map(_values, batch.columns), strict=True):
                    yield f"row {next(numbers)}", [*row]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or first_line(error)}") from None
    except arrow.ArrowException as error:
        raise DataError(f"{path} is not a Parquet file: {first_line(error)}") from None


def _values(column: Any) -> Iterator[str]:
    """Yield the values of a column as text; items of a list end in `|`, so that they may contain spaces."""
    for value in column.to_pylist():
        if isinstance(value, list):
            yield "".join(f"{item}|" for item in cast("list[object]", value))
        else:
            yield "" if value is None or value != value else str(value)
