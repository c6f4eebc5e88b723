"""Cards that name paths, each with a correct checksum, and what commands open because of them: nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.nightly.reliability import toys
from tests.nightly.reliability.figure import Figure
from tests.nightly.reliability.hostile import write_forged
from tests.nightly.reliability.processes import start, start_zoo
from tests.nightly.reliability.runs import laid_out
from zoo.cli import run
from zoo.config.declarations import declared
from zoo.data.opening import decidable
from zoo.files.atomic import _TEMPORARY  # pyright: ignore[reportPrivateUsage]
from zoo.files.cards import read_weights
from zoo.registry.registry import Registry

SECRETS = ("../secret/text.txt", "../secret/images", "../secret", "../secret/link", "../secret/pipe")
PATHS: Sequence[Any] = (
    *SECRETS,
    *("/dev/zero", "/dev/tty", "/dev/stdin", "/dev/random", "/proc/self/environ", "/proc/self/fd/0"),
    *("/etc/passwd", "/etc", "/", ".", "..", "~", "~root", "~/.ssh", "~nobody/x", "$HOME", "%2e%2e/secret"),
    *("*", "**/*", "../**/*", "../secret/*.txt", "/etc/*", "/etc/**", "[!x]*"),
    *("http://127.0.0.1:9/x", "https://example.org/x", "file:///etc/passwd", "//host/share", "localhost:9"),
    *("\\\\host\\share\\x", "s3://bucket/key", "data:text/plain,x", "hf://owner/name"),
    *(0, 1, True, None, "", " ", "-", "a\0b", "/etc/passwd\0.txt", "x" * 5_000),
    *(["../secret/text.txt"], ["/etc/passwd", "/dev/zero"], {"path": "/etc/passwd"}, [["/etc/passwd"]], [0]),
)
"""Values of a dataset's option, as a card may hold them: files and folders of somebody else, devices, pipes,
globs, network names, and what is no path at all."""
UNKNOWN = ("path", "file", "folder", "url", "data_root", "cache")
SECONDS = 60
"""How long a command may take before it counts as hanging."""


def paths_named(folder: Path, *, paths: int) -> Figure:
    """Run every command that opens weights or data on cards that name paths, under an audit hook."""
    broken: list[str] = []
    commands = 0
    (folder / "work").mkdir()
    with laid_out(folder / "work"):
        _lay_out_secrets(folder / "secret")
        for name in ("lstm", "resnet-lite"):
            training = toys.train(name, name, epochs=1)
            assert start_zoo(folder / f"{name}.log", folder / "work", training).wait() == 0
        for first in range(0, paths, 25):
            numbers = range(first, min(first + 25, paths))
            child = start(folder / f"{first}.log", _watch, str(folder / "work"), list(numbers))
            try:
                child.wait(30 * SECONDS)
                found = json.loads(child.output.splitlines()[-1])
                commands += found["commands"]
                broken += found["broken"]
            except (AssertionError, ValueError, IndexError):
                broken.append(f"paths {first} to {first + 24}: {child.output[-300:]!r}")
    kept = paths - len({line.partition(":")[0] for line in broken})
    return Figure(
        "cards that name files, devices, folders, globs and network names",
        paths,
        max(kept, 0),
        "paths were not opened by any command (verified with audit hooks for open, listdir, scandir, "
        "glob, sockets and processes)",
        f"{commands:,} commands",
        tuple(broken),
    )


def _lay_out_secrets(folder: Path) -> None:
    """Write what a card could name and must not be opened."""
    folder.mkdir()
    (folder / "text.txt").write_text("the secret of somebody else. " * 200, encoding="utf-8")
    shutil.copytree(folder.parent / "work" / "images", folder / "images")
    (folder / "link").symlink_to("text.txt")
    os.mkfifo(folder / "pipe")


def _watch(folder: str, numbers: list[int]) -> None:
    """Print, as JSON, what commands open because of the cards with some numbers."""
    os.chdir(folder)
    Path("given").mkdir(exist_ok=True)
    registry = Registry.discover()
    forged = Path("given", f"{os.getpid()}.safetensors")
    opened = _hook()
    honest = {name: _honest(name, forged, opened) for name in ("lstm", "resnet-lite")}
    broken, count = [], 0
    _forge("lstm", forged, "text/files", {})
    typed = ["--verify", "eval", str(forged), "--data", "paths=../secret/text.txt"]
    if not {Path("../secret/text.txt").resolve()} & _opened_by(typed, opened):
        broken.append(f"{numbers[0]}: the hook does not see what is opened")
    for number in numbers:
        dataset, option, value = _case(number, registry)
        name = "lstm" if dataset.startswith("text/") else "resnet-lite"
        _forge(name, forged, dataset, {option: value})
        for command in _commands(name, forged, training=number % 10 == 0):
            said = f"{number}: {' '.join(command)[:60]} with {dataset} {option}={value!r:.40}"
            broken += [f"{said} opened {path}" for path in _opened_by(command, opened) - honest[name]]
            count += 1
    print(json.dumps({"commands": count, "broken": broken}), flush=True)


def _case(number: int, registry: Registry) -> tuple[str, str, Any]:
    """Return a dataset, one of its options and a value; most options are those that could name a path."""
    entries = [registry.dataset(entry.name) for entry in registry.entries("dataset")]
    could = [(entry, name) for entry in entries for name in declared(entry.load())]
    could = [(entry, name) for entry, name in could if name not in decidable(entry)]
    others = [(entry, name) for entry in entries for name in (*sorted(decidable(entry)), *UNKNOWN)]
    draw = random.Random(number)
    entry, option = could[number % len(could)] if number % 4 else draw.choice(others)
    return entry.name, option, draw.choice(SECRETS if number % 2 else PATHS)


def _forge(name: str, path: Path, dataset: str, options: dict[str, Any]) -> None:
    card, container = read_weights(Path(name) / "model.safetensors")
    fields = card.to_dict()
    fields["dataset"] = {"name": dataset, "options": options, "fingerprint": card.dataset.fingerprint}
    write_forged(path, fields, [*container.tensors.values()])


def _commands(name: str, weights: Path, *, training: bool = True) -> Iterator[list[str]]:
    """Yield every command that reads a card; those that train take longer."""
    file, data = str(weights), toys.TOYS[name]
    yield ["inspect", file]
    yield ["show", file]
    yield ["list", "weights"]
    yield ["eval", file]
    yield ["eval", file, "--split", "val", "--json"]
    yield ["sample", file, "--max-new-tokens", "5"]
    yield ["analyze", "surprisal" if name == "lstm" else "confusion", file, "--out", f"{file}.out"]
    if training:
        yield ["lr-find", *data, "--from", file, "--steps", "2"]
        yield ["train", *data, "--from", file, "--epochs", "1", "--run", f"{file}.run"]


def _honest(name: str, forged: Path, opened: list[str]) -> set[Path]:
    """Return what the commands open because of a card without options."""
    _forge(name, forged, "text/files" if name == "lstm" else "images/folder", {})
    return set().union(*(_opened_by(command, opened) for command in _commands(name, forged)))


def _hook() -> list[str]:
    """Return a list that gets each path opened, and each address, from now on."""
    opened: list[str] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir", "glob.glob", "glob.glob/2", "pathlib.Path.glob"):
            named = arguments[0]
            if isinstance(named, bytes | str | os.PathLike):
                opened.append(os.fsdecode(named))
        elif event.partition(".")[0] in ("socket", "subprocess", "ftplib", "urllib") or event == "os.system":
            opened.append(f"{event} {arguments!r:.100}")

    sys.addaudithook(hear)
    return opened


def _opened_by(command: list[str], opened: list[str]) -> set[Path]:
    """Run a command, and return what it opened outside the installation, the cache and its own output."""
    opened.clear()
    signal.alarm(SECONDS)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(command)
    signal.alarm(0)
    given = Path("given").resolve()  # the weights, and what the commands write
    named = {Path(path).resolve() for path in opened if not _TEMPORARY.fullmatch(path)}  # in open folders
    for output in (*given.glob("*.out"), *given.glob("*.run")):
        shutil.rmtree(output)
    homes = (sys.prefix, sys.base_prefix, os.environ["ZOO_CACHE"], os.environ["ZOO_STATE"])
    ours = (*map(Path, homes), Path(__file__).parents[3], given)
    return {path for path in named if not any(path.is_relative_to(home) for home in ours)}
