"""Weights and checkpoints forged with correct checksums: each field drawn from hostile values."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import random
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.files import CARD, changed_json, is_one_sentence, without_fsync
from tests.trainings import train
from zoo import Recipe, Registry
from zoo.cli import _invoke  # pyright: ignore[reportPrivateUsage] - it raises what `run` prints
from zoo.cli.session import Session
from zoo.console.terminal import echo_json
from zoo.errors import ZooError, ZooWarning
from zoo.files import cards
from zoo.files.cards import Card, DatasetCard
from zoo.files.container import StoredTensor, read_container, tensor_sha256, write_container
from zoo.models import weights
from zoo.models.building import build_model

SHAPES = {"size": 16, "train_size": 8, "val_size": 8, "test_size": 8}
NET = replace(
    CARD,
    architecture="convnet/resnet-lite",
    arguments={"in_channels": 3, "image_size": 16, "num_classes": 8, "widths": [4, 4]},
    task="classification",
    dataset=DatasetCard(name="images/shapes", options=SHAPES, fingerprint="0" * 64),
    preprocess={
        "size": 16,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "classes": ["circle", "ring", "square", "frame", "triangle", "diamond", "plus", "cross"],
    },
)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: tuple[Any, ...] = (
    *(10**3, 10**6, 10**9, 10**18, int("9" * 4_000), -1, -(10**18), 0, 1, 2, True, False, None, math.nan),
    *(1e-308, 1e38, 1e300, 1.7e308, -1e308, 0.5, "", "x", "x" * 100_000, "\x1b]0;x\x07", "../../etc/passwd"),
    *([], {}, [1] * 10_000, ["a"] * 1_000, _nested(50), _nested(400), {"a": {}}, {"": None}, [[1], ["a"]]),
    *("1e999", "nan", "100_000", "/dev/zero", "é" * 1_000, [10**9] * 3, [1e308] * 3, [0] * 3, [True]),
)
"""Values that a forger may give any field; `"1e999"` is written as that number."""


def _paths(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inside:
        yield (*place, key)
        yield from _paths(held, (*place, key))


def _forge(draw: random.Random, honest: Any) -> Any:
    """Return JSON data with one to three of its values replaced by hostile ones."""
    value, places = json.loads(json.dumps(honest)), [*_paths(honest)]
    for *outer, last in draw.choices(places, k=draw.choice((1, 1, 1, 2, 3))):
        inner = value
        with contextlib.suppress(KeyError, IndexError, TypeError):  # an outer value was replaced before
            for key in outer:
                inner = inner[key]
            inner[last] = copy.deepcopy(draw.choice(HOSTILE))  # a later one may go into it
    return changed_json(draw, value) if draw.random() < 0.2 else value


def _forged_tensors(draw: random.Random, tensors: list[StoredTensor]) -> list[StoredTensor]:
    """Return tensors of which one, in one case of four, has other values, another shape, dtype or name."""
    tensors = list(tensors)
    if draw.random() < 0.75 or not tensors:
        return tensors
    place = draw.randrange(len(tensors))
    old = tensors[place]
    kind, size = draw.randrange(5), old.data.nbytes
    if kind == 0:
        del tensors[place]
    elif kind == 1:
        tensors[place] = replace(old, data=memoryview(draw.choice([draw.randbytes(size), bytes(size)])))
    elif kind == 2:
        tensors[place] = replace(old, shape=(*old.shape[::-1], *draw.choice([(), (1,), (1, 1)])))
    elif kind == 3:
        tensors[place] = StoredTensor(old.name, "U8", (size,), old.data)
    else:
        names = ["optimizer/99/exp_avg", "optimizer/x/step", "sums/x", "carried/9", "../x", "model/x", ""]
        tensors[place] = replace(old, name=draw.choice([name for name in names if name != old.name]))
    return tensors


def _text(value: Any) -> str:
    return json.dumps(value).replace('"1e999"', "1e999")


def forged(folder: Path, *, files: int) -> Figure:
    """Read forged weights in every way, and resume forged checkpoints."""
    draw, registry = random.Random(7), Registry.discover()
    broken: list[str] = []
    slowest, harmless = (0.0, ""), 0
    for name, share, begin in (("weights", 0.6, _weights), ("checkpoint", 0.4, _checkpoints)):
        place = folder / name
        place.mkdir()
        attempts = begin(draw, place, registry)
        for number in range(round(files * share)):
            case = f"{name} {number}"
            attempt = next(attempts)
            begun = time.perf_counter()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ZooWarning)
                    attempt()
                harmless += 1
            except ZooError as error:
                if not is_one_sentence(error):
                    broken.append(f"{case}: {str(error)[:300]!r}")
            except (Exception, SystemExit) as error:
                broken.append(f"{case}: {type(error).__name__}: {str(error)[:200]}")
            slowest = max(slowest, (time.perf_counter() - begun, case))
    return counted(
        "forged weights and checkpoints with correct checksums, used by inspect, load, eval, sample "
        "and resume",
        files,
        broken,
        "were rejected with a one-sentence error or were harmless",
        f"{harmless:,} were harmless; the slowest took {slowest[0]:.1f} s",
    )


def _weights(draw: random.Random, folder: Path, registry: Registry) -> Iterator[Callable[[], object]]:
    """Yield, again and again, a function that reads another forged weights file in every way."""
    for path, commands in drawn_weights(draw, folder, registry):

        def attempt(path: Path = path, commands: list[list[str]] = commands) -> None:
            _command(["inspect", str(path)])
            _command(["inspect", str(path), "--json"], strict=True)
            weights.load(path, registry)
            for command, *rest in commands:
                _command([command, str(path), *rest, "--quiet"])

        yield attempt


def drawn_weights(
    draw: random.Random, folder: Path, registry: Registry
) -> Iterator[tuple[Path, list[list[str]]]]:
    """Yield a forged weights file, another one each time, and the commands that compute with it."""
    path, text = folder / "forged.safetensors", folder / "forged.txt"
    text.write_text("abcdefabcdef" * 20, encoding="utf-8")
    made: list[tuple[Card, list[StoredTensor], list[list[str]]]] = []
    for card, commands in (
        (CARD, [["eval", "--data", f"paths={text}"], ["sample", "--max-new-tokens", "3", "--prompt", "a"]]),
        (NET, [["eval"]]),
    ):
        model = build_model(registry.architecture(card.architecture), card.arguments, seed=1)
        made.append((card, weights.pack(model.state_dict()), commands))
    while True:
        card, tensors, commands = draw.choice(made)
        held, data = _forged_tensors(draw, tensors), _forge(draw, card.to_dict())
        if isinstance(data, dict) and draw.random() < 0.98:
            data["sha256"] = tensor_sha256(held)
        with without_fsync():
            write_container(path, held, {"format": "pt", cards.KEY: _text(data)})
        yield path, commands


def _command(arguments: list[str], *, strict: bool = False) -> None:
    """Run a command in process. Raises its error, and AssertionError for an answer that is none."""
    session = Session()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        code = _invoke(session, arguments)
        if session.document is not None:
            echo_json(session.document)
    assert code == 0, (arguments[0], code)
    if strict:
        json.loads(out.getvalue(), parse_constant=lambda constant: 1 / 0)
    else:
        assert len(out.getvalue()) < 200_000, f"{arguments[0]} printed {len(out.getvalue()):,} characters"


def _checkpoints(draw: random.Random, folder: Path, registry: Registry) -> Iterator[Callable[[], object]]:
    """Yield, again and again, a function that resumes a run whose checkpoint was forged."""
    for place, recipe in _drawn_runs(draw, folder, registry):

        def attempt(place: Path = place, recipe: Recipe = recipe) -> None:
            with without_fsync():
                train(recipe, registry, directory=place, resume=True)

        yield attempt


def toy_runs(draw: random.Random, folder: Path, registry: Registry, *, count: int) -> Iterator[Path]:
    """Yield `count` run directories with forged checkpoints, each in the place of the one before."""
    for (place, _), _ in zip(_drawn_runs(draw, folder, registry), range(count), strict=False):
        yield place


def _drawn_runs(draw: random.Random, folder: Path, registry: Registry) -> Iterator[tuple[Path, Recipe]]:
    text = folder / "train.txt"
    text.write_text("abcdefabcdef" * 20, encoding="utf-8")
    small = {"hidden_size": 4, "embedding_dim": 4, "dropout": 0.1}
    fields = {"epochs": 2, "batch_size": 4, "bptt": 12, "optimizer": "adam"}
    averaged = {"epochs": 3, "batch_size": 4, "ema_decay": 0.9, "patience": 2, "optimizer": "sgd"}
    recipes = [
        Recipe(architecture="lstm", dataset="files", model=small, data={"paths": str(text)}, train=fields),
        Recipe(
            architecture="resnet-lite",
            dataset="shapes",
            model={"widths": [4, 4]},
            data=SHAPES,
            train=averaged,
        ),
    ]
    made = [_stopped(recipe, folder / f"run-{number}", registry) for number, recipe in enumerate(recipes)]
    place = folder / "run"
    while True:
        run_folder, recipe, tensors, info = draw.choice(made)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(run_folder, place)
        held, data = _forged_tensors(draw, tensors), _forge(draw, info)
        if isinstance(data, dict):
            data["sha256"] = tensor_sha256(held)
        metadata = {"format": "pt", cards.CHECKPOINT: _text(data)}
        with without_fsync():
            write_container(place / "checkpoint.safetensors", held, metadata)
        yield place, recipe


class _Stop(Exception):
    pass


def _stopped(
    recipe: Recipe, folder: Path, registry: Registry
) -> tuple[Path, Recipe, list[StoredTensor], dict[str, Any]]:
    """Train until the second epoch, and return what was saved in the middle of it."""

    def stop(progress: Any) -> None:
        if progress.epoch == 2 and progress.batch == 2:
            raise _Stop

    with contextlib.suppress(_Stop), warnings.catch_warnings():
        warnings.simplefilter("ignore", ZooWarning)
        train(recipe, registry, directory=folder, save_every="1", report=stop)
    (folder / "checkpoint.previous.safetensors").unlink()
    container = read_container(folder / "checkpoint.safetensors")
    return folder, recipe, list(container.tensors.values()), json.loads(container.metadata[cards.CHECKPOINT])
