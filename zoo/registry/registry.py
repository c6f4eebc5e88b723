"""The registry: every entry of every healthy plugin, by full or short name."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from zoo.errors import AmbiguousName, PluginError, UnknownName, did_you_mean
from zoo.registry import plugins
from zoo.registry.plugins import Kind, Plugin
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, DatasetSpec, Spec

__all__ = ["Entry", "Registry", "matches"]

S = TypeVar("S", bound=Spec, covariant=True)


@dataclass(frozen=True, slots=True)
class Entry(Generic[S]):
    """One spec and the plugin that owns it."""

    kind: Kind
    spec: S
    plugin: Plugin

    @property
    def name(self) -> str:
        """The full name, `<plugin>/<spec name>`."""
        return f"{self.plugin.name}/{self.spec.name}"

    def load(self) -> Callable[..., Any]:
        """Import what the spec points at."""
        return self.spec.load()


class Registry:
    """All entries. Build one with `Registry.discover()` and pass it on; there is no global one."""

    def __init__(self, found: Sequence[Plugin]) -> None:
        self.plugins = tuple(found)
        self._entries = [Entry(kind, spec, plugin) for plugin in found for kind, spec in plugin.specs]

    @classmethod
    def discover(cls, *, disabled: Sequence[str] = (), local: Sequence[Path] = ()) -> Registry:
        """Load the installed plugins; `$ZOO_PLUGINS` (comma-separated, may be empty) narrows them.

        Raises UnknownName if that names a plugin there is not.
        """
        chosen = os.environ.get("ZOO_PLUGINS")
        only = None if chosen is None else [name.strip() for name in chosen.split(",") if name.strip()]
        found = plugins.discover(only=only, disabled=disabled, local=local)
        known = [plugin.name for plugin in found]
        for name in only or ():
            if name not in known:
                raise UnknownName(f"$ZOO_PLUGINS names {name!r}, and no plugin is{did_you_mean(name, known)}")
        return cls(found)

    @property
    def failures(self) -> list[Plugin]:
        """The plugins that failed to load."""
        return [plugin for plugin in self.plugins if plugin.status == "failed"]

    def require_healthy(self) -> None:
        """Raise PluginError if any plugin failed: what `--strict` asks for."""
        if self.failures:
            told = "; ".join(f"{p.name} ({p.distribution}): {p.cause}" for p in self.failures)
            raise PluginError(f"{len(self.failures)} plugin(s) failed: {told}")

    def entries(self, kind: Kind | None = None, pattern: str | None = None) -> list[Entry[Spec]]:
        """Return entries in the order of plugins, narrowed to a kind and to names like `pattern`."""
        return [
            entry
            for entry in self._entries
            if (kind is None or entry.kind == kind) and (pattern is None or matches(entry.name, pattern))
        ]

    def architecture(self, name: str) -> Entry[ArchitectureSpec]:
        """Return an architecture. Raises UnknownName or AmbiguousName, as do the next two."""
        return cast("Entry[ArchitectureSpec]", self._get("architecture", name))

    def dataset(self, name: str) -> Entry[DatasetSpec]:
        """Return a dataset."""
        return cast("Entry[DatasetSpec]", self._get("dataset", name))

    def analyzer(self, name: str) -> Entry[AnalyzerSpec]:
        """Return an analyzer."""
        return cast("Entry[AnalyzerSpec]", self._get("analyzer", name))

    def _get(self, kind: Kind, name: str) -> Entry[Spec]:
        candidates = self.entries(kind)
        found = [entry for entry in candidates if name in (entry.name, entry.spec.name)]
        if len(found) > 1:
            owners = " and ".join(entry.plugin.name for entry in found)
            choices = " or ".join(entry.name for entry in found)
            raise AmbiguousName(f"{name!r} is provided by {owners}; write {choices}")
        if found:
            return found[0]
        known = [entry.name for entry in candidates] + [entry.spec.name for entry in candidates]
        failed = ", ".join(plugin.name for plugin in self.failures)
        hint = f"`zoo list {kind}` shows all"
        raise UnknownName(
            f"no {kind} {name!r}{did_you_mean(name, known)}",
            hint=hint + (f"; these plugins failed to load: {failed}" if failed else ""),
        )


def matches(name: str, pattern: str) -> bool:
    """Say whether a full name fits a pattern: a glob on the full or short name, or a part of it."""
    if any(mark in pattern for mark in "*?["):
        return fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.partition("/")[2], pattern)
    return pattern in name
