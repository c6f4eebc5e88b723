"""The commands and analyzers that zoo_stats provides."""

from zoo import AnalyzerSpec, CommandSpec, hookimpl


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    """Return the commands."""
    return []


@hookimpl
def zoo_analyzers() -> list[AnalyzerSpec]:
    """Return the analyzers."""
    return []
