"""Arguments that are names, which the shell completes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from zoo.cli.session import Session
from zoo.config.arguments import refuse_url
from zoo.registry.registry import Registry
from zoo.registry.specs import ExporterSpec
from zoo.registry.weights_files import runs_in

__all__ = [
    "PLURALS",
    "NameType",
    "PathType",
    "complete_kind",
    "complete_run",
    "complete_target",
    "registry_of",
]

PLURALS = {
    "architecture": "architectures",
    "dataset": "datasets",
    "analyzer": "analyzers",
    "recipe": "recipes",
    "weights": "weights",
    "task": "tasks",
    "group": "groups",
    "command": "commands",
    "exporter": "exporters",
}


def complete_kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the kinds that start with the word so far."""
    return [kind for kind in PLURALS.values() if kind.startswith(incomplete)]


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Return the directories of runs that can be continued and start with the word so far."""
    folder = incomplete[: incomplete.rfind("/") + 1] or "runs"
    runs = sorted(str(checkpoint.parent) for checkpoint in Path(folder).glob("*/checkpoint.safetensors"))
    items = [CompletionItem(run, help="run directory") for run in runs if run.startswith(incomplete)]
    return [CompletionItem(incomplete, type="dir"), *items]


def complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Return the plugins and distributions that start with the word so far."""
    plugins = registry_of(ctx).plugins
    words = {plugin.name: plugin.distribution for plugin in plugins}
    words |= {plugin.distribution: f"all of version {plugin.version}" for plugin in plugins if plugin.dist}
    fitting = [CompletionItem(word, help=text) for word, text in words.items() if word.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *fitting]


def registry_of(ctx: click.Context) -> Registry:
    """Return the registry of the command line that is parsed, or completed."""
    return (ctx.find_object(Session) or Session()).registry


class NameType(click.ParamType[str]):
    """The name of an entry of some kinds. Completion offers those, kind by kind; any text is accepted.

    Args:
        runs: offer run directories and files too.
        beside: the parameter that names an entry or a recipe; only names for its task are offered, and none
            beside a recipe, which names all there is to name.
    """

    def __init__(self, *kinds: str, runs: bool = False, beside: str = "") -> None:
        self.name = kinds[0] if len(kinds) == 1 else "name"
        self.kinds = kinds
        self.runs = runs
        self.beside = beside

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the short and full names that start with the word so far."""
        from zoo.api.listing import rows

        registry = registry_of(ctx)
        listed = rows(registry)
        other = ctx.params.get(self.beside)
        fixed = [row for row in listed if other and other in _names(row)]
        if any(row["kind"] == "recipe" for row in fixed):
            return []
        tasks = {task for row in fixed for task in row["task"].split(", ")}
        items = [CompletionItem(incomplete, type="file")] if self.runs else []
        for kind in self.kinds:
            for row in listed:
                if row["kind"] == kind and (not tasks or tasks & {*row["task"].split(", ")}):
                    word = next((name for name in _names(row) if name.startswith(incomplete)), None)
                    items += [CompletionItem(word, help=row["summary"])] if word else []
        return items + (_runs_and_files(registry, incomplete) if self.runs else [])


def _names(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the short and the full name of a row."""
    return row["name"].rpartition("/")[2], row["name"]


def _runs_and_files(registry: Registry, incomplete: str) -> list[CompletionItem]:
    """Return the runs and the files in the folder that the word so far names, to be used as weights.

    Without one, those are the runs in runs/ and the files in the current folder.
    """
    folder = incomplete[: incomplete.rfind("/") + 1]
    specs = [entry.spec for entry in registry.entries("exporter")]
    suffixes = [spec.suffix for spec in specs if isinstance(spec, ExporterSpec) and spec.reader]
    files = [path for suffix in (".safetensors", *suffixes) for path in Path(folder).glob(f"*{suffix}")]
    items = [CompletionItem(str(run), help="run directory") for run in runs_in(Path(folder or "runs"))]
    items += [CompletionItem(str(file), help="weights file") for file in sorted(files)]
    return [item for item in items if item.value.startswith(incomplete)]


class PathType(click.Path):
    """The path of a file or a folder. A URL is refused as it was typed."""

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        refuse_url(value)
        if value == "":  # which would be the current folder
            self.fail("a path must have a name (got an empty string)", param, ctx)
        return super().convert(value, param, ctx)  # type: ignore[return-value]
