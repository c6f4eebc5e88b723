"""The folders in which the rows of the table are typed."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.shell import SMALL_LSTM, SMALL_SHAPES, TEXT, zoo

RECIPE = """
schema = 1
[recipes.fox-lstm]
architecture = "charrnn/lstm"
dataset = "text/files"
data = { paths = "fox.txt" }
model = { hidden_size = 4, num_layers = 1 }
train = { epochs = 1, batch_size = 8 }
"""

PUBLISHED = """
schema = 1
[recipes.fox]
architecture = "lstm"
dataset = "files"
data = { paths = "fox.txt" }
[weights.fox]
recipe = "fox"
file = "published.safetensors"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
bytes = 1
params = 1
metrics = {}
"""


@pytest.fixture(scope="session")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty folder."""
    return tmp_path_factory.mktemp("nothing")


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with texts, good and bad, a recipe of one, and a finished run of it."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "fox.txt").write_text(TEXT, encoding="utf-8")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "short.txt").write_bytes(b"hello")
    (folder / "zeros.txt").write_bytes(b"the lazy\0dog")
    (folder / "latin1.txt").write_bytes("Für Elise. ".encode("latin-1") * 500)
    (folder / "registry.toml").write_text(RECIPE)
    done = zoo("train", "fox-lstm", "--run", "done", "--data", "paths=fox.txt", *SMALL_LSTM, cwd=folder)
    assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "done", folder / "pruned/done")
    assert zoo("runs", "prune", "pruned", "--keep", "best", cwd=folder).returncode == 0
    return folder


@pytest.fixture(scope="session")
def images(net_file: Path, lstm_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images, files of other tools and runs: done, net, cam, text and unsaved."""
    folder = tmp_path_factory.mktemp("images")
    draws = np.random.default_rng(0)
    for name in ("cat.png", "holiday/1.png", "holiday/2.png", "pics/red/0.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    for name in ("empty", "unsaved", "imgs:"):
        (folder / name).mkdir()
    (folder / "unsaved" / "config.toml").write_text("")
    (folder / "imgs:" / "a.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("the lazy dog sleeps on.\n")
    (folder / "box.zip").write_bytes(b"PK\x03\x04\x14\x00\x00\x00\x08\x00")
    (folder / "junk.ckpt").write_bytes(b"junk")
    torch.save({"weight": torch.zeros(2)}, folder / "model.pth")
    (folder / "net").symlink_to(net_file.parent)
    (folder / "text").symlink_to(lstm_file.parent)
    few = ("--epochs", "1", "--batch-size", "8")
    for name, words in {
        "done": ("mlp", "shapes", "--model", "widths=4", "--data", "size=16"),
        "cam": ("camnet", "shapes", "--model", "widths=[4, 8]"),
    }.items():
        done = zoo("train", *words, *SMALL_SHAPES, *few, "--run", name, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with run directories that are taken, in use by another process, or none of zoo's."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("taken/checkpoint.safetensors", "foreign/model.safetensors", "used/config.toml", "file"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    with (folder / "used/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print(f"process {os.getpid()} on {socket.gethostname()} since noon", file=lock, flush=True)
        yield folder


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with several runs, which have not been saved."""
    folder = tmp_path_factory.mktemp("several")
    for run in ("runs/demo", "runs/other", "elsewhere/alone"):
        (folder / run).mkdir(parents=True)
        (folder / run / "config.toml").touch()
    return folder


@pytest.fixture(scope="session")
def published(lstm_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with weights by several names, whose registry.toml publishes some as `fox`."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "registry.toml").write_text(PUBLISHED)
    for name in ("net/model.safetensors", "runs/done/model.safetensors", "loose.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(lstm_file)
    return folder
