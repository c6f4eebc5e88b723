"""The command that zoo_scaffold provides."""

from zoo import CommandSpec, hookimpl


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    """Return the command."""
    return [
        CommandSpec(
            name="new-plugin",
            target="zoo_scaffold.command:command",
            summary="Create a starter package for a plugin.",
        )
    ]
