"""The command that zoo_serve provides."""

from zoo import CommandSpec, hookimpl


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    """Return the command."""
    return [
        CommandSpec(
            name="serve",
            target="zoo_serve.command:command",
            summary="Serve trained models through a web page and an HTTP API.",
            extra="serve",
        )
    ]
