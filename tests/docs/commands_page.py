"""docs/reference/commands.md, made from the code: every command and its options.

python -m tests.docs.commands_page > docs/reference/commands.md
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from zoo.cli import COMMANDS, cli
from zoo.registry.registry import Registry

START = """\
<!-- Generated: python -m tests.docs.commands_page > docs/reference/commands.md -->

# Commands

This page lists every command and its options, as shown by `zoo COMMAND --help`.

Most commands have a corresponding [Python function or method](python.md#commands-in-python) with the
same arguments and defaults. Plugins can add [more commands](../how-to/plugins/command.md), which `zoo
--help` lists after zoo's own commands.

- **WEIGHTS** is the id of published weights, a weights file, or a run directory. A bare word is an id; a
  path contains a separator or a suffix (`runs/demo`, `model.safetensors`, `./demo`).
- **Training options**, such as `--epochs 5` and `--lr 0.1`, are options of `zoo train` and `zoo
  lr-find`. See [Training options](options.md#training-options).
- **`--model`, `--data` and `--option`** accept `KEY=VALUE` and may be repeated. [Options](options.md) lists
  the keys.
- **`--json`** prints one JSON document, in ASCII, to stdout when the command finishes. Progress, warnings
  and output from plugins go to stderr. If the command fails, the document is `{"error", "kind", "hint"}`,
  and the exit code is the same as without `--json`. Non-finite numbers are printed as `null`.
- **Control characters** in names and generated texts are escaped in the output.
- **If stdout is closed** before all output is printed, for example by `head`, the exit code does not
  change. If the output cannot be written because the disk is full, the exit code is 1.

See also [Errors and exit codes](errors.md) and [Environment variables](environment.md).
"""


def page() -> str:
    """Return the whole page."""
    context = click.Context(cli, info_name="zoo")
    parts = [START, "## Options of `zoo` itself\n", _options(cli, context)]
    of_plugins = [entry.spec.name for entry in Registry.discover().entries("command") if entry.plugin.ours]
    for name in [*COMMANDS, *of_plugins]:
        alone = click.Context(cli, info_name="zoo")  # commands keep what they look up in the context of all
        command = cli.get_command(alone, name)
        assert command is not None
        parts += _command(command, click.Context(command, parent=alone, info_name=name))
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)]).strip()
    yield f"## `{context.command_path}`\n\n```text\n{usage}\n```\n"
    yield _prose(inspect.cleandoc(command.help or ""))
    if options := _options(command, context):
        yield options
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command(inner, click.Context(inner, parent=context, info_name=name))


def _prose(text: str) -> str:
    """Return a command's help as Markdown: a paragraph after \\b is an example of what to type."""
    paragraphs = [paragraph.strip("\n") for paragraph in text.split("\n\n")]
    examples = (f"```text\n{p.removeprefix(chr(8)).strip()}\n```" if p[:1] == "\b" else p for p in paragraphs)
    return "\n\n".join(examples) + "\n"


def _options(command: click.Command, context: click.Context) -> str:
    """Return a table of the options that are not training options, and name those fields."""
    fields = Registry.discover().training_options
    lines = ["| option | meaning |", "|---|---|"]
    flags: list[str] = []
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is None or isinstance(param, click.Argument) or "--help" in param.opts:
            continue
        if param.name in fields:
            flags.append(f"`{param.opts[0]}`")
        else:
            lines.append(f"| `{record[0]}` | {_escaped(record[1])} |")
    table = "\n".join(lines) + "\n" if len(lines) > 2 else ""
    if flags:
        table += f"\nTraining options: {', '.join(flags)}.\n"
    return table


def _escaped(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("*", "\\*")


if __name__ == "__main__":
    print(page(), end="")
