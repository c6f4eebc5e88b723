"""Arguments that are names, which the shell completes."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from zoo.cli.session import Session

__all__ = ["NameType", "TargetType"]


class NameType(click.ParamType[str]):
    """The name of an entry of some kinds. Completion offers those; any text is accepted."""

    name = "name"

    def __init__(self, *kinds: str, files: bool = False) -> None:
        self.kinds = kinds
        self.files = files

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the short and full names that start with the word so far."""
        from zoo.api.listing import rows

        items = [CompletionItem(incomplete, type="file")] if self.files else []
        for row in rows((ctx.find_object(Session) or Session()).registry):
            if row["kind"] in self.kinds:
                short = row["name"].rpartition("/")[2]
                word = next((name for name in (short, row["name"]) if name.startswith(incomplete)), None)
                items += [CompletionItem(word, help=row["summary"])] if word else []
        return items


class TargetType(click.ParamType[str]):
    """A plugin, a distribution or a file to check."""

    name = "target"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the plugins and distributions that start with the word so far."""
        plugins = (ctx.find_object(Session) or Session()).registry.plugins
        words = {plugin.name: plugin.distribution for plugin in plugins}
        words |= {
            plugin.distribution: f"all of version {plugin.version}" for plugin in plugins if plugin.dist
        }
        fitting = [
            CompletionItem(word, help=text) for word, text in words.items() if word.startswith(incomplete)
        ]
        return [CompletionItem(incomplete, type="file"), *fitting]
