"""The command `zoo sweep`, and the options of `zoo train --seeds`."""

from zoo import CommandSpec, OptionsSpec, hookimpl
from zoo_sweep.options import Seeds


@hookimpl
def zoo_commands() -> list[CommandSpec | OptionsSpec]:
    """Return the command and the options."""
    return [
        CommandSpec(
            name="sweep",
            target="zoo_sweep.command:command",
            summary="Train a model with different options, and compare the runs.",
            extra="sweep",
        ),
        OptionsSpec(
            name="seeds",
            command="train",
            fields=Seeds,
            target="zoo_sweep.command:with_seeds",
            summary="Train a model with several seeds, and report the mean and its confidence interval.",
            extra="sweep",
        ),
    ]
