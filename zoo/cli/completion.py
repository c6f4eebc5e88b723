"""`zoo completion`: a script that makes the shell complete what is typed after `zoo`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from zoo.cli.output import quiet_option
from zoo.cli.session import COMPLETE


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@quiet_option
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a SHELL: bash, zsh or fish.

    TAB then completes commands, options, names, run directories and files. To switch it on for good, type the
    line of your shell once, and open a new terminal:

    \b
    echo 'eval "$(zoo completion bash)"' >> ~/.bashrc
    echo 'eval "$(zoo completion zsh)"' >> ~/.zshrc
    zoo completion fish > ~/.config/fish/completions/zoo.fish
    """
    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(ctx.find_root().command, {}, "zoo", COMPLETE).source())
