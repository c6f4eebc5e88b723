"""The command line as a user types it, run in this process, which has imported torch already."""

from __future__ import annotations

import contextlib
import io
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from zoo.cli import run

__all__ = ["SMALL_LSTM", "SMALL_NET", "SMALL_SHAPES", "TEXT", "zoo"]

TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 60
SMALL_LSTM = (
    "--model",
    "hidden_size=16",
    "--model",
    "num_layers=1",
    "--batch-size",
    "8",
    "--epochs",
    "2",
)
SMALL_NET = ("--model", "widths=[4, 8]", "--batch-size", "32", "--epochs", "1")
SMALL_SHAPES = ("--data", "train_size=64", "--data", "val_size=16", "--data", "test_size=16")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def zoo(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    columns: int | None = None,
):
    """Run a command line as `zoo.cli.main` does, and return its exit code, stdout and stderr.

    With `columns`, stdout is a terminal of that width.
    """
    out, err = _Terminal() if columns else io.StringIO(), io.StringIO()
    words = [str(word) for word in arguments]
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        terminal = {"COLUMNS": str(columns), "TERM": "xterm"} if columns else {}
        for name, value in (terminal | {**(env or {})}).items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        code = run(words)
    assert "--debug" in words or "Traceback" not in err.getvalue(), err.getvalue()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
