"""Opening the dataset under check: with its default options, fetching nothing, and where its data is not."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import io
import os
import shutil
import socket
import tempfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from zoo.config.signatures import signature_options
from zoo.data.opening import open_dataset
from zoo.errors import DataError, SpecError, ZooError
from zoo.files.cache import data_home
from zoo.files.downloads import offline
from zoo.interfaces import Dataset, Split
from zoo.testing._suite import Case, Skip
from zoo.testing._tiny import TEXT

__all__ = [
    "SPLITS",
    "away_from_its_data",
    "dataset_of",
    "empty_folder",
    "files_read",
    "opened",
    "options_for",
    "other_openings",
    "peruse",
    "sample",
    "watching_the_network",
]

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def dataset_of(case: Case) -> Dataset:
    """Return the dataset; only the one that was opened last is kept, since it may be large."""
    if case.shared.get("opened", ("", None))[0] != case.spec.name:
        case.shared.pop("opened", None)
        case.shared["opened"] = (case.spec.name, opened(case))
    return case.shared["opened"][1]


def opened(case: Case) -> Dataset:
    """Open the dataset anew. Raises Skip where the kit cannot: no data here, an option without a default."""
    assert case.entry is not None
    try:
        given = _options(case)
        with offline():
            return open_dataset(case.entry, given)
    except SpecError as error:
        raise Skip(str(error)) from None
    except DataError as error:
        raise Skip(f"no data here, and checks fetch nothing: {error}") from None


def other_openings(case: Case, *, most: int) -> Iterator[tuple[str, Dataset]]:
    """Yield the dataset opened with one option that is a whole number changed, and the option's name."""
    assert case.entry is not None
    options = signature_options(case.entry.load())
    numbers = [name for name, option in options.items() if type(option.default) is int]
    for name in numbers[:most]:
        for value in (options[name].default + 1, options[name].default - 1):
            try:
                with offline():
                    yield name, open_dataset(case.entry, {**_options(case), name: value})
            except ZooError:  # out of range
                continue
            break


def options_for(case: Case, folder: Path) -> dict[str, Any]:
    """Return the options that have the dataset look for its files in `folder`."""
    assert case.entry is not None
    given = _options(case)
    if "paths" in given:
        return {"paths": [str(folder / Path(path).name) for path in given["paths"]]}
    return {"root": str(folder)} if "root" in signature_options(case.entry.load()) else {}


@contextlib.contextmanager
def away_from_its_data(home: Path) -> Generator[None]:
    """Make `home` the only folder data is looked for in, with an empty cache; fetching is forbidden."""
    with empty_folder() as cache:
        there = {"ZOO_DATA": str(home), "ZOO_CACHE": str(cache), "ZOO_OFFLINE": "1"}
        with mock.patch.dict(os.environ, there):
            yield


@contextlib.contextmanager
def empty_folder() -> Generator[Path]:
    """Lend an empty folder."""
    folder = Path(tempfile.mkdtemp(prefix="zoo-check-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def watching_the_network() -> Generator[list[str]]:
    """Refuse every connection, and collect where they were to go."""
    tried: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        tried.append(str(next((a for a in arguments if not isinstance(a, socket.socket)), "somewhere")))
        raise OSError("the contract kit allows no connection")

    with (
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
        mock.patch.object(socket, "getaddrinfo", refuse),
    ):
        yield tried


def files_read(case: Case) -> dict[Path, Path]:
    """Return the files a dataset reads of its folder, by their paths within it, in the order of reading.

    Each folder that data is looked for in is laid elsewhere, as links, until the dataset opens there. What it
    then reads there through Python's `open` are its files; none are if it always looks in one place.
    """
    assert case.entry is not None
    for home in _homes(case):
        with empty_folder() as elsewhere, away_from_its_data(elsewhere):
            for item in home.iterdir() if home.is_dir() else ():
                (elsewhere / item.name).symlink_to(item.absolute())
            with _noting_reads() as read:
                try:
                    peruse(open_dataset(case.entry, options_for(case, elsewhere)))
                except DataError:
                    continue
            names = [path.relative_to(elsewhere) for path in read if path.is_relative_to(elsewhere)]
            return {name: home / name for name in names if (home / name).is_file()}
    return {}


def _homes(case: Case) -> list[Path]:
    assert case.entry is not None
    given, root = _options(case), signature_options(case.entry.load()).get("root")
    if "paths" in given:
        return [Path(given["paths"][0]).parent]
    default = [Path(root.default).expanduser()] if root is not None and isinstance(root.default, str) else []
    return [*default, *data_home(None)]


@contextlib.contextmanager
def _noting_reads() -> Generator[list[Path]]:
    read: list[Path] = []
    real = io.open

    def noting(file: Any, *arguments: Any, **more: Any) -> Any:
        if isinstance(file, str | os.PathLike):
            read.append(Path(os.fspath(file)).absolute())
        return real(file, *arguments, **more)

    with mock.patch.object(io, "open", noting), mock.patch.object(builtins, "open", noting):
        yield read


def peruse(dataset: Dataset) -> None:
    """Ask a dataset for all it has to say, and for the first item of each split."""
    assert dataset.dims
    assert dataset.preprocess
    assert dataset.fingerprint
    for name in SPLITS:
        split = dataset.split(name)
        if len(split):
            assert split[0] is not None


def sample(images: Any, count: int) -> Iterator[tuple[Tensor, int]]:
    """Yield up to `count` items, chosen evenly by a fixed seed."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return (images[index] for index in order[:count].tolist())


def _options(case: Case) -> Mapping[str, Any]:
    assert case.entry is not None
    required = [
        name
        for name, option in signature_options(case.entry.load()).items()
        if option.default is option.empty
    ]
    if required not in ([], ["paths"]):
        raise Skip(f"it needs {', '.join(required)}, which the kit cannot make up")
    return {"paths": [_text_file(case)]} if required else {}


def _text_file(case: Case) -> str:
    if "text" not in case.shared:
        folder = Path(tempfile.mkdtemp(prefix="zoo-check-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / "text.txt").write_text(TEXT, encoding="utf-8")
        case.shared["text"] = str(folder / "text.txt")
    return case.shared["text"]
