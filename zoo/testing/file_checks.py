"""Checks of a dataset without a network, and with missing or damaged files."""

from __future__ import annotations

import contextlib
from pathlib import Path

from zoo.data.opening import open_dataset
from zoo.errors import DataError
from zoo.testing._case import Case, Failure, Inapplicable, located, message
from zoo.testing._data import (
    copied_folder,
    dataset_of,
    empty_folder,
    files_of,
    no_network,
    only_data_in,
    options_for,
    read_through,
)

_MOST = 8
# The beginning of a damaged file: neither text nor a known format, and no pinned hash matches
_DAMAGE = b"\xff" * 1_000


def works_offline(case: Case) -> None:
    """While downloads are forbidden, no connection is attempted, whether or not the data is present."""
    with no_network() as tried:
        try:
            dataset_of(case)
            with empty_folder() as home, only_data_in(home), contextlib.suppress(Exception):
                open_dataset(case.entry, options_for(case, home))
        finally:
            assert not tried, message(
                expected="no connection while ZOO_OFFLINE is set",
                got=f"one to {tried[0]}",
                usually="a download that ignores ZOO_OFFLINE; use `zoo.plugin.data_file`, which obeys it",
            )


def refuses_missing_files(case: Case) -> None:
    """If one of its files is missing, the dataset raises a DataError that names the file, or has other data.

    Other data, such as the rest of a folder, has another fingerprint. For each of up to eight files, the
    dataset is opened on a copy of its folder without that file.
    """
    for name in _files_to_try(case):
        with copied_folder(files_of(case), without=name) as home:
            _require_refusal(
                case,
                home,
                name,
                damage="missing",
                usually="a file opened without checking that it exists, or a file that the dataset goes "
                "without; raise zoo.DataError with its path",
            )


def refuses_damaged_files(case: Case) -> None:
    """If the beginning of one of its files is damaged, the dataset raises a DataError that names the file."""
    for name in _files_to_try(case):
        with copied_folder(files_of(case), without=name) as home:
            whole = files_of(case)[name].read_bytes()
            (home / name).write_bytes(_DAMAGE + whole[len(_DAMAGE) :])
            _require_refusal(
                case,
                home,
                name,
                damage="damaged",
                usually="an unchecked sha256; use `zoo.plugin.data_file`, which checks it",
            )


def _files_to_try(case: Case) -> list[Path]:
    """Return the files to try: all that the dataset reads or, if there are many, eight evenly spaced ones."""
    names = list(files_of(case))
    if not names:
        raise Inapplicable("it reads no files")
    if len(names) <= _MOST:
        return names
    return [names[number * (len(names) - 1) // (_MOST - 1)] for number in range(_MOST)]


def _require_refusal(case: Case, home: Path, name: Path, *, damage: str, usually: str) -> None:
    """Raise AssertionError unless the dataset rejects a folder with a DataError that names a file.

    If a file is missing, the dataset may also accept the folder, but must have another fingerprint.
    """
    with only_data_in(home):
        try:
            dataset = open_dataset(case.entry, options_for(case, home))
            read_through(dataset)
        except DataError as error:
            if name.name in str(error):
                return
            got = f"a DataError without the file's name: {error}"
        except Exception as error:
            got = located(error)
        else:
            got = "a dataset with the same fingerprint" if damage == "missing" else "a dataset"
            if damage == "missing" and dataset.fingerprint != dataset_of(case).fingerprint:
                return
    raise Failure(expected=f"a DataError that names the {damage} file {name}", got=got, usually=usually)
