"""The table of docs/explanation/threat-model.md: what each command opens, runs, writes and connects to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo
from tests.docs.pages import ROOT
from tests.nightly.reliability.folders import hostile_folder
from zoo.cli import COMMANDS
from zoo.registry.catalog import shipped_path
from zoo.registry.registry import Registry

PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
ROWS = {
    cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
    for cells in (line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines())
    if len(cells) == 5 and cells[0].startswith("`")
}
WEIGHTS = str(shipped_path().parent / "weights" / "small" / "shapes-resnet20.safetensors")
LINES = {
    "list": ["list"],
    "show": ["show", "lstm"],
    "plugins": ["plugins"],
    "train": ["train", "mlp", "shapes", "--epochs", "1", "--data", "train_size=2000", "--run", "runs/one"],
    "publish": ["publish", "runs/one", "team-zoo"],
    "remote": ["remote", "add", "team", "team-zoo"],
    "resume": ["resume", "runs/one"],
    "runs": ["runs", "report"],
    "lr-find": ["lr-find", "mlp", "shapes", "--data", "train_size=512", "--batch-size", "8"],
    "sweep": [
        *("sweep", "mlp", "shapes", "--epochs", "1", "--data", "train_size=64", "--over", "lr=0.1,0.2"),
        *("--run", "runs/sweep"),
    ],
    "eval": ["eval", WEIGHTS, "--data", "test_size=64"],
    "predict": ["predict", WEIGHTS, str(ROOT / "docs" / "images" / "shapes.png"), "--out", "answers.csv"],
    "export": ["export", WEIGHTS, "--data", "test_size=64", "--out", "x.onnx"],
    "analyze": ["analyze", "grad-cam", WEIGHTS, "--indices", "0"],
    "data": [
        "data",
        "check",
        "shapes",
        "--data",
        "train_size=64",
        "--data",
        "val_size=8",
        "--data",
        "test_size=8",
    ],
    "compare": ["compare", "runs/one", "runs/one", "--out", "only.png"],
    "verify": ["verify", "shapes-camnet"],
    "reproduce": ["reproduce", "runs/one"],
    "calibrate": ["calibrate", "runs/one", "--out", "x.safetensors"],
    "import": [
        *(
            "import",
            "state.pth",
            "--architecture",
            "resnet20",
            "--dataset",
            "shapes",
            "--data",
            "train_size=64",
        ),
        *("--data", "val_size=8", "--data", "test_size=8", "--out", "y.safetensors"),
    ],
    "card": ["card", WEIGHTS, "--data", "test_size=64", "--html", "--out", "card.html"],
    "inspect": ["inspect", "shapes-resnet20"],
    "completion": ["completion", "bash"],
    "new-plugin": ["new-plugin", "patches", "--kind", "dataset"],
}
"""A command line for each command; `sample`, `check` and `push` are tested elsewhere."""

WATCH = """
import json, os, sys
wrote, met, ran = set(), set(), set()

def hook(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        name = os.fsdecode(args[0]) if isinstance(args[0], (str, bytes)) else ""
        if "/" in name or not name.endswith(".tmp"):  # in an open folder, which renaming tells
            wrote.add(os.path.abspath(name) if name else "")
    elif event == "os.rename":
        folder = os.readlink(f"/proc/self/fd/{args[3]}") if args[3] >= 0 else ""
        wrote.add(os.path.abspath(os.path.join(folder, os.fsdecode(args[1]))))
    elif event in ("os.mkdir", "os.remove", "os.link", "os.symlink", "os.truncate"):
        wrote.add(os.path.abspath(os.fsdecode(args[0])) if isinstance(args[0], (str, bytes)) else "")
    elif event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        met.add(str(args[1]))
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        ran.add(str(args[0]))

sys.addaudithook(hook)
from zoo.cli import run
code = run(sys.argv[1:])
answer = {"code": code, "wrote": sorted(wrote), "met": sorted(met), "ran": sorted(ran)}
print(json.dumps(answer | {"torch": "torch" in sys.modules}), file=sys.stderr)
"""


def test_the_table_has_every_command() -> None:
    of_plugins = {entry.spec.name for entry in Registry.discover().entries("command") if entry.plugin.ours}
    assert ROWS.keys() == COMMANDS.keys() | of_plugins


@pytest.mark.nightly  # a process each, most with torch
def test_each_command_does_what_the_table_says(tmp_path: Path) -> None:
    home = tmp_path / "home"
    mark = hostile_folder(home)
    torch.save(zoo.load(WEIGHTS).module.state_dict(), home / "state.pth")
    places = {"ZOO_CACHE": "cache", "ZOO_STATE": "state", "TMPDIR": "tmp"}
    places |= {"TORCHINDUCTOR_CACHE_DIR": "tmp", "MPLCONFIGDIR": "fonts"}
    env = {name: str(tmp_path / folder) for name, folder in places.items()}
    remotes = {"ZOO_REMOTES": str(home / "remotes.toml")}
    for folder in env.values():
        Path(folder).mkdir(exist_ok=True)
    for command, line in LINES.items():
        done = subprocess.run(
            [sys.executable, "-c", WATCH, *line],
            cwd=home,
            env={**os.environ, **env, **remotes, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        did = json.loads(done.stderr.splitlines()[-1])
        _, runs, writes, _ = ROWS[command]
        assert did["code"] == 0, (line, done.stderr)
        assert did["met"] == [], "all of it is there, so nothing is connected to"
        programs = {Path(name).name for name in did["ran"]} - {"fc-list"}  # matplotlib's, the first time
        known = ("bash", "git", "python", "ssh-keygen")
        assert programs <= {name for name in known if f"`{name}`" in runs}, command
        light = any(word in runs for word in ("no torch", "specs only", "none", "bash"))
        assert did["torch"] != light, command
        allowed = {
            "cache": "cache" in writes,
            "state": "state" in writes,
            "home": re.search("run directory|folder|image|file", writes) is not None,
            "fonts": True,
            "tmp": True,
        }
        for path in {name for name in did["wrote"] if name not in ("", os.devnull)}:
            inside = next((name for name in allowed if Path(path).is_relative_to(tmp_path / name)), "")
            assert inside, f"{command} writes {path}"
            assert allowed[inside], f"{command} writes {path}"
        assert not mark.exists(), command
