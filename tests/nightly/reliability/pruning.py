"""The promise that pruning never deletes the last intact weights of a run, whatever its directory holds."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest import mock

import zoo
from tests.made_runs import make, write_weights
from tests.nightly.reliability.figure import Figure, counted
from zoo.errors import ZooError
from zoo.files.cards import read_card
from zoo.files.run_files import WEIGHTS
from zoo.runs.lock import Owned, owned


def never_the_last(folder: Path, *, runs: int) -> Figure:
    """Prune run directories that were changed at random, some of which continue before they are locked."""
    broken: list[str] = []
    pruned = 0
    for number in range(runs):
        rng = random.Random(number)
        directory = make(folder / str(number))
        for name in rng.sample(WEIGHTS, rng.choice([0, 0, 1, 2])):
            (directory / name).unlink()
        changes = rng.choices([*_CHANGES], k=rng.choice([1, 1, 2]))
        for change in changes:
            _CHANGES[change](rng, directory / rng.choice(WEIGHTS[:2]))
        held = [_held(directory)]
        with (
            warnings.catch_warnings(record=True) as caught,
            _continuing(held if rng.random() < 0.2 else None),
        ):
            warnings.simplefilter("always")
            rows = zoo.prune_runs(directory, keep=rng.choice(["best", "last"]))
        before, after = held[-1], _held(directory)
        pruned += len(rows)
        reasons = [str(warning.message).partition(" is skipped: ")[2] for warning in caught]
        what = ""
        if any(before.values()) and not any(after.values()):
            what = "the last intact weights were deleted"
        elif not rows and after != before:
            what = "files of a skipped run were deleted"
        elif not rows and len(held[0]) > 1 and not any(reasons):
            what = "it was skipped without a reason"
        if what:
            broken.append(f"run {number} ({' and '.join(changes)}): {what}")
    return counted(
        "`zoo runs prune` on directories that are damaged, linked or foreign, or continue at this moment",
        runs,
        broken,
        "kept their last intact weights, and were skipped only with a reason",
        f"{pruned} were pruned",
    )


def _held(directory: Path) -> dict[str, bool]:
    """Return whether each file of weights and checkpoints that is there has intact weights of this run."""

    def is_intact(path: Path) -> bool:
        try:
            return read_card(path).seed == 0
        except ZooError:
            return False

    return {name: is_intact(directory / name) for name in WEIGHTS if os.path.lexists(directory / name)}


@contextmanager
def _continuing(held: list[dict[str, bool]] | None) -> Generator[None]:
    """Let the run continue just before it is locked, and append what it holds then to `held`."""

    def continued(directory: Path) -> AbstractContextManager[Owned]:
        last = directory / "model.safetensors"
        if held is not None and not last.is_dir():
            last.unlink(missing_ok=True)
            held.append(_held(directory))
        return owned(directory)

    with mock.patch("zoo.runs.run_table.owned", continued):
        yield


def _cut(rng: random.Random, path: Path) -> None:
    if path.is_file():
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content) + 1)])


def _flip(rng: random.Random, path: Path) -> None:
    if path.is_file() and (content := bytearray(path.read_bytes())):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)


def _replaced(by: Callable[[Path], object]) -> Callable[[random.Random, Path], None]:
    def replace(_: random.Random, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        by(path)

    return replace


def _other(path: Path) -> str:
    return next(name for name in WEIGHTS[:2] if name != path.name)


def _config(text: str) -> Callable[[random.Random, Path], object]:
    return lambda _, path: path.with_name("config.toml").write_text(text)


_CHANGES: dict[str, Callable[[random.Random, Path], object]] = {
    "cut": _cut,
    "a flipped bit": _flip,
    "a folder": _replaced(Path.mkdir),
    "a pipe": _replaced(os.mkfifo),
    "a link to the other": _replaced(lambda path: path.symlink_to(_other(path))),
    "a link to the checkpoint": _replaced(lambda path: path.symlink_to("checkpoint.safetensors")),
    "a link to nothing": _replaced(lambda path: path.symlink_to("nothing")),
    "another run's weights": _replaced(lambda path: write_weights(path, seed=1)),
    "another program's config": _config('title = "x"'),
    "a damaged config": _config("schema = "),
    "nothing": lambda rng, path: None,
}
