"""`zoo new-plugin`: a package to start from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from zoo.cli.names import NameType, PathType
from zoo.cli.session import Session, json_option, pass_session, print_json, quiet_option
from zoo.console.terminal import echo
from zoo.errors import OptionError
from zoo.registry.specs import OWN_COMMANDS
from zoo.testing.scaffold import KINDS, NewKind, new_plugin

# Kinds whose names or files no two plugins can share
_ALONE = ("task", "command", "exporter")

# Kinds that --task does not go with, and why
_WITHOUT_TASK: Mapping[str, str] = {
    "task": "--kind task creates a new task, and --task names an existing one: leave it out",
    "command": "a command is for no task: leave --task out",
    "exporter": "an exporter is for no task: leave --task out",
    "recipe": "a recipe is for the task of its dataset: leave --task out",
}


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    required=True,
    metavar="KIND",
    help=f"Kind of the entry: {', '.join(KINDS)}.",
)
@click.option(
    "--task", type=NameType("task"), help="Task of the entry; by default the first of `zoo list tasks`."
)
@click.option("--out", type=PathType(), default=Path(), help="Folder to create the package in.")
@json_option
@quiet_option
@pass_session
def command(session: Session, name: str, kind: NewKind, task: str | None, out: Path, as_json: bool) -> None:
    """Create the package zoo-NAME, whose plugin provides one entry and passes `zoo check NAME` as it is.

    A new task comes with a small dataset and an architecture. A command is `zoo NAME`, and an exporter a
    format of `zoo export`. A recipe names an architecture and a dataset that exist already; any plugin may
    return recipes, and weights once they are trained, and a registry.toml may hold them.
    """
    name = name.removeprefix("zoo-")
    registry = session.registry
    if task and kind in _WITHOUT_TASK:
        raise OptionError(_WITHOUT_TASK[kind])
    taken = [plugin.name for plugin in registry.plugins]
    if kind == "recipe":
        taken += registry.names.words("recipe", "architecture", "dataset", "analyzer")
    else:
        taken += [entry.spec.name for entry in registry.entries(kind) if entry.plugin.ours or kind in _ALONE]
    taken += OWN_COMMANDS if kind == "command" else []
    spec = None if kind in _WITHOUT_TASK else registry.task(task or next(iter(registry.tasks)))
    lender = registry.tasks.get(spec.architectures_of) if spec else None
    files = new_plugin(name, kind, out, task=spec, lender=lender, taken=taken)
    folder = out / f"zoo-{name}"
    if as_json:
        of = spec.name if spec else name if kind == "task" else ""
        document = {"name": name, "kind": kind, "task": of, "folder": str(folder)}
        print_json(document | {"files": [str(file) for file in files]})
        return
    for file in files:
        echo(str(file))
    echo(f"next: pip install -e {shlex.quote(str(folder))} && zoo check {name}")
