"""Click parameter types for names and paths, with shell completion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from zoo.cli.session import Session, last_option
from zoo.config.arguments import refuse_url
from zoo.registry.name_index import KINDS
from zoo.registry.registry import Registry

PLURALS = {kind: kind if kind.endswith("s") else f"{kind}s" for kind in KINDS}


def complete_kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the kinds that complete a word."""
    return [kind for kind in PLURALS.values() if kind.startswith(incomplete)]


def complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Return the plugins and distributions that complete a word."""
    plugins = registry_of(ctx).plugins
    words = {plugin.name: plugin.distribution for plugin in plugins}
    words |= {plugin.distribution: f"all plugins, {plugin.version}" for plugin in plugins if plugin.dist}
    fitting = [CompletionItem(word, help=text) for word, text in words.items() if word.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *fitting]


def registry_of(ctx: click.Context) -> Registry:
    """Return the registry for the command line that is being parsed or completed."""
    return (ctx.find_object(Session) or Session()).registry


class NameType(click.ParamType[str]):
    """The name of an entry of certain kinds. Completion offers known names, but any text is accepted.

    Args:
        runs: also offer files and folders.
        beside: another parameter. If it names an entry, completion offers only names for the same task. If it
            names a recipe, completion offers nothing, because a recipe needs no other name.
    """

    def __init__(self, *kinds: str, runs: bool = False, beside: str = "") -> None:
        self.name = kinds[0] if len(kinds) == 1 else "name"
        self.kinds = kinds
        self.runs = runs
        self.beside = beside

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the short and full names that complete a word."""
        from zoo.api.entry_lists import rows, with_weights_of

        listed = rows(with_weights_of(registry_of(ctx)))
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
        return items


def weights_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --last and the argument WEIGHTS (an id, a file or a run directory), with completion."""
    return click.argument("weights", type=NameType("weights", runs=True))(last_option(command))


def _names(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the short name and the full name of a row."""
    return row["name"].rpartition("/")[2], row["name"]


class PathType(click.Path):
    """The path of a file or a folder. URLs are rejected."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        refuse_url(value)
        if value == "":  # which would be the current folder
            self.fail("a path must not be empty", param, ctx)
        return Path(super().convert(value, param, ctx))  # type: ignore[arg-type]
