"""The command that zoo_import provides."""

from zoo import CommandSpec, hookimpl


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    """Return the command."""
    return [
        CommandSpec(
            name="import",
            target="zoo_import.command:command",
            summary="Convert a PyTorch state dict to a weights file.",
        )
    ]
