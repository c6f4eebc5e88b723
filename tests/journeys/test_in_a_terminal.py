"""Commands in a real terminal: nothing is wider than it, and the progress is gone once they are done."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from pathlib import Path

import pytest

import zoo.cli
import zoo.console.progress
from tests.nightly.reliability.processes import start

CSI = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")


def screens(output: str) -> tuple[list[str], list[str]]:
    """Return the lines that are on the screen in the end, and those that were erased."""
    lines, erased, row, column, at = [""], list[str](), 0, 0, 0
    while at < len(output):
        code = CSI.match(output, at)
        if code is not None and code[2] == "K":
            erased.append(lines[row])
            lines[row] = ""
        elif code is not None and code[2] == "A":
            row -= int(code[1] or 1)
        elif output[at] == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif output[at] == "\r":
            column = 0
        elif code is None:
            lines[row] = lines[row][:column].ljust(column) + output[at] + lines[row][column + 1 :]
            column += 1
        at = code.end() if code is not None else at + 1
    return [line.rstrip() for line in lines], [line.rstrip() for line in erased]


def type_in(terminal: str, columns: int, folder: str, words: list[str]) -> None:
    """Run a command in a terminal, as its shell would. Every work is long enough to be shown."""
    device = os.open(terminal, os.O_RDWR)
    fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    for number in (0, 1, 2):
        os.dup2(device, number)
    for name in ("COLUMNS", "NO_COLOR", "TTY_COMPATIBLE"):
        os.environ.pop(name, None)
    os.environ["TERM"] = "xterm-256color"
    os.chdir(folder)
    zoo.console.progress._SHORT = zoo.console.progress._LIVE_SECONDS = 0.0
    sys.argv = ["zoo", *words]
    zoo.cli.main()


def run(folder: Path, columns: int, *words: str | Path) -> tuple[list[str], list[str]]:
    """Return what a command leaves on the screen and what it erased from it."""
    ours, theirs = pty.openpty()
    child = start(folder / "log", type_in, os.ttyname(theirs), columns, str(folder), [*map(str, words)])
    output = b""
    while child.process.is_alive() or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.05)[0]:
            output += os.read(ours, 65_536)
    code = child.wait()
    os.close(theirs)
    os.close(ours)
    assert code == 0, output.decode()
    return screens(output.decode())


COMMANDS = {
    "train": "training charrnn/lstm on text/files in run with 1 thread",
    "lr-find": "trying learning rates from",
    "eval": "evaluating ",
    "sample": "sampling from ",
    "analyze": "analyzing ",
    "check": "checking convnet/mlp",
}


@pytest.fixture(scope="module")
def words(text_file: Path, lstm_file: Path, net_file: Path) -> dict[str, list[str | Path]]:
    """The words of each command."""
    training = ["lstm", "files", "--data", f"paths={text_file}", "--model", "hidden_size=16"]
    return {
        "train": ["train", *training, "--epochs", "2", "--bptt", "32", "--run", "run"],
        "lr-find": ["lr-find", *training],
        "eval": ["eval", lstm_file],
        "sample": ["sample", lstm_file, "--samples", "3", "--max-new-tokens", "20"],
        "analyze": ["analyze", "activations", net_file, "--out", "out"],
        "check": ["check", "convnet/mlp"],
    }


@pytest.mark.parametrize("columns", [60, pytest.param(80, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=[pytest.mark.nightly] * (name == "check")) for name in COMMANDS],
)
def test_progress_fits_and_is_gone_in_the_end(
    command: str, columns: int, words: dict[str, list[str | Path]], tmp_path: Path
) -> None:
    left, erased = run(tmp_path, columns, *words[command])
    assert left[0].startswith(COMMANDS[command])
    live = [line for line in erased if "%" in line]
    assert live, "there is a line that changes"
    assert max(map(len, live)) <= columns
    assert not [line for line in left if "━" in line or "left" in line]
    if command == "train":
        header = next(number for number, line in enumerate(left) if line.startswith("epoch "))
        table = left[header : header + 3]
        assert [line.split()[0] for line in table] == ["epoch", "1/2", "2/2"]
        assert max(map(len, table)) <= columns


def test_a_list_fits(tmp_path: Path) -> None:
    left, _ = run(tmp_path, 60, "list")
    assert max(map(len, left)) <= 60


def test_resume_and_new_plugin_say_what_they_do(words: dict[str, list[str | Path]], tmp_path: Path) -> None:
    run(tmp_path, 60, *words["train"])
    (tmp_path / "run" / "model.safetensors").unlink()
    left, _ = run(tmp_path, 60, "resume", "run")
    assert left[0] == "resuming run"
    assert "zoo: the run in run is already finished: 2 of 2 epochs are done" in left
    assert "last     run/model.safetensors" in left
    left, _ = run(tmp_path, 60, "new-plugin", "tiny", "--kind", "dataset")
    assert any("zoo check tiny" in line for line in left), left
