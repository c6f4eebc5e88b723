"""Write results to a file with one row per input: a CSV or JSONL file, which can be continued, or an array.

While a CSV or JSONL file is being written, `x.csv.unfinished` beside it records the model and the options. If
writing is interrupted, the file contains whole rows and at most one partial row. A later call continues it if
the model, the options and the first inputs are the same. If a call fails, for example because of an invalid
option, the file that it began is removed.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.sources import Source
from zoo.errors import OptionError, OutputError, ZooError, printable
from zoo.files.atomic import atomic_write, sweep
from zoo.files.canonical import canonical_json, parse_json
from zoo.files.regular import open_regular, read_regular
from zoo.inference.predicting import PredictedRow
from zoo.inference.target_columns import apart, joined_targets

# The table in a folder
_IN_FOLDER = "predictions.jsonl"
# The most bytes that the options of an unfinished file take
_LARGEST = 1_000_000


class OutputFile(ABC):
    """An output file of rows.

    Attributes:
        count: number of rows in the file.
        before: number of rows that earlier calls wrote.
    """

    count = before = 0

    def rest(self, sources: Iterator[Source]) -> Iterator[Source]:
        """Return the sources that have no row yet.

        Raises OutputError if the existing rows belong to different sources.
        """
        return sources

    @abstractmethod
    def write(self, predicted: PredictedRow) -> dict[str, Any]:
        """Add a row, and return it. Raises OutputError if it cannot be written."""


def being_written(out: Path) -> list[Path]:
    """Return the files and folders that are created for the output `out`."""
    beside = out.with_suffix(".txt") if out.suffix == ".npy" else _images(out)
    return [out, _marker(out), beside]


@contextmanager
def opened(out: Path, made_with: Mapping[str, Any], *, in_lines: bool = False) -> Generator[OutputFile]:
    """Open an output file: `.csv`, `.jsonl` or `.npy`, or a folder with a `predictions.jsonl`.

    Args:
        made_with: JSON data about the model and the options; a file can be continued only with the same data.
        in_lines: whether a CSV file has a line for each prediction of an input. Such a file is written again
            from the start instead of being continued.

    Raises:
        OptionError: the name has a different suffix.
        OutputError: the file exists and is finished, was started with a different model or options, is being
            written by another process, or cannot be written.
    """
    if out.suffix not in ("", ".csv", ".jsonl", ".npy") or out.name in ("", "..", "-"):
        raise OptionError(f"the output must be a .csv, .jsonl or .npy file, or a new folder (got {out})")
    if not out.suffix and out.is_file():
        raise OutputError(f"{out} is a file, not a folder", hint="choose a folder, or a file such as x.csv")
    path = out if out.suffix else out / _IN_FOLDER
    is_new = not out.suffix and not out.exists()
    try:
        if not out.suffix:
            out.mkdir(exist_ok=True)
        with _array(path) if out.suffix == ".npy" else _lines(path, made_with, in_lines) as table:
            yield table
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if is_new:
            with suppress(OSError):  # there is something in it
                out.rmdir()


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.unfinished")


def _images(table: Path) -> Path:
    """Return the folder of the images that the rows of a file refer to."""
    return table.parent if table.name == _IN_FOLDER else table.with_name(f"{table.stem}-images")


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path} already exists", hint="delete it, or choose a different output")


@contextmanager
def _lines(path: Path, made_with: Mapping[str, Any], in_lines: bool) -> Generator[_Lines]:
    """Open a CSV or JSONL file, and finish it if the `with` block succeeds."""
    marker = _marker(path)
    open_regular(path, write=True).close()  # raises an error for a link, or a pipe
    with path.open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{path} is being written by another process") from None
        begun = file.seek(0, os.SEEK_END) > 0
        if begun and not os.path.lexists(marker):
            raise _exists(path)
        if begun:
            _require_same(path, marker, made_with)
        else:
            with atomic_write(marker) as beside:
                beside.write(canonical_json(made_with).encode())
        table = _Lines(path, file, in_lines=in_lines and path.suffix == ".csv")
        try:
            yield table
            table.finish()
        except BaseException as error:
            failed = isinstance(error, ZooError) and not begun
            if failed or not file.seek(0, os.SEEK_END):  # nothing to go on with
                path.unlink(missing_ok=True)
                marker.unlink(missing_ok=True)
            raise
        marker.unlink(missing_ok=True)


def _require_same(path: Path, marker: Path, made_with: Mapping[str, Any]) -> None:
    """Raise OutputError unless a file was started with the same model and options."""
    try:
        begun = parse_json(read_regular(marker, most=_LARGEST).decode())
        differ = [key for key in made_with if begun[key] != made_with[key]]  # such as `top`
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(f"{marker} is damaged or was edited", hint=f"delete it and {path.name}") from None
    if differ:
        was = [f"without {key}" if begun[key] is None else f"with {key}={begun[key]}" for key in differ]
        now = ["none" if made_with[key] is None else made_with[key] for key in differ]
        changes = " and ".join(f"{old} (now {new})" for old, new in zip(was, now, strict=True))
        hint = f"repeat the original command, or delete {path.name} and {marker.name}"
        raise OutputError(f"{path} is unfinished and was started {changes}", hint=hint)


class _Lines(OutputFile):
    """A file with a line for each input, or for each prediction; a CSV starts with a header line."""

    def __init__(self, path: Path, file: IO[bytes], *, in_lines: bool) -> None:
        self._in_lines = in_lines
        self._path = path
        self._file = file
        self._csv = path.suffix == ".csv"
        self._columns: list[str] = []
        self._waiting: list[PredictedRow] = []  # unread inputs, until an answer says which columns there are

    def rest(self, sources: Iterator[Source]) -> Iterator[Source]:
        """Return the sources without a row, and remove a partial row at the end."""
        whole = 0
        if self._in_lines:  # the last input may lack some of its lines
            self._file.truncate(0)
            return sources
        with io.open(os.dup(self._file.fileno()), "rb") as reading:  # noqa: UP020 - of a descriptor
            reading.seek(0)
            for number, line in enumerate(reading):
                if not line.endswith(b"\n"):
                    break
                if self._csv and number == 0:
                    self._columns = next(csv.reader([line.decode()]))
                else:
                    self._require_next(line, next(sources, None))
                whole += len(line)
        self._file.truncate(whole)
        self._file.seek(whole)
        self.before = self.count
        return sources

    def _require_next(self, line: bytes, source: Source | None) -> None:
        """Raise OutputError unless a line is the row of an input."""
        self.count += 1
        number, hint = f"{self.count:,}", f"delete {self._path.name}, or choose a different output"
        try:
            text = line.decode()
            wrote = next(csv.reader([text]))[0] if self._columns else parse_json(text)["input"]
        except (ValueError, KeyError, TypeError, IndexError, csv.Error):
            raise OutputError(f"row {number} of {self._path} is damaged or was edited", hint=hint) from None
        name = source and (_cell(source.name) if self._columns else source.name)
        if name != wrote:
            message = f"inputs differ from {self._path}: input {number} was {wrote}, now {name or 'missing'}"
            raise OutputError(message, hint=hint)

    def write(self, predicted: PredictedRow) -> dict[str, Any]:
        """Write the images of the input, add its row, and return the row."""
        row, prediction = predicted
        for name, draw in (prediction.images if prediction else {}).items():
            row[name] = self._draw(row["input"], name, draw())
        self.count += len(apart(row)) if self._in_lines else 1
        self._waiting.append(predicted)
        if prediction is not None or self._columns or not self._csv:
            self._flush()
        return row

    def _draw(self, name: str, what: str, png: bytes) -> str:
        """Write an image; return its path relative to the output file's folder."""
        folder = _images(self._path)
        folder.mkdir(exist_ok=True)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem).strip(".-")[:80]
        path = folder / f"{self.count:06}-{stem}-{what}.png"
        path.unlink(missing_ok=True)  # a link is replaced, not followed
        path.write_bytes(png)
        return str(path.relative_to(self._path.parent))

    def _flush(self) -> None:
        """Write the buffered rows, after the header."""
        text = ""
        if self._csv and not self._columns:
            self._columns = _columns(self._waiting[-1])
            text = _csv_line(self._columns)
        text += "".join(self._line(row) for row, _ in self._waiting)
        data = memoryview(text.encode())
        while data:
            data = data[self._file.write(data) :]
        self._waiting.clear()

    def _line(self, row: Mapping[str, Any]) -> str:
        if self._csv:
            parts = apart(row) if self._in_lines else [row]
            return "".join(_csv_line(_cells(part, self._columns)) for part in parts)
        return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"

    def finish(self) -> None:
        """Write the remaining rows, and wait until they are on disk."""
        if self._waiting:
            self._flush()
        os.fsync(self._file.fileno())


def _columns(predicted: PredictedRow) -> list[str]:
    """Return the columns of a CSV: the columns of a prediction, between the input and the rest of the row."""
    row, prediction = predicted
    keys = ["class", "probability"] if prediction else []
    if row["predictions"]:
        keys = [*joined_targets(row["predictions"])[0]]
    own = ["input", *keys, *(key for key in row if key not in ("input", "predictions", "error", "table"))]
    listed = [f"table.{key}" if key in (*own, *row) else key for key in row.get("table", ())]
    return [*own, *listed, "error"]


def _cells(row: Mapping[str, Any], columns: list[str]) -> list[str]:
    """Return a row's text for each column; several predictions other than targets are separated by `|`.

    Raises OptionError if the row comes from a table with other columns than the first row.
    """
    table = {
        f"table.{key}" if f"table.{key}" in columns else key: cell
        for key, cell in row.get("table", {}).items()
    }
    if not table.keys() <= {*columns}:
        message = f"{row['input']} is in a table with other columns than the first input"
        raise OptionError(message, hint="write a .jsonl file, or read one table at a time")
    row, cells, answers = table | {**row}, list[str](), joined_targets(row["predictions"])
    for column in columns:
        values = (
            [row[column]] if column in row else [answer[column] for answer in answers if column in answer]
        )
        cells.append("|".join(map(_cell, values)))
    return cells


def _cell(value: object) -> str:
    """Return a value on one line."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _csv_line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


@contextmanager
def _array(path: Path) -> Generator[_Array]:
    """Open `x.npy`, and `x.txt` for the input names; both files appear if the `with` block succeeds."""
    names = path.with_suffix(".txt")
    for file in (path, names):
        if os.path.lexists(file):
            raise _exists(file)
    sweep(path.parent)
    with ExitStack() as stack:
        table = _Array(path, *(stack.enter_context(atomic_write(file)) for file in (path, names)))
        yield table
        table.finish()


class _Array(OutputFile):
    """Rows of numbers that have the same shape, (N, ...) float32, with NaN for an unreadable input."""

    def __init__(self, path: Path, file: IO[bytes], names: IO[bytes]) -> None:
        self._path, self._file, self._names = path, file, names
        self._shape: tuple[int, ...] | None = None
        self._skipped = 0

    def write(self, predicted: PredictedRow) -> dict[str, Any]:
        """Add a row."""
        row, prediction = predicted
        self.count += 1
        self._names.write(f"{printable(row['input'])}\n".encode())
        if prediction is None:
            self._skipped += 1
        elif prediction.values is None:
            message = f"{self._path} can store only rows of numbers, which this model does not predict"
            raise OptionError(message, hint="write a .csv file, a .jsonl file or a folder instead")
        else:
            self._add(row["input"], prediction.values.astype("<f4"))
        return row

    def _add(self, name: str, values: NDArray[np.float32]) -> None:
        if self._shape is None:
            self._shape = values.shape
            self._file.write(_header(0, self._shape))
        if values.shape != self._shape:
            what = f"the same shape ({name} has {values.shape}, but earlier rows have {self._shape})"
            raise OptionError(f"all rows of {self._path} must have {what}", hint="write a .jsonl file")
        self._skip()
        self._file.write(values.tobytes())

    def _skip(self) -> None:
        """Write the rows of unreadable inputs, now that the shape is known."""
        for _ in range(self._skipped):
            self._file.write(np.full(self._shape or (0,), np.nan, "<f4").tobytes())
        self._skipped = 0

    def finish(self) -> None:
        """Write the remaining rows, and the header with the number of rows."""
        self._skip()
        shape = self._shape or (0,)
        header = _header(self.count, shape)
        assert len(header) == len(_header(0, shape))
        self._file.seek(0)
        self._file.write(header)


def _header(count: int, shape: tuple[int, ...]) -> bytes:
    """Return the header of an array; NumPy pads it, so its length does not depend on the number of rows."""
    header = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(header, about)
    return header.getvalue()
