"""The definition of a study, in the file `sweep.json` of its folder."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from zoo.errors import RunError, first_line
from zoo.files import run_files
from zoo.files.atomic import atomic_write
from zoo.files.regular import read_regular
from zoo.runs.lock import owned

_NAME = "sweep.json"
# Bytes of the largest file, of tens of thousands of trials
_LARGEST = 1 << 22
# What a folder without a definition may contain: hidden files, and what is left of a study
_OURS = re.compile(r"\..*|sweep\.png|(seed|trial)-\d+")


class Definition(TypedDict, total=False):
    """The arguments of the command, and the options of each trial as a user would type them."""

    name: str | dict[str, Any]
    dataset: str | None
    training: dict[str, str]
    seeds: int
    over: dict[str, str]
    method: str
    trials: int | None
    round_size: int
    points: list[dict[str, str]]


@contextlib.contextmanager
def begun(folder: Path, definition: Mapping[str, Any], *, free: Iterable[str]) -> Generator[None]:
    """Lock a folder, and write the definition of a new study, or compare it with that of the study in it.

    Args:
        free: keys that may have changed.

    Raises RunError if the folder is in use, or contains a different study or other files.
    """
    with contextlib.ExitStack() as stack:
        try:
            if folder.exists() and not (folder / _NAME).exists():
                _refuse_other_files(folder)
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(owned(folder))
            write_definition(folder, _continued(folder, json.loads(json.dumps(definition)), free))
        except OSError as error:
            raise RunError(f"{folder} cannot be created: {error.strerror}") from None
        yield


def read_definition(folder: Path) -> Definition:
    """Return the definition of the study in a folder. Raises RunError if it cannot be read."""
    path = folder / _NAME
    try:
        return msgspec.json.decode(read_regular(path, most=_LARGEST), type=Definition)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        hint = "delete it and repeat the original command, or choose a different folder with --run"
        raise RunError(f"{path} cannot be read: {reason}", hint=hint) from None


def write_definition(folder: Path, definition: Mapping[str, Any]) -> None:
    """Write the definition of a study."""
    with atomic_write(folder / _NAME) as file:
        file.write(json.dumps(definition, indent=2).encode() + b"\n")


def _refuse_other_files(folder: Path) -> None:
    if not all(_OURS.fullmatch(entry.name) for entry in folder.iterdir()):
        raise RunError(f"{folder} contains other files", hint="choose a different folder with --run")


def _continued(folder: Path, definition: dict[str, Any], free: Iterable[str]) -> dict[str, Any]:
    """Return a definition with the points of the study in the folder, if there is one."""
    if not (folder / _NAME).exists() or not any(folder.glob(f"*/{run_files.CONFIG}")):
        return definition
    before: Mapping[str, Any] = read_definition(folder)
    different = [key for key in definition if before.get(key) != definition[key] and key not in free]
    if different:
        changes = ", ".join(f"{key}: {before.get(key)!r} is now {definition[key]!r}" for key in different)
        hint = "repeat the original command, or choose a different folder with --run"
        raise RunError(f"{folder} contains runs with other options ({changes})", hint=hint)
    return definition | {"points": before["points"]} if "points" in before else definition
