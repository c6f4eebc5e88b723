"""The promise that no code runs because it lies in the current folder, whatever is typed there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tests.nightly.reliability.figure import Figure
from tests.nightly.reliability.hostile import write_forged
from tests.nightly.reliability.processes import start
from zoo.cli import COMMANDS, cli, run
from zoo.files.cards import read_weights
from zoo.files.hashes import sha256_of
from zoo.registry.catalog import shipped_path

_PLUGIN = """
def mark(what):
    with open({mark!r}, "a") as file:
        file.write(f"{{what}}\\n")

mark("import")

from zoo import AnalyzerSpec, ArchitectureSpec, DatasetSpec, hookimpl

TASK = "classification"

@hookimpl
def zoo_architectures():
    mark("hook")
    return [ArchitectureSpec(name="evil", target="{name}:Target", task=TASK, summary="Evil")]

@hookimpl
def zoo_datasets():
    return [DatasetSpec(name="evils", target="{name}:Target", task=TASK, summary="Evil")]

@hookimpl
def zoo_analyzers():
    return [AnalyzerSpec(name="evil-eye", target="{name}:Target", tasks=(TASK,), summary="Evil")]

def __getattr__(name):
    if name == "Target":
        mark("target")
    raise AttributeError(name)
"""

_REGISTRY = """schema = 1
[recipes.mine]
architecture = "{name}/evil"
dataset = "{name}/evils"
[weights.forged]
recipe = "mine"
file = "forged.safetensors"
sha256 = "{sha256}"
bytes = {bytes}
params = 1
metrics = {{}}
"""


def hostile_folder(folder: Path, name: str = "evil") -> Path:
    """Write a folder with a plugin that leaves marks, and a registry.toml of it; return the file of marks."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "mark"
    (folder / f"{name}.py").write_text(_PLUGIN.format(mark=str(mark), name=name), encoding="utf-8")
    card, container = read_weights(
        shipped_path().parent / "weights" / "small" / "shapes-resnet20.safetensors"
    )
    weights = folder / "forged.safetensors"
    forged = card.to_dict() | {"architecture": f"{name}/evil"}
    write_forged(weights, forged, [*container.tensors.values()])
    text = _REGISTRY.format(name=name, sha256=sha256_of(weights), bytes=weights.stat().st_size)
    (folder / "registry.toml").write_text(text, encoding="utf-8")
    return mark


def invocations(name: str = "evil", commands: Sequence[str] = tuple(COMMANDS)) -> Iterator[list[str]]:
    """Yield command lines of every command: alone, with --help, and with each of the folder's names."""
    group = click.Context(cli, info_name="zoo")
    yield ["--strict", "list"]
    yield ["no-such-command"]
    for command in commands:
        yield [command]
        yield [command, "--help"]
        made = cli.get_command(group, command)
        assert made is not None
        arguments = [param for param in made.params if isinstance(param, click.Argument)]
        options = [
            word
            for param in made.params
            if isinstance(param, click.Option) and param.required
            for word in (
                param.opts[0],
                param.type.choices[0] if isinstance(param.type, click.Choice) else "1",
            )
        ]
        for word in (f"{name}/evil", name, "mine", "forged"):
            for count in range(1, len(arguments) + 1):
                yield [command, *[word] * count, *options]
        yield [command, *["mine"] * len(arguments), *options, "--json"]
        yield [command, "--no-such-option"]


def completions(name: str = "evil", commands: Sequence[str] = tuple(COMMANDS)) -> Iterator[dict[str, str]]:
    """Yield the variables with which each shell asks what to complete, at several places of each command."""
    lines = ["zoo ", "zoo --"]
    for command in commands:
        lines += [f"zoo {command} {word}" for word in ("", "ev", f"{name}/evil ", "mine --", "forged ", "-")]
    for line in lines:
        for shell in ("bash", "zsh", "fish"):
            word = str(len(line.split(" ")) - 1) if shell != "fish" else line.split(" ")[-1]
            yield {"_ZOO_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": word}


def of_the_folder(folder: Path, *, commands: Sequence[str] = tuple(COMMANDS)) -> Figure:
    """Type every command in a hostile folder and press TAB there; count those that run none of its code."""
    mark = hostile_folder(folder / "evil")
    here, elsewhere = folder / "evil", folder / "elsewhere"
    elsewhere.mkdir()
    named = {"ZOO_REGISTRY": str(here / "registry.toml")}
    attempts = [
        (place, env, line)
        for place, env in ((here, {}), (elsewhere, named))
        for line in invocations(commands=commands)
    ]
    attempts += [(here, asked, []) for asked in completions(commands=commands)]
    broken: list[str] = []
    for place, env, line in attempts:
        start(folder / "log", _typed, str(place), env, line).wait()
        if mark.exists():
            broken.append(f"{env.get('COMP_WORDS') or ' '.join(['zoo', *line])}: {mark.read_text().split()}")
            mark.unlink()
    start(folder / "log", _typed, str(here), {}, ["list", "--plugin", "evil.py"]).wait()
    control = [] if mark.exists() else ["code that is named does not run"]
    return Figure(
        "code in the current folder runs only if it is named, even when the user presses TAB",
        len(attempts),
        len(attempts) - len(broken),
        "attempts did not run any of the code",
        broken=(*broken, *control),
    )


def _typed(place: str, env: dict[str, str], line: list[str]) -> None:
    os.environ.update(env)
    os.chdir(place)
    sys.exit(run(line))
