"""The hooks that a plugin may implement. Each returns specs and does nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, DatasetSpec

__all__ = ["hookimpl", "hookspec", "zoo_analyzers", "zoo_architectures", "zoo_datasets"]

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")


@hookspec
def zoo_architectures() -> Iterable[ArchitectureSpec]:  # pyright: ignore[reportReturnType]
    """Return the architectures this plugin provides."""


@hookspec
def zoo_datasets() -> Iterable[DatasetSpec]:  # pyright: ignore[reportReturnType]
    """Return the datasets this plugin provides."""


@hookspec
def zoo_analyzers() -> Iterable[AnalyzerSpec]:  # pyright: ignore[reportReturnType]
    """Return the analyzers this plugin provides."""
