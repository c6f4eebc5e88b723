"""Hostile weights cost little, and the bytes whose hash was checked are the bytes that are loaded."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import zoo
from zoo.cli import run
from zoo.errors import DataError, WeightsError, ZooError

QUIET: dict[str, Any] = {"progress": False}
SMALL: dict[str, Any] = {
    "data": {"size": 16, "train_size": 64, "val_size": 8, "test_size": 8},
    "model": {"widths": [8]},
    "epochs": 1,
    "batch_size": 16,
}
MEASURED = """
import contextlib, io, json, re, sys
from zoo.cli import run
for words in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = run(words)
    peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
    print(json.dumps([code, said.getvalue(), int(peak[1]) // 1024 if peak else 0]), flush=True)
"""
MOST = 600  # megabytes, of which torch takes half


def container(
    metadata: dict[str, str] | str, tensors: dict[str, Any] | None = None, rest: bytes = b""
) -> bytes:
    head = json.dumps({"__metadata__": metadata, **(tensors or {})}).encode()
    return struct.pack("<Q", len(head)) + head + rest


def with_card(card: str) -> bytes:
    """Return a file with a card and the checksum that zoo expects of its header."""
    head = json.dumps(
        {"__metadata__": {"header_sha256": "0" * 64, "zoo": card}}, separators=(",", ":")
    ).encode()
    checksum = hashlib.sha256(head).hexdigest().encode()
    return struct.pack("<Q", len(head)) + head.replace(b"0" * 64, checksum, 1)


def sparse(start: bytes, size: int = 12 << 30) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(start)
        os.truncate(path, size)

    return write


def stored_nowhere(path: Path) -> None:
    """Write a valid file with a single tensor, which is sparse."""
    size = 12 << 30
    start = container({}, {"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    sparse(start, len(start) + size)(path)


def of(content: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content())


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a sparse file": sparse(b""),
    "a sparse file that begins as weights do": sparse(with_card("{}")),
    "a sparse file with a long header": sparse(struct.pack("<Q", 31_000_000) + b"{"),
    "a sparse file with an endless header": sparse(struct.pack("<Q", (12 << 30) - 8) + b"{"),
    "a sparse file with a tensor that is too short": sparse(
        container({}, {"x": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}})
    ),
    "a sparse file with a tensor": stored_nowhere,
    "a card of lists": of(lambda: with_card("[" + "[]," * 3_000_000 + "[]]")),
    "a card of dicts": of(lambda: with_card('{"schema":4,"metrics":[' + "{}," * 3_000_000 + "{}]}")),
    "a small card of lists": of(lambda: with_card('{"schema":4,"metrics":[' + "[]," * 300_000 + "[]]}")),
    "a card of numbers": of(lambda: with_card('{"schema":4,"metrics":[' + "1," * 450_000 + "1]}")),
    "a card of many keys": of(
        lambda: with_card('{"schema":4,' + ",".join(f'"{n}":1' for n in range(99_000)) + "}")
    ),
    "a card of long strings": of(lambda: with_card(json.dumps({"schema": 4, "task": "x" * 20_000_000}))),
    "a card of brackets": of(lambda: with_card("[" * 20_000_000)),
    "a card that is nested": of(
        lambda: with_card('{"schema":4,"metrics":' + '{"a":' * 90_000 + "1" + "}" * 90_001)
    ),
    "a card of one number": of(lambda: with_card("9" * 20_000_000)),
    "a header of many tensors": of(
        lambda: container(
            {}, {f"t{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(200_000)}
        )
    ),
    "a tensor of many axes": of(
        lambda: container({}, {"t": {"dtype": "U8", "shape": [1] * 5_000_000, "data_offsets": [0, 1]}}, b"\0")
    ),
    "metadata of many keys": of(lambda: container({f"{n}": "" for n in range(1_100_000)})),
}
"""Files that would cost memory and time out of proportion."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, int]]:
    """Return how a command ended on each hostile file, what it said, and the most memory until then.

    One process runs them all. It resumes a run whose checkpoints hold too many values at last.
    """
    folder = tmp_path_factory.mktemp("hostile")
    names = {name: f"x{number}.safetensors" for number, name in enumerate(HOSTILE)}
    for name, file in names.items():
        HOSTILE[name](folder / file)
    run = folder / "run"
    zoo.train("mlp", "shapes", run=run, **SMALL, **QUIET)
    (run / "model.safetensors").unlink()
    card = '{"schema":1,"state":[' + "{}," * 1_500_000 + "{}]}"
    for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        (run / name).write_bytes(with_card(card))
    commands = [*(["inspect", file] for file in names.values()), ["resume", "run"]]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        input=json.dumps(commands), cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    shutil.rmtree(folder)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip([*names.values(), "run"], found, strict=True))


@pytest.mark.slow  # in a process
@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=list(HOSTILE))
def test_a_hostile_file_is_refused_in_little_memory(
    number: int, measured: dict[str, tuple[int, str, int]]
) -> None:
    code, said, megabytes = measured[f"x{number}.safetensors"]
    assert code == 1, said
    assert said.startswith(f"zoo: x{number}.safetensors")
    assert megabytes < MOST


@pytest.mark.slow  # in that process
def test_a_checkpoint_of_too_many_values_is_refused(measured: dict[str, tuple[int, str, int]]) -> None:
    code, said, megabytes = measured["run"]
    assert code == 1
    assert "too many values" in said
    assert megabytes < MOST


def test_a_vocabulary_that_no_weights_could_hold_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(" ".join(f"word{number}" for number in range(140_000)), encoding="utf-8")
    data = {"paths": str(tmp_path / "x.txt"), "tokens": "word"}
    with pytest.raises(DataError, match=r"would be too large to load .1,\d\d\d,\d\d\d bytes") as caught:
        zoo.train("rnn", "files", data=data, run=tmp_path / "run", **QUIET)
    assert "smaller vocabulary" in str(caught.value.hint)
    assert not (tmp_path / "run").exists()


# --- what was hashed is what is loaded


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[zoo.Run]:
    """Return two trainings of one architecture."""
    folder = tmp_path_factory.mktemp("two")
    return [
        zoo.train("mlp", "shapes", run=folder / str(seed), seed=seed, **SMALL, **QUIET) for seed in (1, 2)
    ]


SWAP = """
import itertools, os, shutil, sys, time
how, path, *contents = sys.argv[1:]
for number in itertools.count():
    if how == "by writing":
        shutil.copyfile(contents[number % 2], path)
    else:
        (os.symlink if how == "by a link" else os.link)(contents[number % 2], path + ".new")
        os.replace(path + ".new", path)
    time.sleep(0.0005)
"""


@contextlib.contextmanager
def swapping(path: Path, how: str, right: bytes, wrong: bytes) -> Generator[None]:
    """Swap a file between two contents meanwhile."""
    path.write_bytes(right)
    contents = [path.with_name("right"), path.with_name("wrong")]
    for place, content in zip(contents, (right, wrong), strict=True):
        place.write_bytes(content)
    with subprocess.Popen([sys.executable, "-c", SWAP, how, path, *contents]) as process:
        try:
            yield
        finally:
            process.kill()


def publish(folder: Path, content: bytes, file: str) -> None:
    """Write a registry.toml that publishes a file as `mine`."""
    (folder / "registry.toml").write_text(
        'schema = 1\n[recipes.mine]\narchitecture = "mlp"\ndataset = "shapes"\n'
        '[weights.mine]\nrecipe = "mine"\nparams = 1\nlicense = "MIT"\n'
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nbytes = {len(content)}\nfile = "{file}"\n'
        "metrics = { test = { accuracy = 0.5 } }\n",
        encoding="utf-8",
    )


def typed(*words: str) -> str:
    """Return what a command prints, in this process. Raises WeightsError with it if it fails."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        code = run([*words, "--json"])
    if code:
        raise WeightsError(json.loads(out.getvalue())["error"])
    return out.getvalue()


def loaded() -> str:
    return zoo.load("mine", **QUIET).card.sha256


def fine_tuned() -> str:
    for leftover in Path().glob("tuned"):
        shutil.rmtree(leftover)
    tuned = zoo.train("mlp", "shapes", from_weights="mine", run="tuned", **SMALL, **QUIET)
    return tuned.model.card.base_model["sha256"]


WAYS: dict[str, tuple[Callable[[], str], int]] = {
    "zoo.load": (loaded, 30),
    "fine-tuning": (fine_tuned, 10),
    "zoo inspect": (lambda: typed("inspect", "mine"), 20),
    "zoo eval": (lambda: json.dumps(json.loads(typed("eval", "mine"))["metrics"]), 20),
    "zoo predict": (lambda: typed("predict", "mine", "p.png"), 40),
    "zoo embed": (lambda: typed("embed", "mine", "p.png"), 40),
}
# By day the three functions that open a file: a model, its card, and what a training starts from
DAILY = ("zoo.load", "zoo inspect", "fine-tuning")
CASES: list[Any] = [
    pytest.param("by renaming", way, "mine.safetensors", marks=[pytest.mark.nightly] * (way not in DAILY))
    for way in WAYS
]
CASES += [(how, "zoo.load", "mine.safetensors") for how in ("by writing", "by a link")]
CASES += [
    pytest.param(
        "by renaming", way, "mine.onnx", marks=pytest.mark.slow if way == "zoo.load" else pytest.mark.nightly
    )
    for way in ("zoo.load", "zoo inspect", "zoo predict")
]


@pytest.mark.parametrize(("how", "way", "name"), CASES)
def test_a_file_that_is_swapped_is_never_taken_for_the_published_one(
    how: str, way: str, name: str, two: list[zoo.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), "teal").save("p.png")
    files = [each.directory / "model.safetensors" for each in two]
    if name.endswith(".onnx"):
        pytest.importorskip("onnx", reason="the extra `export` is not installed")
        files = [file.with_name(name) for file in files]
        for each, file in zip(two, files, strict=True):
            if not file.exists():
                each.model.export(file, synthetic=True, **QUIET)
    right, wrong = (file.read_bytes() for file in files)
    publish(tmp_path, right, name)
    (tmp_path / name).write_bytes(right)
    use, times = WAYS[way]
    expected = use()
    found: list[str] = []
    with swapping(tmp_path / name, how, right, wrong):
        for _ in range(times):
            with contextlib.suppress(ZooError):  # which says that the content is wrong
                found.append(use())
    assert found.count(expected) == len(found)


def test_a_file_that_does_not_fit_in_memory_is_refused(tmp_path: Path) -> None:
    path, size = tmp_path / "x.safetensors", 500 << 20
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    sparse(container({}, {"a": tensor}), size=len(container({}, {"a": tensor})) + size)(path)
    code = "import pathlib, sys; from zoo.files import cards; cards.read_weights(pathlib.Path(sys.argv[1]))"
    limited = ["bash", "-c", 'ulimit -v 400000 && exec "$0" "$@"', sys.executable, "-c", code, str(path)]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert "WeightsError: " in done.stderr
    assert "x.safetensors does not fit in memory" in done.stderr
