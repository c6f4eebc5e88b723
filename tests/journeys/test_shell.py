"""What a shell and a terminal give a command, and what it gives them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.nightly.reliability.folders import hostile_folder
from tests.shell import zoo


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [("zoo train lstm niet", "nietzsche"), ("zoo train --plugin lies_here.py nietzsche-g", "nietzsche-gru")],
    ids=["zoo", "beside a plugin"],
)
def test_bash_completes_with_the_script(line: str, offered: str, tmp_path: Path) -> None:
    hostile_folder(tmp_path / "home", "lies_here")
    script = zoo("completion", "bash").stdout
    words = f"COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}"
    ask = f"{script}\n{words}; _zoo_completion zoo; printf '%s\\n' ${{COMPREPLY[@]}}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the script calls `zoo`
    done = subprocess.run(
        ["bash", "-c", ask],
        cwd=tmp_path / "home",
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [offered], done.stderr


def test_a_real_terminal_gets_what_fits(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    command = [sys.executable, "-m", "zoo", "list"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=theirs, env=env | {"TERM": "xterm"})
    os.close(theirs)
    out = b""
    while chunk := _read(ours):
        out += chunk
    os.close(ours)
    assert process.wait() == 0
    text = out.decode().replace("\r\n", "\n")
    assert "\x1b[1m" in text or "\x1b[2m" in text
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", text).splitlines())) <= 60


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other end is closed
        return b""


CONFIG = """# The recipe of this run. `ZOO_REGISTRY=config.toml zoo train NAME` trains it again.
schema = 1

[recipes.x]
architecture = "charrnn/lstm"
dataset = "text/stdlib"
"""
FIRST = [
    "train lstm stdlib --epochs 1",
    "resume runs/x",
    "lr-find lstm stdlib",
    "eval cifar10-resnet20",
    "sample nietzsche-rnn",
    "analyze cam cifar10-resnet20",
    "check cam",
]
SCRIPT = """
import contextlib, io, json, sys
from zoo.cli import run
for line in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        run(line.split())
    print(json.dumps(said.getvalue()))
"""


def test_the_first_line_comes_before_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch is asked for')")
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "config.toml").write_text(CONFIG)
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(FIRST),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=True,
    )
    for typed, said in zip(FIRST, map(json.loads, done.stdout.splitlines()), strict=True):
        line, *rest = said.splitlines()
        assert re.match(r"(training|resuming|trying|evaluating|sampling|analyzing|checking) ", line), typed
        assert typed == "check cam" or "torch is asked for" in "".join(rest)
