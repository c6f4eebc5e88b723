"""The promise that a file of up to 1 MB never makes a command take 1 GB: real processes, hostile files.

A sparse file has as many bytes as are stored of it.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from PIL import Image

from tests.nightly.reliability import hostile, planted
from tests.nightly.reliability.figure import Figure
from tests.nightly.reliability.files import CARD, without_fsync
from tests.nightly.reliability.forged import NET, SHAPES, drawn_weights, toy_runs
from zoo import Registry
from zoo.files.cards import Card
from zoo.models import weights
from zoo.models.building import build_model

MOST = 1_000
"""Megabytes that a command may take at its peak."""
_LIMIT = 8 << 30  # address space, so that a broken promise does not stop the machine
_PATIENCE = 300  # seconds, on a machine that has other work to do
_CODE = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({_LIMIT}, {_LIMIT}))
from zoo.cli import run
try:
    code = run(sys.argv[1:])
finally:
    with open("/proc/self/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM"))
    beside = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # a process that opens a pickle
    print(max(int(peak.split()[1]), beside), file=sys.stderr)
sys.exit(code)
"""


def small(folder: Path, *, drawn: int, every: int = 1, start: int = 0) -> Figure:
    """Run every command that reads a file on hostile ones of up to 1 MB, and look at its peak memory.

    Args:
        drawn: files that are drawn, besides those made by hand.
        every: try one in so many cases only.
        start: number of the first case to try.
    """
    broken: list[str] = []
    tried, largest = 0, (0.0, "")
    for command, file in itertools.islice(_commands(folder, drawn), start, None, every):
        status = file.stat()
        assert file.is_dir() or min(status.st_size, status.st_blocks * 512) <= 1_000_000, file
        tried += 1
        peak, ended = _peak(folder, command)
        case = f"zoo {' '.join(command)[:80]} on {file.name}"
        largest = max(largest, (peak, file.name))
        if peak > MOST:
            broken.append(f"{case} took {peak:,.0f} MB")
        if ended:
            broken.append(f"{case} {ended}")
    return Figure(
        "memory used by inspect, eval, sample, analyze, list, show, train, resume, runs, track and import "
        "for hostile files of up to 1 MB, or sparse files of which up to 1 MB is stored",
        tried,
        tried - len({case.split(" took ")[0] for case in broken}),
        f"commands used less than {MOST:,} MB and ended with a message",
        f"at most {largest[0]:,.0f} MB ({largest[1]})",
        tuple(broken),
    )


def _peak(folder: Path, command: list[str]) -> tuple[float, str]:
    """Return the peak of a command's resident memory in MB, and what is wrong with how it ended."""
    words = [sys.executable, "-c", _CODE, *command]
    try:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return 0.0, f"did not end within {_PATIENCE} seconds"
    *_, last = done.stderr.splitlines() or [""]
    if done.returncode not in (0, 1, 2, 3) or not last.isdigit():
        return 0.0, f"ended with {done.returncode}: {done.stderr[-300:]}"
    return int(last) / 1000, "shows a traceback" if "Traceback" in done.stderr else ""


def _commands(folder: Path, drawn: int) -> Iterator[tuple[list[str], Path]]:
    """Yield commands and the hostile file that each reads."""
    (folder / "text.txt").write_text("abcdef" * 10_000, encoding="utf-8")
    given = {CARD.task: ["--data", "paths=text.txt"], NET.task: []}
    for name, card in _CARDS.items():
        path = folder / f"{name}.safetensors"
        _write(path, card)
        yield ["eval", str(path), *given[card.task]], path
        if card.task == CARD.task:
            yield ["sample", str(path), "--max-new-tokens", "20"], path
        else:
            yield ["analyze", "activations", str(path), "--out", "out", "--indices", "0,1"], path
    for name, content in _CONTENTS.items():
        path = folder / f"{name}.safetensors"
        path.write_bytes(content())
        yield ["inspect", str(path)], path
    yield from _images(folder)
    yield from _others(folder)
    yield from planted.runs(folder)
    yield from planted.imports(folder)
    random_weights = drawn_weights(random.Random(8), folder, Registry.discover())
    for _, (path, commands) in zip(range(drawn), random_weights, strict=False):
        for command, *rest in commands:
            yield [command, str(path), *rest], path
    for place in toy_runs(random.Random(9), folder, Registry.discover(), count=drawn):
        yield ["resume", str(place)], place


def _write(path: Path, card: Card) -> None:
    model = build_model(Registry.discover().architecture(card.architecture), card.arguments, seed=1)
    with without_fsync():
        weights.save(path, model, card)


def _text_card(architecture: str = CARD.architecture, **arguments: Any) -> Card:
    count = arguments["vocab_size"]
    vocabulary = ["<unk>", "<pad>", *(chr(0x10000 + number) for number in range(count - 2))]
    preprocess = {**CARD.preprocess, "vocabulary": vocabulary}
    return replace(CARD, architecture=architecture, arguments=arguments, preprocess=preprocess)


def _image_card(architecture: str, size: int, data: dict[str, int] | None = None, **arguments: Any) -> Card:
    options = SHAPES | {"size": size} | (data or {})
    return replace(
        NET,
        architecture=architecture,
        arguments={"in_channels": 3, "image_size": size, "num_classes": 8, **arguments},
        dataset=replace(NET.dataset, options=options),
        preprocess={**NET.preprocess, "size": size},
    )


_CARDS: dict[str, Card] = {
    "a wide convolution": _image_card("convnet/convnet-bn", 128, {"test_size": 64}, widths=[2_000, 2]),
    "a wide convolution on large images": _image_card("convnet/convnet-bn", 256, widths=[2_000, 2]),
    "a billion images": _image_card("convnet/resnet-lite", 16, {"train_size": 10**9}, widths=[4, 4]),
    "large images": _image_card(
        "convnet/resnet-lite", 512, {"train_size": 8, "test_size": 60}, widths=[4, 4]
    ),
    "a vocabulary of 40,000": _text_card(
        vocab_size=40_000, embedding_dim=1, hidden_size=1, num_layers=1, dropout=0.0
    ),
    "an embedding of 10,000": _text_card(
        "charrnn/awd-lstm", vocab_size=8, embedding_dim=10_000, hidden_size=1, num_layers=1
    ),
    "1,000 layers": _text_card("charrnn/gru", vocab_size=8, embedding_dim=1, hidden_size=1, num_layers=1_000),
}
"""Weights of up to 1 MB whose model, or whose data, is as large as it can be."""


def _header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _many_tensors() -> bytes:
    entry = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    return hostile.container({f"t{number}": entry for number in range(15_000)})


_CONTENTS: dict[str, Callable[[], bytes]] = {
    "a header of brackets": lambda: _header(b"[" * 990_000),
    "a header of spaces": lambda: _header(b"{" + b" " * 990_000 + b"}"),
    "15,000 tensors": _many_tensors,
    "a card of 490,000 lists": lambda: hostile.container(
        {"__metadata__": {"zoo": "[" + "[]," * 320_000 + "[]]"}}
    ),
    "a card of one string": lambda: hostile.container({"__metadata__": {"zoo": json.dumps("x" * 990_000)}}),
    "a card of one number": lambda: hostile.container({"__metadata__": {"zoo": "9" * 990_000}}),
}


def _png(width: int, height: int) -> bytes:
    """Return a PNG that announces so many pixels, all of them white, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    squeeze = zlib.compressobj(9)
    row = b"\0" + b"\xff" * width
    packed = b"".join(squeeze.compress(row) for _ in range(min(height, 900_000_000 // width)))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", packed + squeeze.flush())
        + chunk(b"IEND", b"")
    )


def _images(folder: Path) -> Iterator[tuple[list[str], Path]]:
    """Yield trainings on images that are small files and large in memory."""
    sides = {"a.png": (30_000, 30_000), "b.png": (8_192, 8_192), "c.png": (1_000_000, 60)}
    frames = [Image.new("P", (1_000, 1_000), number % 256) for number in range(100)]
    for name, size in sides.items():
        yield _training(folder, name, _png(*size))
    place = folder / "many.gif"
    frames[0].save(place, save_all=True, append_images=frames[1:])
    yield _training(folder, "many.gif", place.read_bytes())
    Image.new("1", (8_000, 8_000)).save(place.with_suffix(".tif"), compression="group4")
    yield _training(folder, "d.tif", place.with_suffix(".tif").read_bytes())


def _training(folder: Path, name: str, content: bytes) -> tuple[list[str], Path]:
    root = folder / f"images-{name}"
    for label in ("x", "y"):
        (root / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (16, 16), (number, 0, 0)).save(root / label / f"{number}.png")
    path = root / "x" / name
    path.write_bytes(content)
    words = ["resnet-lite", "folder", "--data", f"root={root}", "--data", "size=16", "--model", "widths=4,4"]
    return ["train", *words, "--run", f"run-{name}", "--epochs", "1"], path


def _others(folder: Path) -> Iterator[tuple[list[str], Path]]:
    """Yield commands on texts, catalogs and idx files."""
    for name, content in (
        ("20,000 different characters", "".join(chr(0x4E00 + n % 20_000) for n in range(330_000))),
        ("120,000 words", " ".join("abcdefghij"[n % 10] + str(n) for n in range(120_000))),
    ):
        path = folder / f"{name}.txt"
        path.write_text(content, encoding="utf-8")
        kind = "word" if "words" in name else "char"
        data = ["--data", f"paths={path}", "--data", f"tokens={kind}"]
        yield ["show", "files", *data], path
    path = folder / "registry.toml"
    for content in (
        "a = " + "[" * 900_000,
        "".join(f"[recipes.r{n}]\n" for n in range(50_000)),
        "x" * 990_000,
    ):
        path.write_text(content, encoding="utf-8")
        yield ["list"], path
    path.unlink()
    mnist = folder / "mnist"
    mnist.mkdir()
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        (mnist / name).write_bytes(gzip.compress(bytes(900_000_000), 9)[:1_000_000])
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        shutil.copy(mnist / "train-labels-idx1-ubyte.gz", mnist / name)
    yield ["show", "mnist", "--data", f"root={folder}"], mnist / "train-images-idx3-ubyte.gz"
