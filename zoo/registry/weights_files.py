"""Which file does somebody mean: a published id, a path, or a run directory?"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from zoo.config.arguments import checked
from zoo.errors import WeightsError, did_you_mean, warn
from zoo.registry import plugins
from zoo.registry.registry import Registry

__all__ = ["find_weights"]


@checked
def find_weights(registry: Registry, name: str | Path) -> Path:
    """Return the file behind a published id, a path or a run directory.

    A run directory stands for its final weights. The sha256 of a published file is checked. A bare word
    is an id: a path has a separator or a suffix (`./demo`, `demo.safetensors`), or is a `Path`.

    Raises:
        WeightsError: the name is none of these.
        DataError: a published file is damaged or cannot be downloaded.
    """
    from zoo.files import downloads

    if isinstance(name, str) and (found := registry.weights.find(name)) is not None:
        if "/" in name and os.path.lexists(name):
            warn(f"{name} means the weights of that plugin; write ./{name} for the file")
        spec = registry.weights[found]
        if spec.file:
            return downloads.verified(Path(spec.file), spec.sha256)
        place = f"weights/{found}-{spec.sha256[:12]}.safetensors"  # the next version has another
        return downloads.data_file(place, url=spec.url, sha256=spec.sha256, max_bytes=spec.bytes)
    if isinstance(name, str) and "/" not in name and "." not in name:
        raise _unknown(registry, name)
    path = Path(name)
    if not path.exists():
        here = "./" if str(name).startswith("./") else ""
        known = [*(f"{here}{run.parent}" for run in path.parent.glob("*/model.safetensors"))]
        known += registry.weights.names()
        nearest = did_you_mean(path.stem if path.stem in known else str(name), known)
        hint = "`zoo list weights` shows the published ones"
        raise WeightsError(f"no such file or run directory: {name}{nearest}", hint=hint)
    if not path.is_dir():
        return path
    if not (path / "model.safetensors").is_file():
        runs = ", ".join(sorted(str(inner.parent) for inner in path.glob("*/model.safetensors"))[:5])
        hint = f"runs in it: {runs}" if runs else "a run writes it when it finishes"
        if (path / "checkpoint.safetensors").is_file():
            hint += f": `zoo resume {shlex.quote(str(name))}` continues this one"
        if (path / "best.safetensors").is_file():
            hint += f"; {path / 'best.safetensors'} holds its best epoch so far"
        raise WeightsError(f"{name} is a folder without a model.safetensors", hint=hint)
    return path / "model.safetensors"


def _unknown(registry: Registry, name: str) -> WeightsError:
    """Return the error for a word that is no published id, with what may have been meant."""
    for path in (f"./{name}", f"runs/{name}", f"{name}.safetensors"):
        if name and Path(path).exists():
            hint = "a word without a separator or a suffix is the id of published weights"
            return WeightsError(f"unknown weights {name!r}; did you mean {path}?", hint=hint)
    if name in registry.recipes.names():
        hint = f"`zoo train {shlex.quote(name)}` trains it"
        return WeightsError(f"{name} is a recipe without published weights", hint=hint)
    kinds = (kind for _, kind, _ in plugins.HOOKS if registry.has(kind, name))
    if (kind := next(kinds, None)) is not None:
        article = "an" if kind[0] in "aeiou" else "a"
        hint = "`zoo list weights` shows the published ones; those of a run are runs/NAME"
        return WeightsError(f"{name} is {article} {kind}, not weights", hint=hint)
    nearest = did_you_mean(name, registry.weights.names())
    hint = "`zoo list weights` shows the published ones; a path has a separator or a suffix: runs/demo"
    return WeightsError(f"unknown weights {name!r}{nearest}", hint=hint)
