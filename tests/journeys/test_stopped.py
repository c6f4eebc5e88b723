"""Commands that are stopped: by Ctrl-C, by SIGTERM, by a kill."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.shell import SMALL_LSTM, zoo
from zoo.files.cards import read_card

# SIGTERM only by night: the unit tests of commands check its exit code
SIGNALS = pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.nightly)],
)


def training(text_file: Path) -> list[str]:
    """Return the command that trains for some hundred steps."""
    small = (*SMALL_LSTM, "--bptt", "1", "--epochs", "1")
    return ["train", "lstm", "files", "--data", f"paths={text_file}", *small]


@SIGNALS
def test_a_signal_saves_and_resume_gives_the_same_weights(text_file, tmp_path, number, code):
    arguments = training(text_file)
    whole = zoo(*arguments, "--run", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr

    command = [sys.executable, "-m", "zoo", *arguments, "--run", str(tmp_path / "stopped")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "stopped/config.toml").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, message = process.communicate(timeout=100)
    assert process.returncode == code, message
    assert "Traceback" not in message
    checkpoint = re.escape(str(tmp_path / "stopped" / "checkpoint.safetensors"))
    told = rf"zoo: stopped in epoch \d, batch \d+; step \d+ is saved in {checkpoint}\n *zoo resume (.+)\n$"
    found = re.search(told, message)
    assert found, message
    assert found[1] == str(tmp_path / "stopped")

    resumed = zoo(*arguments, "--run", tmp_path / "stopped", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    one, other = (tmp_path / name / "model.safetensors" for name in ("whole", "stopped"))
    assert read_card(one).sha256 == read_card(other).sha256


@pytest.mark.nightly  # it trains in a process
def test_an_ignored_ctrl_c_stays_ignored(text_file, tmp_path):
    arguments = training(text_file)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    command = [sys.executable, "-m", "zoo", *arguments, "--run", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    while not (tmp_path / "run/config.toml").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=100)
    assert process.returncode == 0, message
    assert (tmp_path / "run/model.safetensors").exists()


def test_sigterm_before_training_begins_cleans_up_and_ends_with_143(tmp_path):
    code = """
import os, signal, sys, zoo.cli
from zoo.files.atomic import atomic_write
from pathlib import Path
def begin(*arguments, **named):
    with atomic_write(Path("file")) as file:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
zoo.cli._invoke = begin
zoo.cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "zoo: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["click", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("msgspec", "pluggy"))]
)
def test_ctrl_c_while_the_command_is_imported_prints_nothing(name, run_zoo, tmp_path):
    (tmp_path / f"{name}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = run_zoo("list", path=[tmp_path])
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_second_signal_while_the_first_is_handled_or_at_exit_changes_nothing(tmp_path, number, code):
    source = f"""
import atexit, os, signal, sys, zoo.cli
def again(*arguments):
    os.kill(os.getpid(), signal.{number})
    signal.pause()
zoo.cli._invoke = zoo.cli._as_ours = again
atexit.register(os.kill, os.getpid(), signal.{number})
zoo.cli.main()
"""
    process = [sys.executable, "-c", source]
    done = subprocess.run(process, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "zoo: interrupted\n")
    process += ["list", "--json"]
    done = subprocess.run(process, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert json.loads(done.stdout) == {"error": "interrupted", "kind": "interrupted", "hint": None}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a few images."""
    folder, draws = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number in range(6):
        pixels = draws.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def started(*arguments, cwd) -> subprocess.Popen[bytes]:
    """Start a command line in a process of its own."""
    command = [sys.executable, "-m", "zoo", "predict", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def rows_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def fed(process, images, out, count):
    """Write paths to a process that waits for more, until a file has as many rows."""
    names = [str(images / f"{number % 6}.png") for number in range(200)]
    process.stdin.write("\n".join([*names, ""]).encode())
    process.stdin.flush()
    for _ in range(600):
        if len(rows_of(out)) >= count or process.poll() is not None:
            break
        time.sleep(0.1)
    assert process.poll() is None, process.stderr.read()
    return names


@pytest.mark.slow  # by day in process, by an error: `zoo embed`, which continues a file in the same way
def test_a_file_cut_off_by_a_kill_is_continued_by_the_same_command(net_file, images, tmp_path):
    out = tmp_path / "x.csv"
    process = started(net_file, "-", "--out", "x.csv", "-q", "--batch-size", "16", cwd=tmp_path)
    names = fed(process, images, out, 60)
    process.kill()
    process.communicate()
    before = rows_of(out)
    assert (tmp_path / "x.csv.unfinished").exists()
    assert 60 <= len(before) < 200
    listed = "\n".join(names)
    again = subprocess.run(
        [sys.executable, "-m", "zoo", "predict", net_file, "-", "--out", "x.csv", "-q"],
        cwd=tmp_path, input=listed, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert again.stdout == f"wrote x.csv: 200 rows, {len(before) - 1} of them written earlier\n"
    assert [line.partition(",")[0] for line in rows_of(out)] == ["input", *names]
    assert [*tmp_path.iterdir()] == [out]


@SIGNALS
def test_ctrl_c_says_how_to_go_on(net_file, images, tmp_path, monkeypatch, number, code):
    out = tmp_path / "x.jsonl"
    options = "--out", "x.jsonl", "--top", "2", "-q"
    process = started(net_file, "-", *options, "--batch-size", "16", cwd=tmp_path)
    names = fed(process, images, out, 60)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == code
    first, hint = said.decode().strip().splitlines()
    assert first == "zoo: stopped: x.jsonl contains the finished rows"
    assert hint.strip() == "repeat the command with the same inputs to write the remaining rows"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(names).encode())))
    again = zoo("predict", net_file, "-", *options, cwd=tmp_path)
    assert again.stdout.startswith("wrote x.jsonl: 200 rows, "), again.stderr
    assert [json.loads(line)["input"] for line in rows_of(out)] == names


def test_ctrl_c_ends_the_line_and_the_text(lstm_file):
    endless = [sys.executable, "-m", "zoo", "sample", str(lstm_file), "--max-new-tokens", "1000000"]
    command = [*endless, "--prompt", "the "]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read(20).startswith("the ")
        process.send_signal(signal.SIGINT)
        out, message = process.communicate(timeout=100)
    assert process.returncode == 130
    assert out.endswith("\n")
    assert message.split() == ["sampling", "from", str(lstm_file), "zoo:", "interrupted"]
