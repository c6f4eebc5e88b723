"""Resolve the name of weights to a file: a published id, weights of a zoo or the Hub, a path, or a run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from zoo.config.arguments import checked
from zoo.config.near_names import did_you_mean
from zoo.errors import DataError, WeightsError, warn
from zoo.files import run_files
from zoo.files.cache import data_home
from zoo.registry import hub_weights, remotes
from zoo.registry.catalog import Catalog
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo.registry.zoo_index import INDEX

# What zoo-runtime can do, which has no torch
_EXPORTED = "without torch, zoo reads only files that `zoo export` wrote on a machine with torch"


@checked
def locate_weights(registry: Registry, name: str | Path, *, last: bool = False) -> tuple[Path, str]:
    """Return the file that a name refers to, and the sha256 that the file must match, if any.

    The name is a published id, the name of weights in a zoo (`team:shapes`, see `zoo.registry.remotes`) or on
    the Hugging Face Hub (`hf:owner/name`, see `zoo.registry.hub_weights`), a path, or a run directory, which
    means the run's best weights: see `of_run`. A bare word is an id. A path has a separator or a suffix
    (`./demo`, `demo.safetensors`), is an existing file with a colon in its name, or is a `Path`.
    The file is not read: the caller must check the hash when reading the file, unless the hash is empty.

    Args:
        last: whether to return the last weights of a run directory.

    Raises:
        WeightsError: the name is not a published id, a path or a run directory.
        AmbiguousName: multiple plugins publish weights with this name.
        UnknownName, CatalogError: the zoo is unknown, or its index is invalid.
        SpecError: the package for the Hub is missing.
        DataError: a published file is not on this machine, or cannot be downloaded.
    """
    if last:
        return of_run(Path(name), last=True), ""
    if isinstance(name, Path):
        return _path(registry, name), ""
    if (of_zoo := remotes.find(name)) is not None:
        spec, _ = of_zoo
        return _published(name, spec), spec.sha256
    if (of_hub := hub_weights.find(name)) is not None:
        return of_hub
    found = registry.names.find(name, "weights")
    if found is not None:
        if "/" in name and os.path.lexists(name):
            warn(f"{name} refers to a plugin's published weights; to use the file, write ./{name}")
        spec = registry.weights[found.name]
        return _published(found.name, spec), spec.sha256
    if "/" not in name and "." not in name and not (":" in name and os.path.lexists(name)):
        raise _unknown(registry, name)
    return _path(registry, name), ""


def published_spec(registry: Registry, name: str | Path) -> WeightsSpec | None:
    """Return the registry's entry of published weights; None for a file or a run directory."""
    found = None if isinstance(name, Path) else registry.names.find(name, "weights")
    return registry.weights[found.name] if found else None


def _path(registry: Registry, name: str | Path) -> Path:
    """Return the file for a path: the path itself, or the best weights of a run directory."""
    path = Path(name)
    if not path.exists():
        here = "./" if str(name).startswith("./") else ""
        known = [f"{here}{run}" for run in runs_in(path.parent)]
        known += registry.names.words("weights")
        nearest = did_you_mean(path.stem if path.stem in known else str(name), known)
        hint = "`zoo list weights` shows the published weights"
        raise WeightsError(f"no such file or run directory: {name}{nearest}", hint=hint)
    return of_run(path) if path.is_dir() else path


def of_run(directory: Path, *, last: bool = False) -> Path:
    """Return the file of a run's best weights by validation or, without validation, of its last weights.

    For an unfinished run, these are the best weights so far, or the weights of the last save.

    Args:
        last: whether to always return the file of the last weights.

    Raises WeightsError if nothing is saved yet, or if the directory does not hold a run.
    """
    for name in run_files.WEIGHTS[last:]:
        if (directory / name).is_file():
            return directory / name
    if (directory / run_files.CONFIG).is_file():
        hint = f"`zoo resume {shlex.quote(str(directory))}` continues the run"
        raise WeightsError(f"{directory} has no weights: the run stopped before its first save", hint=hint)
    runs = ", ".join(map(str, runs_in(directory)[:5]))
    if _is_zoo(directory):
        raise _zoo_folder(directory)
    hint = f"runs in this folder: {runs}" if runs else "`zoo train` creates run directories"
    if not runs and find_spec("torch") is None:
        hint = _EXPORTED
    what = "a folder without a run" if directory.is_dir() else "not a run directory"
    raise WeightsError(f"{directory} is {what}", hint=hint)


def runs_in(folder: Path) -> list[Path]:
    """Return the run directories in a folder that have weights."""
    return sorted({file.parent for file in folder.glob("*/*.safetensors") if file.name in run_files.WEIGHTS})


def warn_if_unfinished(name: str | Path, path: Path, progress: Mapping[str, int]) -> None:
    """Warn which weights are used if a run is not finished.

    Args:
        name: the name that was given.
        path: the file that was found.
        progress: number of `epochs` and `steps` done, as on the file's card.
    """
    if is_finished(path) or not Path(name).is_dir():
        return
    which = f"its best weights so far, from epoch {progress['epochs']}"
    if path.name != run_files.BEST:
        which = f"the weights of its last save, epoch {progress['epochs'] + 1}, step {progress['steps']:,}"
    warn(f"the run {name} is not finished: using {which}")


def is_finished(path: Path) -> bool:
    """Return whether the run is finished whose directory contains a weights file."""
    there = {file for file in run_files.WEIGHTS if (path.parent / file).exists()}
    return run_files.LAST in there or there == {run_files.BEST}  # and pruned


def at_hand(name: str, spec: WeightsSpec, *, homes: Sequence[Path] | None = None) -> Path | None:
    """Return the file of published weights if it is on this machine. The file is not read.

    Args:
        homes: folders of downloads, `data_home(None)`, if the caller already knows them.
    """
    return next((place for place in _places(name, spec, homes) if place.is_file()), None)


def _places(name: str, spec: WeightsSpec, homes: Sequence[Path] | None) -> Iterator[Path]:
    """Yield the paths at which the file of published weights may be.

    These are the spec's path, the folder `$ZOO_WEIGHTS`, the downloads, and the distribution zoo-weights,
    which contains only files and is not imported.
    """
    if spec.file:
        yield Path(spec.file)
    if folder := os.environ.get("ZOO_WEIGHTS"):
        yield Path(folder).expanduser() / f"{name.rpartition('/')[2]}.safetensors"
    if spec.url:
        yield from (home / _download(name, spec) for home in homes or data_home(None))
    if name in Catalog.shipped().weights and (package := find_spec("zoo_weights")):
        yield from (Path(each, f"{name}.safetensors") for each in package.submodule_search_locations or ())


def _download(name: str, spec: WeightsSpec) -> str:
    return f"weights/{name}-{spec.sha256[:12]}.safetensors"  # the next version has another


def _published(name: str, spec: WeightsSpec) -> Path:
    """Return the file of published weights, downloading it if possible.

    Raises DataError, and WeightsError if their publisher withdrew them.
    """
    from zoo.files import downloads

    if spec.withdrawn:
        raise WeightsError(f"{name} was withdrawn by its publisher: {spec.withdrawn}")
    if (path := at_hand(name, spec)) is not None:
        return path
    if spec.url:
        return downloads.data_file(
            _download(name, spec), url=spec.url, sha256=spec.sha256, max_bytes=spec.bytes
        )
    plugin, slash, short = name.rpartition("/")
    whence = f"the package of {plugin}" if slash else "its publisher"
    hint = f"copy {short}.safetensors from {whence} to a folder, and set ZOO_WEIGHTS to its path"
    if name in Catalog.shipped().weights:
        hint = "`pip install ./weights/large` in a clone of zoo's repository installs it"
    hint = f"{hint}; or train the model: `zoo train {shlex.quote(spec.recipe)}`"
    if find_spec("torch") is None:
        hint = _EXPORTED
    message = f"the weights file of {name} ({spec.bytes:,} bytes) is not on this machine"
    raise DataError(message, hint=hint)


def _unknown(registry: Registry, name: str) -> WeightsError:
    """Return the error for a word that is not a published id, with suggestions."""
    if (word := name.rstrip(":")) in remotes.read_remotes():
        hint = f"write {word}:ID; `zoo list --remote {word}` shows its weights"
        return WeightsError(f"{name} is a remote, not weights", hint=hint)
    if name and _is_zoo(Path(name)):
        return _zoo_folder(Path(name))
    for path in (f"./{name}", f"runs/{name}", f"{name}.safetensors"):
        if name and Path(path).exists():
            hint = "a name without a / or a suffix is treated as the id of published weights"
            return WeightsError(f"unknown weights {name!r}; did you mean {path}?", hint=hint)
    nearest = registry.names.nearest(name, ["weights"])
    hint = "`zoo list weights` shows the published weights; a path must contain a / or a suffix (runs/demo)"
    if trained := ", ".join(weights_of(registry, name)):
        hint = f"this is an architecture; its published weights: {trained}"
    return WeightsError(f"unknown weights {name!r}{nearest}", hint=hint)


def _is_zoo(folder: Path) -> bool:
    """Return whether a folder has what `zoo publish` writes; any folder may have a registry.toml."""
    return (folder / INDEX).is_file() and (folder / "SHA256SUMS").is_file()


def _zoo_folder(folder: Path) -> WeightsError:
    hint = f"`zoo remote add NAME {shlex.quote(str(folder))}` gives it a name; its weights are then NAME:ID"
    return WeightsError(f"{folder} is a zoo, not weights", hint=hint)


def weights_of(registry: Registry, name: str) -> list[str]:
    """Return the ids of an architecture's published weights; empty for an unknown architecture."""
    named = registry.names.matching(name, "architecture")
    recipes = {id_: registry.recipes.get(spec.recipe) for id_, spec in registry.weights.items()}
    return [
        id_
        for id_, recipe in recipes.items()
        if recipe and named and registry.names.matching(recipe.architecture, "architecture")[:1] == named[:1]
    ]
