"""Run directories and state dicts that somebody else has prepared, for commands that read them."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.made_runs import make
from tests.nightly.reliability import hostile

_TRACKER = """
from zoo import TrackerSpec, hookimpl
from zoo.plugin import Tracker

class Null(Tracker):
    def begin(self, run): pass
    def log(self, rows): pass
    def end(self, status): pass

@hookimpl
def zoo_trackers():
    yield TrackerSpec(name="null", target="null_tracker:Null", summary="Store nothing")
"""
_ROW = {"epoch": 1, "steps": 1, "train": {"loss": 1.0}, "clock": {"seconds": 1e308, "rate": 1.0}}
_NESTED = b'{"a":' * 190_000 + b"\n"
# A key of a dict whose hash takes forever: a tuple of two equal tuples of two equal tuples, and so on
_KEY = b"K\x01q\x00" + b"".join(b"h%c\x86q%c" % (number, number + 1) for number in range(60))

Write = Callable[[Path], object]


def _of(content: bytes, size: int = 0) -> Write:
    """Return a function that writes a file, whose end is not stored if it has more bytes than `content`."""

    def write(path: Path) -> None:
        path.write_bytes(content)
        os.truncate(path, max(size, len(content)))

    return write


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


_LOGS: list[tuple[str, str, Write]] = [
    ("endless steps", "steps.jsonl", _endless),
    ("a pipe of steps", "steps.jsonl", os.mkfifo),
    ("gigabytes of steps", "steps.jsonl", _of(b"", 5 << 30)),
    ("nested steps", "steps.jsonl", _of(_NESTED)),
    ("endless metrics", "metrics.jsonl", _endless),
    ("half a gigabyte of metrics", "metrics.jsonl", _of(b"", 1 << 29)),
    ("centuries of training", "metrics.jsonl", _of(json.dumps(_ROW).encode() + b"\n")),
    ("a pipe of what was sent", "track-null.json", os.mkfifo),
    ("a nest of what was sent", "track-null.json", _of(_NESTED)),
]


def runs(folder: Path) -> Iterator[tuple[list[str], Path]]:
    """Yield commands, and the run directory that each reads."""
    (folder / "null_tracker.py").write_text(_TRACKER, encoding="utf-8")
    for what, name, write in _LOGS:
        run = make(folder / what)
        (run / name).unlink(missing_ok=True)
        write(run / name)
        yield ["track", str(run), "--to", "null", "--plugin", "null_tracker.py"], run
        yield ["runs", "plot", str(run)], run


def _one_tensor(size: int, name: str = "a", **head: Any) -> bytes:
    return hostile.container(head | {name: hostile.entry(0, size)})


def _sparse_tensor(size: int) -> Write:
    start = _one_tensor(size)
    return _of(start, len(start) + size)


def _saved(tensor: torch.Tensor, pickled: bytes = b"", how: int = zipfile.ZIP_STORED) -> bytes:
    """Return a file of torch.save, with another pickle or compressed."""
    first, second = io.BytesIO(), io.BytesIO()
    torch.save({"a": tensor}, first)
    with zipfile.ZipFile(first) as source, zipfile.ZipFile(second, "w", how) as archive:
        for name in source.namelist():
            archive.writestr(name, pickled if pickled and name.endswith("data.pkl") else source.read(name))
    return second.getvalue()


def states() -> Iterator[tuple[str, Write]]:
    """Yield the names of state dicts, and functions that write them."""
    yield "gigabytes of a tensor.safetensors", _sparse_tensor(5 << 30)
    yield "a quarter of a gigabyte.safetensors", _sparse_tensor(1 << 28)
    yield "no metadata.safetensors", _of(_one_tensor(0, __metadata__=None))
    yield "much metadata.safetensors", _of(_one_tensor(0, __metadata__={str(n): "" for n in range(75_000)}))
    yield "many prefixes.safetensors", _of(_one_tensor(0, "module." * 140_000))
    yield "gigabytes after a pickle.pth", _of(_saved(torch.zeros(2)), 5 << 30)
    yield "a zip bomb.pth", _of(_saved(torch.zeros(10**8), how=zipfile.ZIP_DEFLATED))
    yield "a number, 10**8 times.pth", _of(_saved(torch.zeros(1).expand(10**8)))
    yield "an endless key.pth", _of(_saved(torch.zeros(2), b"\x80\x02}" + _KEY + b"K\x01s."))


def imports(folder: Path) -> Iterator[tuple[list[str], Path]]:
    """Yield commands, and the state dict that each reads."""
    given = ["size=16", "classes=a,b", "mean=0,0,0", "std=1,1,1"]
    words = [word for each in given for word in ("--preprocess", each)]
    for name, write in states():
        write(folder / name)
        yield ["import", name, "--architecture", "resnet20", *words, "--out", "x.safetensors"], folder / name
