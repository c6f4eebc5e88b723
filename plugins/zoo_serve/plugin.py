"""The command that zoo_serve provides."""

from zoo import CommandSpec, hookimpl


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    """Return the command."""
    return [
        CommandSpec(
            name="serve",
            target="zoo_serve.command:command",
            summary="Offer trained models on a page and by an HTTP API.",
            extra="serve",
        )
    ]
