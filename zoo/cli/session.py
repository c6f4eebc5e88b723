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

    @staticmethod
    def limit_threads() -> None:
        """Leave a core to other work, as training does; call it before a model computes."""
        import torch

        from zoo.models.threads import default_threads

        torch.set_num_threads(default_threads())


pass_session = click.make_pass_decorator(Session)
