"""Which folders may run code: trusting the one-file plugins of a registry.toml. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.config.arguments import checked
from zoo.errors import CatalogError, ZooError
from zoo.registry import trust as store
from zoo.registry.catalog import read_local, user_path

__all__ = ["list_trusted", "trust", "untrust"]


@checked
def trust(path: str | Path | None = None) -> dict[str, Any]:
    """Let the one-file plugins that a registry.toml names run, until a byte of it or of them changes.

    Args:
        path: a registry.toml or its folder; by default `$ZOO_REGISTRY`, or the one in the current folder.

    Returns:
        The `path` and its `files`, each with its `sha256` and number of `bytes`; of a file that cannot be
        read, the `problem`.

    Raises:
        CatalogError: there is no such file, it is not a valid registry.toml, or it names no plugins that can
            be read.
        OutputError: the user's configuration cannot be written.
    """
    toml = _toml(path)
    data, local = read_local(toml)
    if not local:
        hint = "recipes and weights are data, and need no trust"
        raise CatalogError(f"{toml} names no one-file plugins: there is nothing to trust", hint=hint)
    files = [store.LocalFile.read(file) for file in local]
    if all(file.problem for file in files):
        problems = "; ".join(file.problem for file in files)
        raise CatalogError(f"{toml}: there is nothing to trust: {problems}")
    store.remember(toml, data, files)
    rows = [_file(toml.resolve(), data), *(_file(file.path, file.source, file.problem) for file in files)]
    return {"path": str(toml.resolve()), "files": rows}


@checked
def untrust(path: str | Path | None = None) -> dict[str, Any]:
    """Trust the plugins of a registry.toml no longer; return its `path`, and whether it was `removed`.

    Args:
        path: a registry.toml or its folder, which need not exist; by default as in `trust`.

    Raises:
        CatalogError: no path is given, and there is no registry.toml.
        OutputError: the user's configuration cannot be written.
    """
    toml = _toml(path)
    return {"path": str(toml.resolve()), "removed": store.forget(toml)}


def list_trusted() -> list[dict[str, Any]]:
    """Return every registry.toml that was trusted: its `path`, `files`, and the `status`.

    The status is `trusted`; `changed`, if its plugins do not run because some byte has changed; or `missing`.
    """
    return [
        {"path": record.path, "status": _status(record), "files": [*record.files]}
        for record in store.records()
    ]


def _status(record: store.Record) -> str:
    path = Path(record.path)
    if not path.exists():
        return "missing"
    try:
        data, local = read_local(path)
    except ZooError:
        return "changed"
    return (
        "trusted" if store.holds(record, data, [store.LocalFile.read(file) for file in local]) else "changed"
    )


def _toml(path: str | Path | None) -> Path:
    toml = user_path() if path is None else Path(path)
    if toml is None:
        raise CatalogError("there is no registry.toml here", hint="name one, or its folder: zoo trust PATH")
    return toml / "registry.toml" if toml.is_dir() else toml


def _file(path: Path, data: bytes, problem: str = "") -> dict[str, Any]:
    if problem:
        return {"file": str(path), "problem": problem}
    return {"file": str(path), "bytes": len(data), "sha256": store.sha256_of_bytes(data)}
