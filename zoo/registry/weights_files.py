"""Which file does somebody mean: a published id, an architecture, a path, or a run directory?"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.config.arguments import checked
from zoo.errors import DataError, WeightsError, did_you_mean, warn
from zoo.files.cache import data_home
from zoo.registry.names import Named
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry

__all__ = ["SAVED", "WEIGHTS", "at_hand", "locate_weights", "of_run", "runs_in", "warn_if_unfinished"]

# A run directory stands for the first of these that there is; the last ones are those of a finished run
_BEST, _LAST = "best.safetensors", "model.safetensors"
SAVED = ("checkpoint.safetensors", "checkpoint.previous.safetensors")
WEIGHTS = (_BEST, _LAST, *SAVED)


@checked
def locate_weights(registry: Registry, name: str | Path, *, last: bool = False) -> tuple[Path, str]:
    """Return the file that a name means, and the sha256 that its content must have, if any.

    The name is a published id, an architecture, a path or a run directory. An architecture stands
    for its published weights, if there is one file of them, and a run directory for its best ones: see
    `of_run`. A bare word is a name: a path has a separator or a suffix (`./demo`,
    `demo.safetensors`), or is a `Path`. The file is not read: whoever does compares the hash of what it read.

    Args:
        last: return the last weights of a run directory.

    Raises:
        WeightsError: the name is none of these, or an architecture with several published files.
        DataError: a published file is not on this machine, or cannot be downloaded.
    """
    if last:
        return of_run(Path(name), last=True), ""
    if isinstance(name, str) and (found := _meant(registry, name)) is not None:
        return _published(registry, found), registry.weights[found].sha256
    if isinstance(name, str) and "/" not in name and "." not in name:
        raise _unknown(registry, name)
    return _path(registry, name), ""


def _path(registry: Registry, name: str | Path) -> Path:
    """Return the file that a path means: itself, or the best weights of a run directory."""
    path = Path(name)
    if not path.exists():
        here = "./" if str(name).startswith("./") else ""
        known = [f"{here}{run}" for run in runs_in(path.parent)]
        known += registry.names.words("weights")
        nearest = did_you_mean(path.stem if path.stem in known else str(name), known)
        hint = "`zoo list weights` shows the published ones"
        raise WeightsError(f"no such file or run directory: {name}{nearest}", hint=hint)
    return of_run(path) if path.is_dir() else path


def of_run(directory: Path, *, last: bool = False) -> Path:
    """Return the file of a run's best weights by validation; without validation, of its last ones.

    Those of a run that is not finished are its best so far, or else those of its last save.

    Args:
        last: return the file of the last weights in any case.

    Raises WeightsError if nothing is saved yet, or the directory holds no run.
    """
    for name in WEIGHTS[last:]:
        if (directory / name).is_file():
            return directory / name
    if (directory / "config.toml").is_file():
        hint = f"`zoo resume {shlex.quote(str(directory))}` continues it"
        raise WeightsError(f"{directory} has no weights yet: it was stopped before its first save", hint=hint)
    runs = ", ".join(map(str, runs_in(directory)[:5]))
    hint = f"runs in it: {runs}" if runs else "`zoo train` writes one"
    what = "a folder without a run" if directory.is_dir() else "not a run directory"
    raise WeightsError(f"{directory} is {what}", hint=hint)


def runs_in(folder: Path) -> list[Path]:
    """Return the run directories in a folder that have weights."""
    return sorted({file.parent for file in folder.glob("*/*.safetensors") if file.name in WEIGHTS})


def warn_if_unfinished(name: str | Path, path: Path, progress: Mapping[str, int]) -> None:
    """Warn which weights a run directory stands for, if the run is not finished.

    Args:
        name: what was asked for.
        path: the file that was found.
        progress: `epochs` and `steps` done, as on the card of that file.
    """
    if not Path(name).is_dir() or path.name == _LAST or (path.parent / _LAST).exists():
        return
    which = f"its best weights so far, of epoch {progress['epochs']}"
    if path.name != _BEST:
        which = f"the weights of its last save, epoch {progress['epochs'] + 1}, step {progress['steps']:,}"
    warn(f"{name} is not finished: using {which}")


def at_hand(name: str, spec: WeightsSpec, *, homes: Sequence[Path] | None = None) -> Path | None:
    """Return the file of published weights, if it is on this machine; nothing of it is read.

    It is where the spec says, in the folder that `$ZOO_WEIGHTS` names, or among the downloads.

    Args:
        homes: folders of downloads, if they are known: `data_home(None)`.
    """
    folder = os.environ.get("ZOO_WEIGHTS")
    places = [Path(spec.file)] if spec.file else []
    places += [Path(folder).expanduser() / f"{name.rpartition('/')[2]}.safetensors"] if folder else []
    places += [home / _download(name, spec) for home in homes or data_home(None)] if spec.url else []
    return next((place for place in places if place.is_file()), None)


def _download(name: str, spec: WeightsSpec) -> str:
    return f"weights/{name}-{spec.sha256[:12]}.safetensors"  # the next version has another


def _published(registry: Registry, name: str) -> Path:
    """Return the file of published weights, which is downloaded if it can be.

    Raises DataError.
    """
    from zoo.files import downloads

    spec = registry.weights[name]
    if (path := at_hand(name, spec)) is not None:
        return path
    if spec.url:
        return downloads.data_file(
            _download(name, spec), url=spec.url, sha256=spec.sha256, max_bytes=spec.bytes
        )
    plugin, slash, short = name.rpartition("/")
    whence = f"the package of {plugin}" if slash else "zoo's repository"
    raise DataError(
        f"the file of {name}, {spec.file or short} of {spec.bytes:,} bytes, is not on this machine",
        hint=f"copy {short}.safetensors from {whence} into a folder that $ZOO_WEIGHTS names, or train it: "
        f"`zoo train {shlex.quote(spec.recipe)}`",
    )


def _meant(registry: Registry, name: str) -> str | None:
    """Return the id of the published weights that a name means, if it means any.

    No plugin can take the name of an architecture of zoo's own.
    """
    weights = registry.names.find(name, "weights")
    if weights is None:
        return _of_architecture(registry, name)
    architectures = registry.names.matching(name, "architecture")
    if architectures and architectures[0].place < weights.place:
        if (ours := _of_architecture(registry, name)) is not None:
            warn(f"write {weights.name} for the weights of that plugin")
            return ours
    elif "/" in name and os.path.lexists(name):
        warn(f"{name} means the weights of that plugin; write ./{name} for the file")
    return weights.name


def _of_architecture(registry: Registry, name: str) -> str | None:
    """Return the weights that an architecture stands for, or None if it has none or is none.

    Raises WeightsError naming them if there are several.
    """
    architecture = registry.names.find(name, "architecture")
    if architecture is None:
        return None
    found = [id_ for id_, spec in registry.weights.items() if _architecture(registry, spec) == architecture]
    if len(found) > 1:
        listed = ", ".join(found)
        hint = "`zoo list weights` tells them apart"
        raise WeightsError(f"{name} has several published weights: {listed}", hint=hint)
    for only in found:
        warn(f"{name} means {only}, the only published weights of that architecture")
    return found[0] if found else None


def _architecture(registry: Registry, spec: WeightsSpec) -> Named | None:
    """Return the architecture of published weights, or None if it is not installed."""
    recipe = registry.recipes.get(spec.recipe)
    return registry.names.find(recipe.architecture, "architecture") if recipe else None


def _unknown(registry: Registry, name: str) -> WeightsError:
    """Return the error for a word that is no published id, with what may have been meant."""
    for path in (f"./{name}", f"runs/{name}", f"{name}.safetensors"):
        if name and Path(path).exists():
            hint = "a word without a separator or a suffix is the id of published weights"
            return WeightsError(f"unknown weights {name!r}; did you mean {path}?", hint=hint)
    nearest = registry.names.nearest(name, ["weights"])
    hint = "`zoo list weights` shows the published ones; a path has a separator or a suffix: runs/demo"
    return WeightsError(f"unknown weights {name!r}{nearest}", hint=hint)
