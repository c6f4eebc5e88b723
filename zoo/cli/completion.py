"""`zoo completion`: print a script that completes `zoo` commands in the shell."""

from __future__ import annotations

import contextlib
import re
from typing import Literal, get_args

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from zoo.cli.flags import ValueType
from zoo.cli.plugin_option import split_plugins
from zoo.cli.session import COMPLETE, quiet_option
from zoo.console.terminal import echo
from zoo.errors import ZooError, printable

Shell = Literal["bash", "zsh", "fish"]

# What needs no quotes in any of them; the scripts that click writes quote nothing
_PLAIN = re.compile(r"[\w@%+=:,./-]*")


def complete(group: click.Group, instruction: str) -> int:
    """Print the completions that the shell requests with `_ZOO_COMPLETE`; return the exit code.

    Words with characters that are special to terminals or shells are omitted, since names may be malicious.
    """
    shell, _, what = instruction.partition("_")
    if shell not in get_args(Shell) or what not in ("source", "complete"):
        return 1
    completer = _completer(group, shell)
    if what == "source":
        echo(completer.source(), keep="\n\t")
        return 0
    with contextlib.suppress(ZooError, click.UsageError):  # a command that does not load completes nothing
        echo(completer.complete(), keep="\n\t")
    return 0


def _completer(group: click.Group, shell: str) -> ShellComplete:
    usual = get_completion_class(shell)
    assert usual is not None

    class Clean(usual):
        def get_completion_args(self) -> tuple[list[str], str]:
            words, incomplete = super().get_completion_args()
            return _rejoined(words, incomplete) if shell == "bash" else (words, incomplete)

        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
            if args[-1:] == ["--plugin"]:
                return [CompletionItem(incomplete, type="file")]
            _, args = split_plugins(args)  # nothing of a half-typed line runs
            typed = incomplete.rpartition(":") if shell == "bash" else ("", "", incomplete)
            before = len(typed[0] + typed[1])  # bash completes only what follows the colon
            return [
                CompletionItem(item.value[before:], item.type, item.help and printable(item.help))
                for item in super().get_completions(args, incomplete)
                if _PLAIN.fullmatch(item.value) or (item.type != "plain" and item.value == incomplete)
            ]

    return Clean(group, {}, "zoo", COMPLETE)


def _rejoined(words: list[str], incomplete: str) -> tuple[list[str], str]:
    """Return the words of a line as they were typed: bash makes three words of `team:shapes`."""
    joined: list[str] = []
    glue = False
    for word in (*words, incomplete):
        if joined and (glue or word == ":"):
            joined[-1] += word
        else:
            joined.append(word)
        glue = word == ":"
    return joined[:-1], joined[-1]


@click.command()
@click.argument("shell", type=ValueType(Shell))
@quiet_option
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a completion script for bash, zsh or fish.

    With this script, TAB completes commands, options, names, run directories and files. To enable completion
    permanently, run the line for your shell once and open a new terminal:

    \b
    echo 'eval "$(zoo completion bash)"' >> ~/.bashrc
    echo 'eval "$(zoo completion zsh)"' >> ~/.zshrc
    zoo completion fish > ~/.config/fish/completions/zoo.fish
    """
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    complete(group, f"{shell}_source")
