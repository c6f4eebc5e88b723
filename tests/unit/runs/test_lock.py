"""One process at a time owns a folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.errors import RunError
from zoo.runs.lock import owned

HOLD = """
import sys
from pathlib import Path
from zoo.runs.lock import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_free_again_afterwards_even_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), owned(tmp_path):
        raise ZeroDivisionError
    with owned(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_folder_in_use_is_refused_until_its_owner_is_dead(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"^{tmp_path} is in use by process {owner.pid} on ") as caught:
            owned(tmp_path).__enter__()
        assert caught.value.hint == "wait for it to finish, or choose a different --run folder"
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.communicate()
    with owned(tmp_path):
        pass


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_link_in_place_of_the_lock_is_refused_and_not_followed(tmp_path: Path, kind: str) -> None:
    (tmp_path / "run").mkdir()
    precious, lock = tmp_path / "precious", tmp_path / "run/.lock"
    precious.write_text("mine")
    if kind == "symbolic":
        lock.symlink_to(precious)
    else:
        lock.hardlink_to(precious)
    with pytest.raises(RunError, match=rf"^{lock} is a link") as caught, owned(tmp_path / "run"):
        pass
    assert caught.value.hint == "delete it, or choose a different --run folder"
    assert precious.read_text() == "mine"


def test_a_file_of_that_name_that_is_no_lock_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("my notes")
    with pytest.raises(RunError, match=r"/\.lock is not a zoo lock file(?m:$)"), owned(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "my notes"


def test_a_parent_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk/run").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    with (
        owned(tmp_path / "runs/run"),
        pytest.raises(RunError, match="is in use by process"),
        owned(tmp_path / "disk/run"),
    ):
        pass


def test_an_owner_whose_lock_was_removed_is_still_the_only_one(tmp_path: Path) -> None:
    with owned(tmp_path) as mine:
        mine.check()
        (tmp_path / ".lock").unlink()
        with pytest.raises(RunError, match=r"\.lock was deleted or replaced during the run"):
            mine.check()
        with pytest.raises(RunError, match="is in use by "), owned(tmp_path):
            pass
        with pytest.raises(RunError, match=r"\.lock was deleted or replaced during the run"):
            mine.check()


def test_a_folder_that_was_moved_is_still_owned_and_its_new_place_named(tmp_path: Path) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    run.mkdir()
    with owned(run) as mine:
        mine.check_place(saved=0)
        run.rename(moved)
        mine.check()
        for again in (False, True):
            if again:
                run.mkdir()
            with pytest.raises(RunError) as caught:
                mine.check_place(saved=1_200)
            assert f"{run} was moved to {moved} during the run; the last saved step is 1,200" in str(
                caught.value
            )
            assert caught.value.hint == f"continue from the last saved step: `zoo resume {moved}`"
        with owned(run):  # another folder
            mine.check()


def test_a_folder_that_was_deleted_is_told_from_one_that_was_moved(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with owned(run) as mine:
        shutil.rmtree(run)
        run.mkdir()
        for check in (mine.check, lambda: mine.check_place(saved=1)):
            with pytest.raises(RunError, match=f"^{run} and its checkpoints were deleted during the run"):
                check()


def test_a_folder_may_be_called_deleted(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with owned(tmp_path / "run") as mine:
        moved = (tmp_path / "run").rename(tmp_path / "run (deleted)")
        with pytest.raises(RunError, match=r"was moved to .*run \(deleted\) during the run"):
            mine.check_place(saved=1)
    assert moved.is_dir()
