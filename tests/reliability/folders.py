"""The promise that a folder's registry.toml runs no code before `zoo trust`, whatever is typed there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tests.reliability.figure import Figure
from tests.reliability.hostile import write_forged
from tests.reliability.processes import start
from zoo.cli import COMMANDS, cli, run
from zoo.files.cards import read_weights
from zoo.files.downloads import sha256_of
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
[plugins]
local = ["{name}.py"]
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
    """Write a folder whose registry.toml names code that leaves marks in a file, and return that file."""
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


def untrusted(folder: Path, *, commands: Sequence[str] = tuple(COMMANDS)) -> Figure:
    """Type every command in a hostile folder and press TAB there; count lines of its code that run."""
    mark = hostile_folder(folder / "evil")
    here, elsewhere = folder / "evil", folder / "elsewhere"
    elsewhere.mkdir()
    named = {"ZOO_REGISTRY": str(here / "registry.toml")}
    attempts = [
        (place, env, line)
        for place, env in ((here, {}), (elsewhere, named))
        for line in invocations(commands=commands)
    ]
    trusted = {"ZOO_TRUST": "1"}  # TAB runs nothing even then
    attempts += [(here, trusted | asked, []) for asked in completions(commands=commands)]
    broken: list[str] = []
    for number, (place, env, line) in enumerate(attempts):
        config = {"ZOO_CONFIG": str(folder / f"config-{number}")}
        child = start(folder / "log", _typed, str(place), env | config, line)
        child.wait()
        if mark.exists():
            broken.append(f"{env.get('COMP_WORDS') or ' '.join(['zoo', *line])}: {mark.read_text().split()}")
            mark.unlink()
    controls = _trusted_and_changed(folder, mark)
    return Figure(
        "No code of a folder's registry.toml runs before `zoo trust`, nor after one changed byte, nor on TAB",
        len(attempts) + len(controls),
        len(attempts) + len(controls) - len(broken) - len([*filter(None, controls)]),
        "attempts without a line of it",
        broken=(*broken, *filter(None, controls)),
    )


def _trusted_and_changed(folder: Path, mark: Path) -> list[str]:
    """Trust the folder, then change a byte at every place; return what went wrong for each, or ''."""
    here, config = folder / "evil", {"ZOO_CONFIG": str(folder / "config")}

    def runs() -> bool:
        start(folder / "log", _typed, str(here), config, ["list"]).wait()
        ran = mark.exists()
        mark.unlink(missing_ok=True)
        return ran

    start(folder / "log", _typed, str(here), config, ["trust"]).wait()
    wrong = ["" if runs() else "code that is trusted does not run"]
    for file in (here / "registry.toml", here / "evil.py"):
        whole = file.read_bytes()
        for place in range(0, len(whole), 16):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            wrong.append(f"{file.name} runs with byte {place} changed" if runs() else "")
        file.write_bytes(whole)
    return [*wrong, "" if runs() else "code that is as it was trusted does not run"]


def _typed(place: str, env: dict[str, str], line: list[str]) -> None:
    os.environ.update(env)
    os.chdir(place)
    sys.exit(run(line))
