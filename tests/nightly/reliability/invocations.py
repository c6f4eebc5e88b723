"""Promises about the command line: whatever is typed, whatever the files say, wherever the output goes."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import torch

import zoo.cli
import zoo.console.progress
from tests.nightly.reliability import hostile
from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.processes import start
from tests.nightly.reliability.toys import lay_out
from zoo.cli import COMMANDS, cli, run
from zoo.files.cards import read_weights
from zoo.files.container import StoredTensor

CODES = {0, 1, 2, 3}
"""Of commands that no signal stops, as docs/reference/commands.md lists them."""

EVIL = (
    "a\x1b[31m\x1b]0;title\x07\x1b[2J\x9b1m\x9d\x07\x08\r\x7f\u200b\u200e\u202e\u2028\u2066\u061c"
    "\ufeff$x_1^{2}$\\z"
)
"""Escape sequences, C1, bell, backspace, carriage return, marks of direction, no width, another line; TeX."""

_COLOR = re.compile(r"\x1b\[(?:0|1|2|36|90|97|48;2;\d{1,3};0;0;97)?m")
_CURSOR = re.compile(r"\x1b\[\?25[lh]|\r?\x1b\[(?:1A|2K)")


def obeyed(output: str, *, terminal: bool = False) -> list[str]:
    """Return what a terminal would obey in an output, besides line breaks and tabs.

    Args:
        terminal: zoo's own colors, and how its progress moves, are fine too.
    """
    if terminal:
        output = _CURSOR.sub("", _COLOR.sub("", output)).replace("\r\n", "\n")
    kept = "\n\t\u00a0\u2002\u2003\u2009\u202f\u3000"
    return [ascii(sign) for sign in output if not sign.isprintable() and sign not in kept]


def strict_json(text: str) -> Any:
    """Return the one JSON document that a text is. Raises ValueError, also for what only Python reads."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    if not text.isascii():
        raise ValueError("there is more than ASCII")
    return json.loads(text, parse_constant=refuse)


class Desk:
    """A folder with data, trained models and hostile files, and the commands that one may type there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "deep" / "desk"
        self.folder.mkdir(parents=True)
        lay_out(self.folder)
        small = ("--batch-size", "8", "--epochs", "1", "--quiet")
        with self.open():
            text = ("--data", "paths=text.txt", "--model", "hidden_size=8", "--bptt", "64")
            assert run(["train", "lstm", "files", *text, *small, "--run", "lstm"]) == 0
            images = ("--data", "root=images", "--data", "size=16", "--model", "widths=[4, 8]")
            assert run(["train", "resnet-lite", "folder", *images, *small, "--run", "net"]) == 0

    @contextlib.contextmanager
    def open(self) -> Generator[None]:
        """Work in the folder, and let nothing be written outside it."""
        home = str(self.folder.parent / "home")
        places = dict.fromkeys(("HOME", "ZOO_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), home)
        with pytest.MonkeyPatch.context() as patch:
            for name, place in (places | {"XDG_STATE_HOME": home, "ZOO_OFFLINE": "1"}).items():
                patch.setenv(name, place)
            for name in ("ZOO_DATA", "ZOO_REGISTRY", "ZOO_PLUGINS", "ZOO_STRICT", "COLUMNS", "NO_COLOR"):
                patch.delenv(name, raising=False)
            patch.chdir(self.folder)
            yield

    def forge(self, run: str, name: str, change: Callable[[dict[str, Any]], None]) -> str:
        """Write a with correct checksums file whose card was changed; return its name."""
        card, container = read_weights(self.folder / run / "model.safetensors")
        document = json.loads(card.to_json())
        change(document)
        tensors = [
            StoredTensor(key, item.dtype, item.shape, item.data) for key, item in container.tensors.items()
        ]
        hostile.write_forged(self.folder / name, document, tensors)
        return name


REGISTRY = f"""schema = 1
[recipes.{json.dumps(EVIL)}]
architecture = "lstm"
dataset = "nietzsche"
summary = {json.dumps(EVIL)}
[recipes.evil]
architecture = "lstm"
dataset = "nietzsche"
summary = {json.dumps(EVIL)}
from_weights = {json.dumps(EVIL)}
model = {{ {json.dumps(EVIL)} = {json.dumps(EVIL)} }}
data = {{ {json.dumps(EVIL)} = [{json.dumps(EVIL)}] }}
train = {{ freeze = [{json.dumps(EVIL)}] }}
[weights.evil-weights]
recipe = {json.dumps(EVIL)}
file = {json.dumps(EVIL)}
url = {json.dumps(EVIL)}
license = {json.dumps(EVIL)}
sha256 = "{"0" * 64}"
bytes = 1
params = 1
metrics = {{ {json.dumps(EVIL)} = {{ {json.dumps(EVIL)} = 1.5 }} }}
"""


def text_fields(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where each text and each key of a JSON document is; of a list, only the last item."""
    if isinstance(document, dict):
        for key, item in document.items():
            yield from text_fields(item, (*place, key))
        yield (*place, None)  # another key
    elif isinstance(document, list):
        if document:
            yield from text_fields(document[-1], (*place, len(document) - 1))
    else:
        yield place


def poison(place: tuple[Any, ...]) -> Callable[[dict[str, Any]], None]:
    """Return a change of a card that puts the hostile text in one place."""

    def change(card: dict[str, Any]) -> None:
        table: Any = card
        for key in place[:-1]:
            table = table[key]
        table[EVIL if place[-1] is None else place[-1]] = EVIL

    return change


def in_terminal(folder: Path, *, every: int = 1) -> Figure:
    """Type each command in a real terminal, on files of which each text field in turn is hostile."""
    desk = Desk(folder)
    lines: list[list[str]] = []
    for run_name, uses in (("lstm", ["eval", "sample"]), ("net", ["eval"])):
        card, _ = read_weights(desk.folder / run_name / "model.safetensors")
        analyzer = {"lstm": "surprisal", "net": "grad-cam"}[run_name]
        places = [place for place in text_fields(json.loads(card.to_json())) if place]
        for number, place in enumerate(places[::every]):
            name = desk.forge(run_name, f"{run_name}-{number}.safetensors", poison(place))
            lines += [["inspect", name], ["inspect", name, "--json"], *([use, name] for use in uses)]
            lines.append(["analyze", analyzer, name, "--out", "found"])
    lines += _lines_on_the_rest(desk)
    output = _typed(desk, lines)
    parts = output.split("\x00")
    broken = [
        f"{words}: {obeyed(part, terminal=True)[:5]}"
        for words, part in zip(lines, parts, strict=False)
        if obeyed(part, terminal=True)
    ]
    if len(parts) != len(lines) + 1:
        broken.append(f"{len(parts) - 1} of {len(lines)} commands ended")
    return counted(
        "terminal control sequences in files",
        len(lines),
        broken,
        "commands printed only text and zoo's own colors",
        "tested in every text field of cards, registry.toml, config.toml and checkpoints, and in "
        "names of files and class folders",
    )


def _lines_on_the_rest(desk: Desk) -> list[list[str]]:
    """Write the other hostile files, and return command lines that meet them."""
    place = desk.folder
    (place / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    named = place / EVIL
    shutil.copytree(place / "lstm", named)
    classes = place / "classes"
    shutil.copytree(place / "images" / "dark", classes / EVIL)
    shutil.copytree(place / "images" / "light", classes / "light")
    shutil.copy(place / "images" / "dark" / "0.png", place / f"{EVIL}.png")
    (place / "evil.txt").write_text(f"{EVIL}\n" * 300, encoding="utf-8")
    config = place / "evil-run" / "config.toml"
    config.parent.mkdir()
    config.write_text(REGISTRY.partition("[weights")[0], encoding="utf-8")
    plugin = place / "evil_plugin.py"
    plugin.write_text(f"raise ValueError({EVIL!r})\n", encoding="utf-8")
    small = ["--epochs", "1", "--batch-size", "8"]
    text = ["--data", "paths=evil.txt", "--model", "hidden_size=8", "--bptt", "16"]
    images = ["--data", "root=classes", "--data", "size=16", "--model", "widths=[4, 8]"]
    return [
        ["list"],
        ["list", "--json"],
        ["list", EVIL],
        ["show", EVIL],
        ["show", "evil"],
        ["show", "evil", "--json"],
        ["show", "evil-weights"],
        ["inspect", "evil-weights"],
        ["train", EVIL],
        ["train", "evil"],
        ["train", "evil", "--help"],
        ["lr-find", EVIL, "--help"],
        ["inspect", EVIL],
        ["eval", EVIL],
        ["resume", EVIL],
        ["resume", "evil-run"],
        ["check", "evil_plugin.py"],
        ["check", EVIL],
        ["plugins", "--traceback", EVIL],
        ["plugins"],
        [EVIL],
        ["list", f"--{EVIL}"],
        ["list", "--where", EVIL],
        ["new-plugin", EVIL, "--kind", "dataset"],
        ["completion", EVIL],
        ["train", "lstm", "files", *text, *small, "--run", "evil-lstm"],
        ["sample", "evil-lstm", "--max-new-tokens", "300", "--temperature", "2"],
        ["sample", "evil-lstm", "--samples", "2", "--prompt", EVIL],
        ["analyze", "surprisal", "evil-lstm", "--out", "found-lstm"],
        ["inspect", "evil-lstm"],
        ["train", "resnet-lite", "folder", *images, *small, "--run", "evil-net"],
        ["eval", "evil-net", "--json"],
        ["analyze", "confusion", "evil-net", "--out", "found-net"],
        ["analyze", "grad-cam", "evil-net", f"{EVIL}.png", "--class", EVIL, "--out", "found-cam"],
        ["analyze", "grad-cam", "evil-net", f"{EVIL}.png", "--out", EVIL],
        ["lr-find", "resnet-lite", "folder", *images, "--batch-size", "8", "--steps", "10"],
    ]


def _typed(desk: Desk, lines: Sequence[Sequence[str]]) -> str:
    """Return what a terminal gets when command lines are typed into it, each ended by a zero byte."""
    ours, theirs = pty.openpty()
    with desk.open():
        child = start(desk.folder / "log", _type_all, os.ttyname(theirs), [[*words] for words in lines])
    output = b""
    while child.process.is_alive() or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.05)[0]:
            output += os.read(ours, 65_536)
    child.wait()
    os.close(theirs)
    os.close(ours)
    return output.decode(errors="surrogateescape")


def _type_all(terminal: str, lines: list[list[str]]) -> None:
    device = os.open(terminal, os.O_RDWR)
    fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    for number in (0, 1, 2):
        os.dup2(device, number)
    os.environ["TERM"] = "xterm-256color"
    os.chdir(os.environ["HOME"])
    os.chdir("../desk")
    torch.set_num_threads(1)
    zoo.console.progress._SHORT = zoo.console.progress._LIVE_SECONDS = 0.0
    for words in lines:
        run(words)
        os.write(1, b"\0")


_NUMBERS = [
    "-1",
    "0",
    "1",
    "3",
    "0.5",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "true",
    "none",
    "",
    "0x10",
    "9" * 5_000,
]
_WORDS = [
    EVIL,
    "nope",
    "lstm",
    "net",
    "text.txt",
    "images",
    "--",
    "-",
    "",
    "=",
    "a=b",
    "x" * 300,
    "\udcff",
    "é",
]
_NAMES = [
    "gru",
    "resnet20",
    "cam",
    "surprisal",
    "confusion",
    "nietzsche",
    "evil",
    "files",
    "folder",
    "text",
    "[*",
]
_FILES = ["bad.safetensors", "registry.toml", "lstm/config.toml", "lstm/model.safetensors", "lstm/nope"]
_VALUES: dict[str, list[str]] = {
    "--data": [
        "paths=text.txt",
        "root=images",
        "size=16",
        "size=nan",
        "paths=2024-01-01",
        "root=[",
        "a",
        "=1",
    ],
    "--model": ["hidden_size=8", "hidden_size=-1", "widths=[4,8]", "num_layers=true", f"dropout={EVIL}"],
    "--option": ["passages=3", "passages=-1", "x=y", "length=1e9", "layer={}"],
    "--device": ["cpu", "cuda", "cpu:9", "nope", "meta", ""],
    "--max-new-tokens": ["3", "0", "-1", "x"],
    "--samples": ["2", "0", "-1", "x"],
    "--steps": ["5", "0", "-1", "x"],
    "--epochs": ["1", "0", "-1", "x"],
    "--indices": ["0", "0,1", "5-2", "0-99999999999999999999999", "-1", "9" * 5_000, "99999"],
    "--dataset": ["files", "folder", "nope", EVIL],
    "--run": ["new", "lstm", "net/x", "text.txt/x", EVIL, ""],
    "--out": ["found", "text.txt", EVIL, "lstm", ""],
    "--plot": ["lr.png", "nope/lr.png", "lstm", EVIL],
    "--from": ["lstm", "net", "nope", EVIL, "bad.safetensors"],
    "--threads": ["1", "0", "-1", "x"],
    "--kind": ["dataset", "architecture", "x"],
}
_TASKS = {"train": ["lstm", "files"], "lr-find": ["resnet-lite", "folder"]}
_QUICK = ["--epochs", "1", "--batch-size", "8", "--model", "hidden_size=8", "--data", "paths=text.txt"]


def fuzzed(folder: Path, *, invocations: int) -> Figure:
    """Run command lines drawn from all commands and options, hostile words and hostile files."""
    desk, draw = Desk(folder), random.Random(0)
    broken: list[str] = []
    with desk.open(), socket.create_server(("", 0)) as server:
        taken = ["--port", str(server.getsockname()[1])]  # so that `zoo serve` ends
        (desk.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
        assert run(["show", "evil", "--quiet"]) == 0  # it is hostile, but not refused
        for number in range(invocations):
            if number % 100 == 0:
                data = bytearray((desk.folder / "lstm" / "model.safetensors").read_bytes())
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
                (desk.folder / "bad.safetensors").write_bytes(data)
            words = _drawn(draw)
            words += taken if words[0] == "serve" else []
            if problem := _problem(words):
                broken.append(f"{words}: {problem}")
    return counted(
        "random command lines, in one process",
        invocations,
        broken,
        "ended as documented, with a known exit code and valid JSON, and without tracebacks or "
        "control sequences",
    )


def _drawn(draw: random.Random) -> list[str]:
    """Return a command line that does not take long."""
    name = draw.choice([*COMMANDS, *COMMANDS, EVIL, "nope"])
    if name not in COMMANDS:
        return [name, *draw.choices(_WORDS, k=draw.randint(0, 2))]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    words = [name]
    if isinstance(command, click.Group):
        words.append(draw.choice([*command.commands]))
        command = command.commands[words[-1]]
    options = [param for param in command.params if isinstance(param, click.Option)]
    words += ["--json"] if draw.random() < 0.5 else []
    if name in _TASKS and draw.random() < 0.3:
        words += [*_TASKS[name], *_QUICK[: draw.choice([4, 6, 8])]]
    elif name == "check":
        words += draw.choices(["nope", EVIL, "nope.py", "text.txt", "cam/nope", "[*"], k=draw.randint(0, 2))
    else:
        words += draw.choices([*_WORDS, *_NAMES, *_FILES], k=draw.choice([0, 1, 1, 2, 2, 3]))
    for option in draw.choices(options, k=draw.choice([0, 0, 1, 2, 4])):
        if "--json" not in option.opts and "--help" not in option.opts:
            words.append(draw.choice([*option.opts, *option.secondary_opts]))
            if not option.is_flag:
                values = _VALUES.get(option.opts[0]) or [*_NUMBERS, *_WORDS, *_NAMES]
                words.append(draw.choice(values))
    if draw.random() < 0.1:
        words.insert(
            draw.randrange(len(words)), draw.choice(["--debg", "-x", "--help", "--quiet", f"--{EVIL}"])
        )
    return words


def _problem(words: list[str]) -> str:
    """Return what is wrong with how a command line ends; empty if nothing is."""
    out, err = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(60)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return _wrong(words, code, out.getvalue(), err.getvalue())


def _too_long(*_: object) -> None:
    raise TimeoutError("60 s")


def _wrong(words: list[str], code: int, out: str, err: str) -> str:
    if code not in CODES:
        return f"exit code {code}"
    if "Traceback" in err:
        return err[-300:]
    if obeyed(out + err):
        return f"it printed {obeyed(out + err)[:5]}"
    if "this comes from" in err or "this comes from" in out:
        return f"an unforeseen error: {(err or out)[-300:]}"
    if "--json" in words[1:3] and words[0] in COMMANDS and not {"--help", "-h"} & {*words}:
        try:
            strict_json(out)
        except ValueError as error:
            return f"no JSON ({error}): {out[:200]!r}"
    return ""


_ENDS = {
    "closed stdout": ">&-",
    "full stdout": ">/dev/full",
    "closed stderr": "2>&-",
    "full stderr": "2>/dev/full",
    "all closed": ">&- 2>&- <&-",
    "all full": ">/dev/full 2>/dev/full",
    "a reader that leaves": "| head -c 10",
    "nothing wrong": "",
}


def processes(folder: Path, *, invocations: int) -> Figure:
    """Run real processes whose stdout or stderr is closed or full, or is read by nobody."""
    desk, draw = Desk(folder), random.Random(1)
    broken: list[str] = []
    command = '"$0" -m zoo "$@" {}; echo "${{PIPESTATUS[0]}}" >code'
    with desk.open():
        (desk.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
        assert run(["show", "evil", "--quiet"]) == 0  # it is hostile, but not refused
        for number in range(invocations):
            words = _light(draw)
            name = [*_ENDS][number % len(_ENDS)]
            process = ["bash", "-c", command.format(_ENDS[name]), sys.executable, *words]
            done = subprocess.run(process, capture_output=True, check=False, env=_with_sources())
            code = int((desk.folder / "code").read_text())
            err = done.stderr.decode(errors="surrogateescape")
            problem = _wrong_end(name, words, code, done.stdout.decode(errors="surrogateescape"), err)
            if problem:
                broken.append(f"{words} with {name}: {problem}")
    return counted(
        "processes whose stdout and stderr are closed, full or not read",
        invocations,
        broken,
        "ended as documented, without a traceback",
    )


def _wrong_end(name: str, words: list[str], code: int, out: str, err: str) -> str:
    if name == "nothing wrong":
        return _wrong(words, code, out, err)
    if code not in CODES or "Traceback" in err or "Exception ignored" in err:
        return f"exit code {code}: {err[-300:]}"
    return f"it printed {obeyed(out + err)[:5]}" if obeyed(out + err) else ""


def _light(draw: random.Random) -> list[str]:
    """Return a command line that needs no torch, so that it starts at once."""
    name = draw.choice(["list", "show", "inspect", "plugins", "completion", "--help", "lst", "\udcff"])
    words = [name, *(["--json"] if draw.random() < 0.5 else [])]
    rest = {"inspect": ["lstm", EVIL, "net"], "completion": ["bash", "x"], "show": ["evil", "nope", EVIL]}
    return words + draw.choices(
        rest.get(name, ["models", EVIL, "\udcff", "--json", "evil"]), k=draw.randint(0, 1)
    )


def _with_sources() -> dict[str, str]:
    root = Path(__file__).parents[3]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins")])}
