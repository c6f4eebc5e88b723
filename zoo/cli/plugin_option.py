"""Parse `--plugin FILE` anywhere on the command line, because FILE can define a command's options."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import click

from zoo.registry.plugin_files import VARIABLE

_OPTION = "--plugin"


def split_plugins(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the files given with `--plugin` before any `--`, and the other arguments. Raises UsageError."""
    files, others, words = list[str](), list[str](), iter(arguments)
    for word in words:
        if word == "--":
            others += [word, *words]
        elif word == _OPTION:
            files += [next(words, "")]
        elif word.startswith(f"{_OPTION}="):
            files += [word.removeprefix(f"{_OPTION}=")]
        else:
            others += [word]
    if "" in files:
        raise click.UsageError(f"Option {_OPTION!r} requires an argument.")
    if apart := [file for file in files if os.pathsep in file]:
        raise click.UsageError(f"the path of a plugin cannot contain {os.pathsep!r} (got {apart[0]!r})")
    return files, others


@contextmanager
def naming(files: Sequence[str]) -> Generator[None]:
    """Add plugin files to ZOO_PLUGIN_FILES, also for child processes, until the `with` block ends."""
    before = os.environ.get(VARIABLE, "")
    if files:
        os.environ[VARIABLE] = os.pathsep.join([*filter(None, [before]), *map(os.path.abspath, files)])
    try:
        yield
    finally:
        if files:
            os.environ[VARIABLE] = before
