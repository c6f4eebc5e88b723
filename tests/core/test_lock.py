"""One process at a time owns a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.errors import RunError
from zoo.training.lock import owned

HOLD = """
import sys
from pathlib import Path
from zoo.training.lock import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_free_again_afterwards_even_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), owned(tmp_path):
        raise ZeroDivisionError
    with owned(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_second_owner_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with (
        owned(tmp_path),
        pytest.raises(RunError, match=f"in use by process {os.getpid()} on "),
        owned(tmp_path),
    ):
        pass


def test_a_folder_in_use_is_refused_until_its_owner_is_dead(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"^{tmp_path} is in use by process {owner.pid} on ") as caught:
            owned(tmp_path).__enter__()
        assert caught.value.hint == "wait for it, or choose another --run"
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.communicate()
    with owned(tmp_path):
        pass
