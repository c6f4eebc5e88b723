"""What can be known to be wrong without data and without torch is found before either is loaded."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.messages.table import CHEAP

SCRIPT = """
import contextlib, io, json, os, sys
from zoo.cli import run
for folder, words in json.load(sys.stdin):
    os.chdir(folder)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = run(words)
    print(json.dumps([code, said.getvalue(), "torch" in sys.modules]))
"""


def test_a_mistake_is_found_before_torch_is_imported(request: pytest.FixtureRequest) -> None:
    """In one process: the first row that imports torch fails."""
    folders: dict[str, Path] = {name: request.getfixturevalue(name) for name in CHEAP}
    typed = [(folders[name], row) for name, rows in CHEAP.items() for row in rows]
    asked = json.dumps([(str(folder), shlex.split(row[0])) for folder, row in typed])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=asked, capture_output=True, text=True, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for (_, (words, code, _)), (returned, said, torch) in zip(typed, answers, strict=True):
        assert (returned, torch) == (code, False), words
        assert not said.startswith(("training", "resuming")), words
