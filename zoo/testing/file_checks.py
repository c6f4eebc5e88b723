"""Checks of what a dataset does where there is no network, and where its files are missing or damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from zoo.data.opening import open_dataset
from zoo.errors import DataError
from zoo.testing._data import (
    away_from_its_data,
    dataset_of,
    empty_folder,
    files_read,
    options_for,
    peruse,
    watching_the_network,
)
from zoo.testing._suite import Case, told

__all__ = ["refuses_damaged_files", "refuses_missing_files", "works_offline"]

_MOST = 8
_DAMAGE = b"\xff" * 1_000
"""What a file begins with once it is damaged: no text, no number of a format, and no hash that was pinned."""


def works_offline(case: Case) -> None:
    """Where fetching is forbidden no connection is tried, whether the data is here or not."""
    assert case.entry is not None
    with watching_the_network() as tried:
        try:
            dataset_of(case)
            with empty_folder() as home, away_from_its_data(home), contextlib.suppress(Exception):
                open_dataset(case.entry, options_for(case, home))
        finally:
            assert not tried, told(
                expected="no connection while ZOO_OFFLINE is set",
                got=f"one to {tried[0]}",
                usually="a download that does not ask; `zoo.files.downloads.data_file` does",
            )


def refuses_missing_files(case: Case) -> None:
    """Without one of its files the dataset raises a DataError that names it.

    Copies of its folder are tried, made of links, each without one of up to eight of the files that it reads.
    """
    for name in _tried(case):
        with _copy(case, name) as home:
            _refused(
                case,
                home,
                name,
                what="that is missing",
                usually="a file that is opened without looking; raise zoo.DataError with its path",
            )


def refuses_damaged_files(case: Case) -> None:
    """Where one of its files is damaged at its beginning the dataset raises a DataError that names it."""
    for name in _tried(case):
        with _copy(case, name) as home:
            whole = case.shared["files"][name].read_bytes()
            (home / name).write_bytes(_DAMAGE + whole[len(_DAMAGE) :])
            _refused(
                case,
                home,
                name,
                what="that is damaged",
                usually="bytes that are believed; compare their sha256, which `zoo.files.downloads` does",
            )


def _tried(case: Case) -> list[Path]:
    """Return the files that the dataset reads, in order; of many, eight from the first to the last."""
    if case.shared.get("files of") != case.spec.name:
        case.shared["files"] = files_read(case)
        case.shared["files of"] = case.spec.name
    names = list(case.shared["files"])
    if len(names) <= _MOST:
        return names
    return [names[number * (len(names) - 1) // (_MOST - 1)] for number in range(_MOST)]


@contextlib.contextmanager
def _copy(case: Case, without: Path) -> Generator[Path]:
    with empty_folder() as home:
        for name, path in case.shared["files"].items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            if name != without:
                (home / name).symlink_to(path.absolute())
        yield home


def _refused(case: Case, home: Path, name: Path, *, what: str, usually: str) -> None:
    assert case.entry is not None
    with away_from_its_data(home):
        try:
            peruse(open_dataset(case.entry, options_for(case, home)))
        except DataError as error:
            got = "" if name.name in str(error) else f"a DataError without its name: {error}"
        except Exception as error:
            got = f"{type(error).__name__}: {error}".split("\n")[0]
        else:
            got = "nothing of the kind"
    assert not got, told(expected=f"a DataError that names the file {name} {what}", got=got, usually=usually)
