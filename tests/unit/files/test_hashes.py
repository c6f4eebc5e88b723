"""Hashes of files are remembered until a file changes, in whatever way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from zoo.errors import DataError
from zoo.files import hashes
from zoo.files.hashes import sha256_of


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Return a list that collects the names of files that are read; what was just written is remembered."""
    names: list[str] = []

    def recording(path: Path) -> str:
        names.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(hashes, "sha256_of", recording)
    monkeypatch.setattr(hashes, "_TOO_RECENT", 0)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return names


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    places = [tmp_path / "data" / name for name in ("a/1", "a/2", "b/\udcff")]
    for number, place in enumerate(places):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"content %d" % number)
    return places


def hashed(paths: Sequence[Path]) -> list[str]:
    with hashes.remembered(paths) as known:
        return [known.of(path) for path in paths]


def test_a_file_is_read_once(files: list[Path], read: list[str]) -> None:
    wanted = [hashlib.sha256(b"content %d" % number).hexdigest() for number in range(3)]
    assert hashed(files) == wanted
    assert len(read) == 3
    assert hashed(files[::-1]) == wanted[::-1]
    assert len(read) == 3
    with hashes.remembered(files) as known:
        assert [known.known(path) for path in files] == wanted
    cached = next((files[0].parents[2] / "cache" / "hashes").iterdir())
    assert cached.stat().st_mode & 0o777 == 0o600


def test_a_file_that_has_changed_is_read_again_and_no_other(files: list[Path], read: list[str]) -> None:
    first = hashed(files)
    before = files[1].stat()
    files[1].write_bytes(b"content X")  # of the same size
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    changed = hashed(files)
    assert read == ["2"]
    assert changed == [first[0], hashlib.sha256(b"content X").hexdigest(), first[2]]
    files[0].unlink()
    with pytest.raises(DataError, match="No such file"):
        hashed(files)
    assert hashed(files[1:]) == changed[1:]


def test_a_file_that_is_new_leaves_the_others_known(files: list[Path], read: list[str]) -> None:
    hashed(files[:2] + files[2:])
    new = files[0].with_name("3")
    new.write_bytes(b"new")
    read.clear()
    hashed([*files, new])
    hashed(files)
    assert read == ["3"]


@pytest.mark.parametrize("dated", [False, True])
def test_what_was_put_in_place_just_now_is_not_remembered_whatever_its_date(
    files: list[Path], read: list[str], monkeypatch: pytest.MonkeyPatch, dated: bool
) -> None:
    monkeypatch.setattr(hashes, "_TOO_RECENT", 2_000_000_000)
    for path in files if dated else ():
        os.utime(path, (1, 1))
    hashed(files)
    hashed(files)
    assert len(read) == 6


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    files: list[Path], read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path) -> str:
        sha256 = sha256_of(path)
        path.write_bytes(b"later")
        return sha256

    monkeypatch.setattr(hashes, "sha256_of", slow)
    hashed(files[:1])
    monkeypatch.setattr(hashes, "sha256_of", sha256_of)
    assert hashed(files[:1]) == [hashlib.sha256(b"later").hexdigest()]


def test_everything_is_read_again_to_verify(
    files: list[Path], read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed(files)
    assert not hashes.is_verifying()
    monkeypatch.setenv("ZOO_VERIFY", "1")
    assert hashes.is_verifying()
    hashed(files)
    assert len(read) == 6


@pytest.mark.parametrize("damage", [b"", b"\x80", b"no msgpack", b"\x81\xc4\x01a\x93\x01\x01\x01"])
def test_a_damaged_memory_is_forgotten(files: list[Path], read: list[str], damage: bytes) -> None:
    hashed(files)
    (place,) = (files[0].parents[2] / "cache" / "hashes").iterdir()
    place.write_bytes(damage)
    hashed(files)
    hashed(files)
    assert len(read) == 6


def test_without_a_cache_nothing_is_remembered(
    files: list[Path], read: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    hashed(files)
    hashed(files)
    assert len(read) == 6
    assert hashed([]) == []


def test_the_command_reads_everything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.cli import run

    seen: list[bool] = []

    def describe(*_: object, **__: object) -> None:
        seen.append(hashes.is_verifying())
        raise DataError("enough")

    monkeypatch.setattr("zoo.cli.show.describe", describe)
    assert run(["--verify", "show", "files"]) == run(["show", "files"]) == 1
    assert seen == [True, False]
