"""Open the dataset under check: with its default options, offline, and with files missing."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import functools
import io
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from zoo.config.declarations import declared
from zoo.config.options import convert
from zoo.data.opening import open_dataset
from zoo.errors import DataError, SpecError, ZooError
from zoo.files.cache import data_home
from zoo.files.downloads import offline
from zoo.interfaces import SPLITS, Dataset
from zoo.registry.plugins import folder_of
from zoo.testing._case import Case, Skip, failing, message, without_values

# A text file for the datasets that read one, no line of which comes twice
TEXT = "".join(f"{n} times {n + 1} is {n * (n + 1)}.\n" for n in range(1, 200))

# The most items and tokens of a split that are compared
_ITEMS, _TOKENS = 200, 20_000


def dataset_of(case: Case) -> Dataset:
    """Return the opened dataset. Only the latest dataset is kept, since it may be large."""
    return case.kept("opened", lambda: opened(case))


def opened(case: Case) -> Dataset:
    """Open the dataset again. Raises Skip if its data is missing, or if an option has no default."""
    try:
        options = _options(case)
        with offline():
            return open_dataset(case.entry, options)
    except SpecError as error:
        raise Skip(str(error)) from None
    except DataError as error:
        raise Skip(f"its data is missing, and checks do not download it: {error}") from None


def other_openings(case: Case, *, most: int) -> Iterator[tuple[str, Dataset]]:
    """Yield the name of each integer option, and the dataset opened with that option changed by 1."""
    known = declared(case.entry.load())
    usual = {name: option.default for name, option in known.items()} | dict(_options(case))
    numbers = [name for name, value in usual.items() if type(value) is int]
    for name in numbers[:most]:
        for value in (usual[name] + 1, usual[name] - 1):
            try:
                with offline():
                    yield name, open_dataset(case.entry, {**_options(case), name: value})
            except ZooError:  # out of range
                continue
            break


def usual_options(case: Case) -> dict[str, Any]:
    """Return the options with which the dataset is opened, and the defaults that are plain values."""
    usual = {name: option.default for name, option in declared(case.entry.load()).items()}
    plain = {name: value for name, value in usual.items() if type(value) in (bool, int, float, str)}
    return {**plain, **_options(case)}


def options_for(case: Case, folder: Path) -> dict[str, Any]:
    """Return the options that make the dataset look for its files in `folder`."""
    options = _options(case)
    if "paths" in options:
        return {**options, "paths": [str(folder / Path(path).name) for path in options["paths"]]}
    return {**options, "root": str(folder)} if "root" in declared(case.entry.load()) else {**options}


@contextlib.contextmanager
def only_data_in(home: Path) -> Generator[None]:
    """Search for data only in `home`, with an empty cache and without downloads."""
    with empty_folder() as cache:
        variables = {"ZOO_DATA": str(home), "ZOO_CACHE": str(cache), "ZOO_OFFLINE": "1"}
        with mock.patch.dict(os.environ, variables):
            yield


@contextlib.contextmanager
def empty_folder() -> Generator[Path]:
    """Create an empty folder, and remove it on exit."""
    with tempfile.TemporaryDirectory(prefix="zoo-check-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.contextmanager
def no_network() -> Generator[list[str]]:
    """Make every connection raise OSError, and collect the addresses."""
    tried: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        tried.append(str(next((a for a in arguments if not isinstance(a, socket.socket)), "an address")))
        raise OSError("the contract kit does not allow network connections")

    with (
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
        mock.patch.object(socket, "getaddrinfo", refuse),
    ):
        yield tried


def files_of(case: Case) -> dict[Path, Path]:
    """Return the files that a dataset reads from its folder, in order, by their relative paths.

    Each candidate folder is copied as a tree of symbolic links until the dataset opens the copy. The result
    contains the files that it then opens through Python or `os`. It is empty for a dataset that only reads
    from a fixed place.
    """
    return case.kept("files", lambda: _files_read(case))


@contextlib.contextmanager
def copied_folder(files: Mapping[Path, Path], *, without: Path | None = None) -> Generator[Path]:
    """Create a folder with links to all but one of a dataset's files, and remove it on exit."""
    with empty_folder() as home:
        for name, path in files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            if name != without:
                (home / name).symlink_to(path.absolute())
        yield home


def _files_read(case: Case) -> dict[Path, Path]:
    for home in _homes(case):
        with empty_folder() as elsewhere, only_data_in(elsewhere):
            for item in home.iterdir() if home.is_dir() else ():
                (elsewhere / item.name).symlink_to(item.absolute())
            with _recorded_reads() as read:
                try:
                    read_through(open_dataset(case.entry, options_for(case, elsewhere)))
                except DataError:
                    continue
            names = [path.relative_to(elsewhere) for path in read if path.is_relative_to(elsewhere)]
            return {name: home / name for name in names if (home / name).is_file()}
    return {}


def _homes(case: Case) -> list[Path]:
    options, root = _options(case), declared(case.entry.load()).get("root")
    if "paths" in options:
        return [Path(options["paths"][0]).parent]
    usual = options.get("root", root.default if root else None)
    return [*([Path(usual).expanduser()] if isinstance(usual, str) else []), *data_home(None)]


@contextlib.contextmanager
def _recorded_reads() -> Generator[list[Path]]:
    read: list[Path] = []
    recording = _recording(io.open, read)
    with (
        mock.patch.object(io, "open", recording),
        mock.patch.object(builtins, "open", recording),
        mock.patch.object(os, "open", _recording(os.open, read)),
    ):
        yield read


def _recording(real: Callable[..., Any], named: list[Path]) -> Callable[..., Any]:
    """Return a function that also collects the paths with which it is called."""

    def recording(file: Any = ".", *arguments: Any, **more: Any) -> Any:
        if isinstance(file, str | os.PathLike):
            named.append(Path(os.fspath(file)).absolute())
        return real(file, *arguments, **more)

    return recording


def reads_what_it_is_given(case: Case, option: str, type_: Any) -> bool:
    """Return whether the dataset opens a file named in an option, in any form that its type allows."""
    with empty_folder() as folder:
        path = folder / "named.txt"
        path.write_text(TEXT, encoding="utf-8")
        named: list[Path] = []
        for value in (str(path), [str(path)], str(folder), [str(folder)], f"{folder}/*", {"path": str(path)}):
            with (
                contextlib.suppress(Exception),  # refused, or it fails later: only what it opens counts
                offline(),
                mock.patch.object(os, "scandir", _recording(os.scandir, named)),
                mock.patch.object(os, "listdir", _recording(os.listdir, named)),
                _recorded_reads() as opened,
            ):
                convert(value, type_, what=option)
                read_through(open_dataset(case.entry, {**_options(case), option: value}))
            if any(seen.is_relative_to(folder) for seen in (*named, *opened)):
                return True
    return False


def read_through(dataset: Dataset) -> None:
    """Read every property of a dataset, and the first item of each split."""
    for name in ("dims", "preprocess", "fingerprint"):
        got = getattr(dataset, name)
        assert got or (name == "preprocess" and got is not None), message(
            expected=f"a dataset with {name}",
            got=repr(got),
            usually=f"a property {name} without a return statement",
        )
    for name in SPLITS:
        split = dataset.split(name)
        if len(split):
            assert split[0] is not None


def require_splits(dataset: Dataset) -> None:
    """Raise AssertionError unless a dataset has three splits; they may be empty."""
    for name in SPLITS:
        with failing(
            expected=f"a {name} split, which may be empty",
            usually="a split that is missing from the data; return an empty split, such as []",
        ):
            try:
                split = dataset.split(name)
            except DataError as error:
                raise Skip(f"its {name} split is missing, and checks do not download it: {error}") from None
        lacking = [method for method in ("__len__", "__getitem__") if not hasattr(split, method)]
        assert not lacking, message(
            expected=f"a {name} split whose items are read by index",
            got=f"a {type(split).__name__} without {' and '.join(lacking)}",
            usually="an iterable, such as an IterableDataset or a generator; shuffling needs an index",
        )


def content_of(dataset: Dataset) -> str:
    """Return a hash of some items of each split, labels included, or of its tokens."""
    digest = sha256()
    for name in SPLITS:
        split = dataset.split(name)
        if isinstance(split, Tensor):
            parts = [split[:_TOKENS], split[-_TOKENS:]]
        else:
            ends = [split[number] for number in (0, len(split) - 1)] if len(split) else []
            parts = (part for item in [*sample(split, _ITEMS), *ends] for part in item)
        for part in parts:
            digest.update(torch.as_tensor(part).numpy().tobytes())
    return digest.hexdigest()


def described(dataset: Dataset) -> dict[str, str]:
    """Return the parts of a dataset that must not change when it is opened again."""
    return {
        "items": content_of(dataset),
        "dims": json.dumps(dict(dataset.dims), default=str),
        "preprocess": json.dumps(dict(dataset.preprocess), default=str),
        "fingerprint": dataset.fingerprint,
    }


def sample(items: Any, count: int) -> Iterator[tuple[Tensor, Any]]:
    """Yield up to `count` random items; every call selects the same items."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))
    return (items[index] for index in order[:count].tolist())


def _options(case: Case) -> Mapping[str, Any]:
    """Return the options of the spec and its sample, with a text file for `paths` if that is required."""
    spec = case.entry.spec
    config = {**spec.config, **{name: _placed(case, name, value) for name, value in spec.sample.items()}}
    required = [
        name for name, option in declared(case.entry.load()).items() if option.required and name not in config
    ]
    if required not in ([], ["paths"]):
        skip = without_values(required)
        raise Skip(f"{skip}; set `sample` in its spec")
    return {**config, "paths": [_text_file()]} if required else config


def _placed(case: Case, name: str, value: Any) -> Any:
    """Return the value of an option in a sample, with paths in the folder of the plugin."""
    if name not in case.spec.path_options:
        return value
    folder = folder_of(case.plugin.where)
    return [str(folder / path) for path in value] if isinstance(value, list | tuple) else str(folder / value)


@functools.cache
def _text_file() -> str:
    folder = Path(tempfile.mkdtemp(prefix="zoo-check-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return str(folder / "text.txt")
