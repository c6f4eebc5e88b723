"""Find the user's own inputs, one by one: files, folders, patterns, and objects in memory.

Only one folder's names are kept at a time, so memory use does not grow with the total number of inputs.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from io import IOBase
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from zoo.config.near_names import did_you_mean
from zoo.data.tables import TABLES, read_table
from zoo.errors import DataError, OptionError, warn
from zoo.files.regular import open_regular
from zoo.processors import InputReader

# Names in a folder among which the right one is looked for
_NEAR = 2_000

_MISSING = "no such file or folder"


class Source(NamedTuple):
    """One input, or the reason why it cannot be read.

    Attributes:
        name: its path, `-` for stdin, or `input 0`, `input 1`, ... for inputs without a path.
        value: argument of `InputReader.read`.
        error: why the input cannot be read; empty if it can be read.
        table: the row of the table that lists the input, by column; empty for other inputs.
    """

    name: str
    value: Any = None
    error: str = ""
    table: Mapping[str, str] = MappingProxyType({})

    def row(self, **values: Any) -> dict[str, Any]:
        """Return a result for the input as JSON data, with the row of its table, if there is one."""
        return {"input": self.name, **values, **({"table": dict(self.table)} if self.table else {})}


def find(inputs: object, reader: InputReader, *, leave: Collection[Path] = ()) -> Iterator[Source]:
    """Yield each input in order; inputs in a folder or matching a pattern are sorted by name.

    Subfolders are searched too, but hidden files, hidden folders, linked folders and folders with the
    findings of an analysis are skipped. A path that does not exist and contains `*`, `?` or `[` is a pattern,
    in which `**` matches any number of folders. A CSV or Parquet file is a table of paths, unless the reader
    reads such files; see `zoo.data.tables`. The path `-` means stdin, which contains text if strings are
    inputs, and otherwise a list of paths, one per line.

    Args:
        inputs: an input, or any iterable of inputs, which is read lazily. The content of an open file is one
            input.
        leave: files and folders to skip, such as output files.
    """
    alone = isinstance(inputs, str | bytes | Path | IOBase) or hasattr(inputs, "shape")
    several = cast("Iterable[object]", inputs if isinstance(inputs, Iterable) and not alone else [inputs])
    return _noticed(_each(several, reader, {os.path.realpath(path) for path in leave}), reader)


def require(inputs: object, reader: InputReader) -> None:
    """Raise an error for unsupported inputs before any input is read.

    Raises:
        DataError: a path in `named` is missing, a pattern has no match, a folder has no inputs, or a file has
            the wrong type.
        OptionError: the inputs are of an unsupported type, such as a dict.
    """
    if isinstance(inputs, Mapping | int | float | None):
        got = "nothing" if inputs is None else f"an object of type {type(inputs).__name__}"
        raise OptionError(f"expected one or more {reader.what} (got {got})")
    for path in named(inputs, reader):
        if path != "-":
            _require(path, reader)


def named(inputs: object, reader: InputReader) -> list[str]:
    """Return the paths among inputs given as a single input or a list."""
    alone = not isinstance(inputs, Sequence) or isinstance(inputs, str | bytes)
    given = [inputs] if alone else cast("Sequence[object]", inputs)
    kinds = Path if reader.strings else (Path, str)
    return [os.fspath(one) for one in given if isinstance(one, kinds)]


def _require(path: str, reader: InputReader) -> None:
    """Raise DataError unless a path can be read as an input."""
    first, name = next(_of_path(path, reader, ())), _readable(path)
    if first.name != name:  # found in a folder, or by a pattern
        return
    why = first.error
    if why == _MISSING:
        folder, file = os.path.split(path)
        why += did_you_mean(file, glob.glob("*", root_dir=folder or None)[:_NEAR])  # noqa: PTH207 - no error
    elif not why and reader.refuse:
        why = reader.refuse(first.value)
    if why:
        raise DataError(f"{name}: {why}", hint=first.value and f"the model reads {reader.what}")


def _noticed(sources: Iterator[Source], reader: InputReader) -> Iterator[Source]:
    """Yield inputs, and warn of the first notice about one of them."""
    notice = reader.notice
    for source in sources:
        if notice and not source.error and (text := notice(source.value)):
            warn(text)
            notice = None
        yield source


def _each(inputs: Iterable[object], reader: InputReader, left: Collection[str]) -> Iterator[Source]:
    for number, given in enumerate(inputs):
        if isinstance(given, Path) or (isinstance(given, str) and not reader.strings):
            path = os.fspath(given)
            yield from _of_stdin(reader, left) if path == "-" else _of_path(path, reader, left)
        elif isinstance(given, IOBase):
            yield _of_open(f"input {number}", given, reader)
        else:
            yield Source(f"input {number}", given)


def _of_open(name: str, file: Any, reader: InputReader) -> Source:
    """Return the content of an open file as an input, or the reason that it cannot be used."""
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # it is closed, only open for writing, or not text
        return Source(name, error=f"cannot be read: {error}")
    if isinstance(content, str) != reader.strings:
        how = "as text" if reader.strings else "in binary mode"
        return Source(name, error=f"cannot be read: it must be opened {how}")
    return Source(name, content)


def _of_stdin(reader: InputReader, left: Collection[str]) -> Iterator[Source]:
    lines = getattr(sys.stdin, "buffer", None) or (line.encode() for line in sys.stdin)
    if reader.strings:
        try:
            yield Source("-", b"".join(lines).decode("utf-8-sig"))
        except UnicodeError:
            yield Source("-", error="is not UTF-8 text")
        return
    for line in lines:
        if path := os.fsdecode(line.rstrip(b"\r\n")):
            yield from _of_path(path, reader, left)


def _of_path(path: str, reader: InputReader, left: Collection[str]) -> Iterator[Source]:
    if "\0" in path:
        yield Source(_readable(path), error="its name is not valid")
        return
    if os.path.lexists(path) or not glob.has_magic(path):
        yield from _of_one(path, reader, left)
        return
    try:
        matches = _matches(Path(path))
    except ValueError as error:  # `**` beside other characters
        yield Source(_readable(path), error=f"is not a valid pattern: {error}")
        return
    for match in matches:
        yield from _of_one(match, reader, left)
    if not matches:
        yield Source(_readable(path), error="matches nothing")


def _matches(pattern: Path) -> list[str]:
    """Return the paths that match a pattern, sorted; hidden paths match only if the pattern names them."""
    root, parts = Path(pattern.anchor), pattern.parts[bool(pattern.anchor) :]
    named = {part for part in parts if part.startswith(".")}
    skipped = len(root.parts)
    return [
        str(match)
        for match in sorted(root.glob(os.path.join(*parts)))  # noqa: PTH118
        if all(part in named or not part.startswith(".") for part in match.parts[skipped:])
    ]


def _of_one(path: str, reader: InputReader, left: Collection[str]) -> Iterator[Source]:
    if os.path.isdir(path):  # noqa: PTH112 - strings take a quarter of the memory of paths
        found = False
        for source in _inside(path, reader, left):
            found = True
            yield source
        if not found:
            yield Source(_readable(path), error=f"contains no {reader.what}")
    elif not os.path.lexists(path):
        yield Source(_readable(path), error=_MISSING)
    elif reader.suffixes and path.lower().endswith(TABLES) and not path.lower().endswith((*reader.suffixes,)):
        yield from _listed(path)
    else:
        yield Source(_readable(path), Path(path))


def _listed(table: str) -> Iterator[Source]:
    """Yield the inputs in a table, whose paths are relative to it. Raises DataError if there are none."""
    rows = read_table(Path(table))
    _, header = next(rows, ("", list[str]()))
    found = False
    for _, cells in rows:
        found = True
        path = os.path.normpath(os.path.join(os.path.dirname(table), cells[0]))  # noqa: PTH118, PTH120
        error = "" if os.path.lexists(path) else _MISSING
        yield Source(_readable(path), Path(path), error, dict(zip(header, cells, strict=True)))
    if not found:
        raise DataError(f"{table} does not list any files")


def _inside(folder: str, reader: InputReader, left: Collection[str]) -> Iterator[Source]:
    """Yield the inputs in a folder and its subfolders."""
    suffixes, inner = tuple(reader.suffixes), os.path.realpath(folder)
    skipped = {os.path.basename(path) for path in left if os.path.dirname(path) == inner}  # noqa: PTH119, PTH120
    if _of_analysis(os.path.join(folder, "manifest.json")):  # noqa: PTH118
        return
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(".")
                if entry.is_dir(follow_symlinks=False)
                or (entry.name.lower().endswith(suffixes or "") and not entry.is_dir())
            )
    except OSError as error:
        yield Source(_readable(folder), error=f"cannot be read: {error.strerror}")
        return
    for name, is_folder in names:
        if name in skipped:
            continue
        path = os.path.join(folder, name)  # noqa: PTH118
        if is_folder:
            yield from _inside(path, reader, left)
        else:
            yield Source(_readable(path), Path(path))


def _of_analysis(manifest: str) -> bool:
    """Return whether a file begins like the manifests that `zoo.analysis.findings` writes."""
    try:
        with open_regular(Path(manifest)) as file:
            return file.read(64).startswith(b'{\n  "analyzer": ')
    except OSError:
        return False


def _readable(path: str) -> str:
    """Return a path as valid UTF-8 text, with all invalid bytes escaped."""
    return path if path.isascii() else path.encode(errors="backslashreplace").decode()
