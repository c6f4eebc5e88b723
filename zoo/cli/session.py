"""What every command shares: the registry, loaded once and only if needed."""

from __future__ import annotations

from functools import cached_property

import click

from zoo.api.listing import default_registry
from zoo.registry.registry import Registry

__all__ = ["Session", "pass_session"]


class Session:
    """One run of the command line."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict

    @cached_property
    def registry(self) -> Registry:
        """The default registry. A plugin that failed is a warning, or an error if strict."""
        if self.strict:
            registry = Registry.discover()
            registry.require_healthy()
            return registry
        return default_registry()


pass_session = click.make_pass_decorator(Session)
