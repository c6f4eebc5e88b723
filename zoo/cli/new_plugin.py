"""`zoo new-plugin`: create a starter package."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from zoo.cli.name_types import NameType, PathType
from zoo.cli.session import Session, print_json, standard_options
from zoo.console.terminal import echo
from zoo.errors import OptionError
from zoo.registry.specs import ArchitectureSpec
from zoo.tools.new_plugin.scaffold import KINDS, NewKind, add_entry, new_plugin

# Kinds that are for no task, or for the one of their dataset, or make one
_WITHOUT_TASK = (
    *(
        "augmentation",
        "command",
        "exporter",
        "loss",
        "metric",
        "optimizer",
        "recipe",
        "schedule",
        "task",
        "tokenizer",
        "tracker",
    ),
)


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    required=True,
    metavar="KIND",
    help=f"Kind of entry to create: {', '.join(KINDS)}.",
)
@click.option(
    "--task",
    type=NameType("task"),
    help="Task of the new entry; by default, the first task that `zoo list tasks` prints.",
)
@click.option("--out", type=PathType(), default=Path(), help="Folder to create the package in.")
@click.option("--into", type=PathType(), help="Add the entry to the package in this folder instead.")
@standard_options
def command(
    session: Session,
    name: str,
    kind: NewKind,
    task: str | None,
    out: Path,
    into: Path | None,
    as_json: bool,
) -> None:
    """Create a package named zoo-NAME with a plugin that provides one entry and passes `zoo check NAME`.

    With --kind architecture or dataset, the plugin adds a model or data to `zoo train`; with --kind analyzer,
    it adds an analyzer to `zoo analyze`. With --kind task, the package also contains a small dataset and an
    architecture. With --kind optimizer, schedule, augmentation, metric or loss, the plugin adds a value for
    --optimizer, --schedule, --augment, --metric or --loss; with --kind tokenizer, it adds a tokenizer, which
    text datasets can use. With --kind command, the plugin adds the command `zoo NAME`; with --kind exporter,
    it adds a format to `zoo export`; with --kind tracker, it adds a tracker to `zoo track`. With --kind
    recipe, the package contains a recipe for an existing architecture and dataset.

    With --into, the module of the entry is added to an existing package, and its hook to the module of the
    package's plugin. If the plugin already has that hook, the command prints what to add to it. No other file
    is changed.

    \b
    zoo new-plugin tiny-net --kind architecture
    zoo new-plugin fade --kind schedule --into zoo-tiny-net
    """
    name = name.removeprefix("zoo-")
    registry = session.registry
    if task and kind in _WITHOUT_TASK:
        more = "; then change `tasks` in plugin.py" if kind in ("loss", "metric") else ""
        raise OptionError(
            f"--task cannot be used with --kind {kind} (got {task!r})", hint=f"omit --task{more}"
        )
    ctx = click.get_current_context().find_root()
    commands = ctx.command.list_commands(ctx) if isinstance(ctx.command, click.Group) else []
    taken = [*(plugin.name for plugin in registry.plugins), *registry.names.words(), *commands]
    spec = None if kind in _WITHOUT_TASK else registry.task(task or next(iter(registry.tasks)))
    lender = registry.tasks.get(spec.architectures_of) if spec else None
    models = (entry.spec for entry in registry.entries_of(ArchitectureSpec))
    base = next((model for model in models if spec and model.task == spec.name), None)
    owner = registry.entry("task", spec.name).plugin.distribution if spec else ""
    folder, plugin, todo = into or out / f"zoo-{name}", name, list[str]()
    if into:
        plugin, files, todo = add_entry(
            name, kind, into, task=spec, lender=lender, base=base, distribution=owner, taken=taken
        )
    else:
        files = new_plugin(
            name, kind, out, task=spec, lender=lender, base=base, distribution=owner, taken=taken
        )
    if as_json:
        of = spec.name if spec else name if kind == "task" else ""
        document = {"name": name, "kind": kind, "task": of, "folder": str(folder)}
        print_json(document | {"files": [str(file) for file in files], "todo": todo})
        return
    for file in files:
        echo(str(file))
    for line in todo:
        echo(line)
    installing = f"pip install -e {shlex.quote(str(folder))} && "
    echo(f"next: zoo check {plugin}/{name}" if into else f"next: {installing}zoo check {name}")
