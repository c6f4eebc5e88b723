"""What every command shares: the catalog and the registry, read once and only if needed."""

from __future__ import annotations

from functools import cached_property

import click

from zoo.registry.catalog import Catalog
from zoo.registry.registry import Registry

__all__ = ["Session", "pass_session"]


class Session:
    """One run of the command line."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict

    @cached_property
    def catalog(self) -> Catalog:
        """The layers of registry.toml."""
        return Catalog.load()

    @cached_property
    def registry(self) -> Registry:
        """The installed plugins; each that failed is told of on stderr, or is an error if strict."""
        registry = Registry.discover(disabled=self.catalog.disabled, local=self.catalog.local)
        if self.strict:
            registry.require_healthy()
        for plugin in registry.failures:
            click.echo(f"zoo: plugin {plugin.name} ({plugin.distribution}) failed: {plugin.cause}", err=True)
        return registry


pass_session = click.make_pass_decorator(Session)
