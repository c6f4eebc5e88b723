"""What is remembered between commands is private and bounded; where it cannot be written, nothing stops."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zoo.files import private_store


@pytest.mark.parametrize("kind", ["hashes", "runs"])
def test_what_is_remembered_is_private_and_bounded(
    kind: private_store.Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv({"hashes": "ZOO_CACHE", "runs": "ZOO_STATE"}[kind], str(tmp_path / "a/b"))
    monkeypatch.setattr(private_store, "_MOST", 3)
    home, before = tmp_path / "a/b" / kind, os.umask(0)
    try:
        for number in range(5):
            private_store.remember(kind, f"{number}", b"%d" % number)
            os.utime(home / f"{number}", (number, number))
    finally:
        os.umask(before)
    found = [private_store.recalled(kind, f"{number}") for number in range(5)]
    assert found == [None, None, b"2", b"3", b"4"]
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a", *(tmp_path / "a").glob("**"))} == {0o700}
    for mode in (0o620, 0o602):  # writable by the group, and by others
        (home / "4").chmod(mode)
        assert private_store.recalled(kind, "4") is None


@pytest.mark.parametrize("state", ["/dev/null/x", "/proc/x", "\udcff"])
def test_a_state_directory_that_cannot_be_written_stops_nothing(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_STATE", state)
    private_store.remember("runs", "key")
    assert private_store.recalled("runs", "key") is None
