"""Promises about files: written to a failing disk, changed at random, forged by hand."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import itertools
import json
import os
import random
import re
import struct
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from tests.configs import configured
from tests.nightly.reliability import hostile
from tests.nightly.reliability.faults import KINDS, Crash, Disk, failing
from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.toys import leftovers
from zoo import Recipe, Registry, TrainConfig
from zoo.cli import run
from zoo.data.opening import open_dataset
from zoo.errors import ZooError, ZooWarning
from zoo.files import cards
from zoo.files.cards import Card, DatasetCard, parse_card, read_card
from zoo.files.container import StoredTensor, tensor_sha256, write_container
from zoo.inference.sampling import Sampling, stream
from zoo.models import weights
from zoo.models.building import build_model
from zoo.models.module_runner import ModuleRunner
from zoo.registry.catalog import Catalog
from zoo.runs.directory import RunDirectory
from zoo.training.saved import RunIdentity
from zoo.training.state import TrainState
from zoo_images.archives import tar_members

CARD = Card(
    architecture="charrnn/lstm",
    arguments={"vocab_size": 8, "embedding_dim": 4, "hidden_size": 6, "num_layers": 2, "dropout": 0.5},
    task="language-modeling",
    dataset=DatasetCard(name="text/files", options={"paths": "a.txt"}, fingerprint="0" * 64),
    preprocess={
        "tokens": "char",
        "lower": False,
        "vocabulary": ["<unk>", "<pad>", *"abcdef"],
        "specials": 2,
    },
    training=configured().to_dict(),
    seed=0,
    progress={"epochs": 1, "steps": 10},
    metrics={"val": {"loss": 1.5}},
    versions={"zoo": "0.1.0", "torch": "2.13.0", "plugin": "zoo-registry 0.1.0"},
)
IDENTITY = RunIdentity(recipe=Recipe(architecture="a", dataset="b", threads=1))


def _state() -> TrainState:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TrainState.begin(nn.Linear(30, 20), TrainConfig(), precision="fp32", device="cpu")


def _epoch(store: RunDirectory, state: TrainState) -> None:
    state.epoch += 1
    with torch.no_grad():
        state.model.get_parameter("bias").fill_(float(state.epoch))
    state.history.append(epoch_row(state.epoch))
    store.save(state)


def epoch_row(number: int) -> dict[str, Any]:
    """Return the row of an epoch without steps."""
    clock = {"seconds": 1.0, "rate": 8.0}
    return {"epoch": number, "steps": 0, "train": {"loss": 1.0}, "clock": clock}


def save_faults(folder: Path, *, every: int = 1) -> Figure:
    """Fail each call of a save in turn, in four ways; then resume."""
    broken: list[str] = []
    tried = 0
    points = 0
    for kind in KINDS:
        for at in itertools.count(1, every):
            path = folder / f"{kind}-{at}"
            with RunDirectory(path, IDENTITY, resume=True) as store:
                state = _state()
                store.restore(state, device="cpu")
                for _ in range(2):
                    _epoch(store, state)
                ended, disk = _failing_save(store, state, Disk(at, kind))
            if not disk.calls or len(disk.calls) < at:
                points = max(points, len(disk.calls))
                break
            tried += 1
            case = f"{kind} at call {at} ({disk.calls[at - 1]})"
            if kind != "crash" and not isinstance(ended, ZooError):
                broken.append(f"{case} ended with {ended!r}")
            if kind == "crash" and not isinstance(ended, Crash):
                broken.append(f"{case} did not crash")
            if problem := _start_again(path):
                broken.append(f"{case}: {problem}")
    return counted(
        "a crash, ENOSPC, EIO or EACCES at every I/O call of a save",
        tried,
        broken,
        "times, the new or the previous checkpoint loaded and the next save succeeded",
        f"{points} I/O calls × {len(KINDS)} failures",
    )


def _failing_save(store: RunDirectory, state: TrainState, disk: Disk) -> tuple[BaseException | None, Disk]:
    with failing(disk):
        try:
            _epoch(store, state)
        except (ZooError, OSError, Crash) as error:
            return error, disk
    return None, disk


def _start_again(path: Path) -> str:
    """Resume a run whose last save failed; return what is wrong with it, or an empty string."""
    try:
        with warnings_as_errors(), RunDirectory(path, IDENTITY, resume=True) as store:
            state = _state()
            store.restore(state, device="cpu")
            bias = state.model.get_parameter("bias")
            if state.epoch not in (2, 3) or not (bias == state.epoch).all():
                return f"epoch {state.epoch}, {bias[0]}"
            if leftovers(path):
                return f"left {leftovers(path)}"
            rows = (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            if [json.loads(row)["epoch"] for row in rows] != list(range(1, state.epoch + 1)):
                return f"rows {rows}"
            _epoch(store, state)
    except (ZooError, ZooWarning) as problem:
        return str(problem)
    return ""


@contextlib.contextmanager
def warnings_as_errors() -> Generator[None]:
    """Raise each ZooWarning, such as that a checkpoint is damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZooWarning)
        yield


@contextlib.contextmanager
def _without_warnings() -> Generator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZooWarning)
        yield


Mutator = Callable[[random.Random, bytes], bytes]
"""Changes bytes; reading the result must succeed or raise a ZooError, and nothing else."""


def _flip(draw: random.Random, data: bytes) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]


def _overwrite(draw: random.Random, data: bytes) -> bytes:
    place = draw.randrange(len(data))
    new = draw.choice([b"\0", b"\xff", b'"', b"{", b"}", b"[", b"9", b"-", b"\\u0000", draw.randbytes(8)])
    return data[:place] + new + data[place + len(new) :]


def _cut(draw: random.Random, data: bytes) -> bytes:
    return data[: draw.randrange(len(data))]


def _insert(draw: random.Random, data: bytes) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + draw.randbytes(draw.randint(1, 16)) + data[place:]


def _repeat(draw: random.Random, data: bytes) -> bytes:
    first, last = sorted(draw.randrange(len(data)) for _ in range(2))
    return data[:last] + data[first : min(last, first + 200)] + data[last:]


def _remove(draw: random.Random, data: bytes) -> bytes:
    first = draw.randrange(len(data))
    return data[:first] + data[first + draw.randint(1, 40) :]


MUTATORS: tuple[Mutator, ...] = (_flip, _overwrite, _cut, _insert, _repeat, _remove)

_ODD = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308),
    *("", "a", "../../x", "\0", "é", "a" * 5_000, [], {}, [[]], [1, "a"], {"a": {"b": []}}, ["x"] * 500),
)


def changed_json(draw: random.Random, value: Any) -> Any:
    """Return JSON data with a value, a key or a length changed to something odd."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        key = draw.choice(list(value))
        kind = draw.random()
        if kind < 0.1:
            return {name: held for name, held in value.items() if name != key}
        if kind < 0.2:
            return {**value, draw.choice(["x", "", "é", key + "s"]): draw.choice(_ODD)}
        return {**value, key: changed_json(draw, value[key])}
    if isinstance(value, list) and value and draw.random() < 0.7:
        place = draw.randrange(len(value))
        kind = draw.random()
        if kind < 0.3:
            return value[:place] + value[place + 1 :]
        if kind < 0.5:
            return [*value, value[place]]
        return [*value[:place], changed_json(draw, value[place]), *value[place + 1 :]]
    if type(value) is int and draw.random() < 0.4:
        return value + draw.choice([-1, 1, 7, 1 << 20])
    return draw.choice(_ODD)


def _good(path: Path, registry: Registry) -> list[StoredTensor]:
    """Write an intact weights file; return its tensors."""
    model = build_model(registry.architecture(CARD.architecture), CARD.arguments, seed=1)
    weights.save(path, model, CARD)
    return weights.pack(model.state_dict())


def _forged(draw: random.Random, path: Path, tensors: list[StoredTensor]) -> None:
    """Write what a forger would: odd JSON or other tensors, and hashes that match."""
    card, held = CARD.to_dict(), list(tensors)
    if draw.random() < 0.8:
        for _ in range(draw.randint(1, 3)):
            card = changed_json(draw, card)
    else:
        place = draw.randrange(len(held))
        old = held[place]
        shape = draw.choice([old.shape[::-1], (*old.shape, 1), (1, *old.shape), (old.data.nbytes // 4,)])
        data = memoryview(draw.choice([bytes(old.data), draw.randbytes(old.data.nbytes)]))
        held[place] = StoredTensor(draw.choice([old.name, "x", "é"]), "F32", shape, data)
    if isinstance(card, dict):
        card["sha256"] = tensor_sha256(held)
    write_container(path, held, {"format": "pt", cards.KEY: json.dumps(card)})


def mutated_weights(folder: Path, *, files: int) -> Figure:
    """Load files changed at random: four of five in their bytes, one by a forger whose hashes match."""
    registry = Registry.discover()
    draw = random.Random(4)
    path, good = folder / "mutated.safetensors", folder / "good.safetensors"
    tensors = _good(good, registry)
    whole = good.read_bytes()
    broken: list[str] = []
    loaded = 0
    for number in range(files):
        if number % 5:
            path.write_bytes(draw.choice(MUTATORS)(draw, whole))
        else:
            with without_fsync():
                _forged(draw, path, tensors)
        try:
            model, card = weights.load(path, registry)
            loaded += 1
            if number % 20 == 0:  # a model that loads can be used
                list(
                    stream(
                        ModuleRunner(model), card.preprocess, prompt="a", sampling=Sampling(max_new_tokens=3)
                    )
                )
        except ZooError as error:
            if not is_one_sentence(error):
                broken.append(f"number {number}: {str(error)[:200]!r}")
        except Exception as error:
            broken.append(f"number {number}: {type(error).__name__}: {str(error)[:200]}")
    return counted(
        "mutated weights files",
        files,
        broken,
        "were rejected with a one-sentence error or were harmless",
        f"{loaded:,} were harmless",
    )


def is_one_sentence(error: ZooError) -> bool:
    return "\n" not in str(error) and 10 <= len(str(error)) <= 2_000


@contextlib.contextmanager
def without_fsync() -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


def flipped_bits(folder: Path, *, flips: int) -> Figure:
    """Flip one bit anywhere in a weights file."""
    registry = Registry.discover()
    draw = random.Random(5)
    path = folder / "flipped.safetensors"
    _good(path, registry)
    whole = path.read_bytes()
    broken: list[str] = []
    for place in draw.sample(range(8 * len(whole)), flips):
        path.write_bytes(
            whole[: place // 8] + bytes([whole[place // 8] ^ 1 << place % 8]) + whole[place // 8 + 1 :]
        )
        try:
            weights.load(path, registry)
            broken.append(f"bit {place} went unnoticed")
        except ZooError:
            pass
    return counted("one bit flipped in a weights file", flips, broken, "were rejected")


def mutated_others(folder: Path, *, files: int) -> Figure:
    """Read cards, registry.toml, checkpoints, texts, images and idx files changed at random."""
    draw = random.Random(6)
    registry = Registry.discover()
    broken: list[str] = []
    harmless = 0
    tried = 0
    for name, share, begin in (
        ("card", 0.4, _cards),
        ("registry.toml", 0.3, _registries),
        ("checkpoint", 0.1, _checkpoints),
        ("image", 0.1, _images),
        ("text", 0.05, _texts),
        ("idx file", 0.05, _idx_files),
    ):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        attempts = begin(draw, place, registry)
        for number in range(int(files * share)):
            tried += 1
            try:
                with _without_warnings():
                    next(attempts)()
                harmless += 1
            except ZooError as error:
                if not is_one_sentence(error):
                    broken.append(f"{name} {number}: {str(error)[:300]!r}")
            except Exception as error:
                broken.append(f"{name} {number}: {type(error).__name__}: {str(error)[:200]}")
    return counted(
        "mutated cards, registry.toml files, checkpoints, images, texts and idx files",
        tried,
        broken,
        "were rejected with a one-sentence error or were harmless",
        f"{harmless:,} were harmless",
    )


Attempts = Iterator[Callable[[], object]]
"""Each reads another file that was changed at random."""


def _cards(draw: random.Random, folder: Path, registry: Registry) -> Attempts:
    text = CARD.to_json().encode()
    while True:
        if draw.random() < 0.5:
            made = draw.choice(MUTATORS)(draw, text).decode(errors="replace")
        else:
            made = json.dumps(changed_json(draw, CARD.to_dict()))
        yield lambda made=made: parse_card(made, folder / "card")


_REGISTRY = b"""schema = 1
[plugins]
disabled = ["acme"]
[recipes.mine]
architecture = "charrnn/lstm"
dataset = "text/files"
data = { paths = "my.txt" }
train = { epochs = 5, lr = 2e-3, augment = ["crop"] }
seed = 3
[weights.mine]
recipe = "mine"
file = "mine.safetensors"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
bytes = 10
params = 4
metrics = { test = { loss = 1.5 } }
"""


def _registries(draw: random.Random, folder: Path, registry: Registry) -> Attempts:
    path = folder / "registry.toml"
    os.environ["ZOO_REGISTRY"] = str(path)
    try:
        while True:
            data = _REGISTRY
            for _ in range(draw.randint(1, 3)):
                data = draw.choice(MUTATORS)(draw, data) or b"#"
            path.write_bytes(data)
            yield Catalog.load
    finally:
        del os.environ["ZOO_REGISTRY"]


def _checkpoints(draw: random.Random, folder: Path, registry: Registry) -> Attempts:
    with RunDirectory(folder, IDENTITY, resume=True) as store:
        state = _state()
        store.restore(state, device="cpu")
        _epoch(store, state)
    path = folder / "checkpoint.safetensors"
    whole = path.read_bytes()

    def resume() -> None:
        with RunDirectory(folder, IDENTITY, resume=True) as store:
            store.restore(_state(), device="cpu")

    while True:
        path.write_bytes(draw.choice(MUTATORS)(draw, whole))
        yield resume


def _images(draw: random.Random, folder: Path, registry: Registry) -> Attempts:
    kinds = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    wholes: list[tuple[str, bytes]] = []
    for kind in kinds:
        made = io.BytesIO()
        Image.frombytes("RGB", (20, 16), draw.randbytes(960)).save(made, kind)
        wholes.append((kind.lower().replace("jpeg", "jpg"), made.getvalue()))
    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(2):
            (folder / name / f"{number}.png").write_bytes(wholes[0][1])
    entry = registry.dataset("images/folder")
    while True:
        kind, whole = draw.choice(wholes)
        path = folder / "a" / f"mutated.{kind}"
        data = whole
        for _ in range(draw.randint(1, 4)):
            data = draw.choice(MUTATORS)(draw, data) or b"\0"
        path.write_bytes(data)
        yield lambda: open_dataset(entry, {"root": str(folder), "size": 8})
        path.unlink()


def _texts(draw: random.Random, folder: Path, registry: Registry) -> Attempts:
    path = folder / "text.txt"
    whole = ("Thus spoke Zarathustra: é, 中, \U0001f600.\n" * 5).encode()
    entry = registry.dataset("text/files")
    while True:
        data = whole
        for _ in range(draw.randint(1, 4)):
            data = draw.choice(MUTATORS)(draw, data) or b"\0"
        path.write_bytes(data)
        yield lambda: open_dataset(entry, {"paths": str(path), "tokens": draw.choice(["char", "word"])})


def _idx_files(draw: random.Random, folder: Path, registry: Registry) -> Attempts:
    from zoo_images.idx import tensors, unpacked

    images = folder / "images.gz"
    inner = struct.pack(">4B3I", 0, 0, 8, 3, 4, 5, 5) + bytes(100)
    sha256 = hashlib.sha256(inner).hexdigest()
    while True:
        if draw.random() < 0.5:
            images.write_bytes(gzip.compress(draw.choice(MUTATORS)(draw, inner), mtime=0))
        else:
            images.write_bytes(draw.choice(MUTATORS)(draw, gzip.compress(inner, mtime=0)))
        yield lambda: tensors(torch.frombuffer(bytearray(unpacked(images, sha256=sha256)), dtype=torch.uint8))


def hand_made(folder: Path) -> Figure:
    """Read every hostile file in every way; none may be accepted, or write outside its folder."""
    before = _all_files(folder)
    broken = [*_hostile_weights(folder / "hostile.safetensors"), *_hostile_archives(folder, before)]
    if hostile.WITNESS.exists():
        broken.append(f"{hostile.WITNESS} was written")
    count = len(hostile.FILES) + len(hostile.CARDS) + len(hostile.ARCHIVES)
    return counted(
        "hostile weights, cards and archives, written by hand",
        count,
        broken,
        "were rejected with a one-sentence error by `zoo inspect`, `zoo eval` and `zoo sample`, "
        "which wrote no files",
        f"{len(hostile.FILES)} files, {len(hostile.CARDS)} cards, {len(hostile.ARCHIVES)} archives",
    )


def _hostile_weights(path: Path) -> Iterator[str]:
    """Yield each hostile file that is not refused as it should be."""
    registry = Registry.discover()
    for name, content in hostile.FILES.items():
        path.write_bytes(content)
        yield from _not_refused(name, lambda: read_card(path), lambda: weights.load(path, registry))
        yield from _not_refused_by_commands(name, path, ("inspect", "eval", "sample"))
    tensors = _good(path, registry)
    for name, change in hostile.CARDS.items():
        card, held = json.loads(CARD.to_json()), list(tensors)
        change(card, held)
        with without_fsync():
            hostile.write_forged(path, card, held)
        yield from _not_refused(name, lambda: weights.load(path, registry))
        yield from _not_refused_by_commands(name, path, ("eval", "sample"))
    path.unlink()


def _hostile_archives(folder: Path, before: set[Path]) -> Iterator[str]:
    """Yield each hostile archive that is not refused, or writes a file."""
    archive = folder / "hostile.tar.gz"
    wanted = {"a.bin": hashlib.sha256(b"thus spoke").hexdigest()}
    for name, content in hostile.ARCHIVES.items():
        archive.write_bytes(content)
        yield from _not_refused(name, lambda: [*tar_members(archive, wanted, max_bytes=10_000_000)])
        archive.unlink()
        if _all_files(folder) != before:
            yield f"{name} wrote {_all_files(folder) - before}"


def _not_refused(name: str, *reads: Callable[[], object]) -> Iterator[str]:
    """Yield what is wrong with each way of reading that does not raise a ZooError of one sentence."""
    for read in reads:
        try:
            read()
            yield f"{name} was accepted"
        except ZooError as error:
            if not is_one_sentence(error):
                yield f"{name}: {str(error)!r}"
        except Exception as error:
            yield f"{name}: {type(error).__name__}: {error}"


def _not_refused_by_commands(name: str, path: Path, commands: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with each command that does not exit with 1 and one sentence, the same for all."""
    sentences: set[str] = set()
    for command in commands:
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as errors,
        ):
            code = run([command, str(path), "--quiet"])
        sentence, *hints = errors.getvalue().splitlines() or [""]
        sentences.add(re.sub("tensor `.*`", "a tensor", sentence))  # which of two is bad is up to safetensors
        refused = code == 1 and sentence.startswith("zoo: ") and not out.getvalue()
        if not refused or len(hints) > 1 or not all(hint.startswith("     ") for hint in hints):
            yield f"zoo {command} on {name} ended with {code}: {errors.getvalue()[-300:]!r}"
    if len(sentences) > 1:
        yield f"{name} is refused in different words: {sentences}"


def _all_files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}
