"""`zoo cache`: what is kept, listed and cleared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.shell import TEXT, zoo

# More than 1 MiB, so that its hash is remembered
SMALL = ("--data", "train_size=400", "--data", "val_size=8", "--data", "test_size=8")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of every kind, in a folder that also has a file of the user's own."""
    home = tmp_path / "cache"
    monkeypatch.setenv("ZOO_CACHE", str(home))
    (home / "downloads" / "mnist").mkdir(parents=True)
    (home / "downloads" / "mnist" / "a.gz").write_bytes(bytes(2_000_000))
    (home / "mine.txt").write_text("mine")
    (tmp_path / "fox.txt").write_text(TEXT)
    assert zoo("show", "shapes", *SMALL).returncode == 0
    assert zoo("show", "files", "--data", f"paths={tmp_path / 'fox.txt'}").returncode == 0
    return home


def listed() -> dict[str, str]:
    return {row["name"]: row["kind"] for row in json.loads(zoo("cache", "--json").stdout)}


ALL = {"mnist": "downloads", "text": "decoded", "shapes": "synthesized", "hashes": "hashes"}


def test_everything_that_is_kept_is_listed_with_its_size_and_place(cache: Path) -> None:
    assert listed() == ALL
    for row in json.loads(zoo("cache", "--json").stdout):
        files = [path for path in Path(row["path"]).rglob("*") if path.is_file()]
        assert (row["files"], row["bytes"]) == (len(files), sum(path.stat().st_size for path in files))
    lines = zoo("cache").stdout.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "FILES", "SIZE"]
    assert lines[1].split() == ["downloads", "mnist", "1", "2.0", "MB"]
    assert lines[-1] == f"3.3 MB in {cache}"
    assert zoo("cache", "list").stdout.splitlines() == lines


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        ([], {*ALL}),
        (["mnist"], {"mnist"}),
        (["synthesized"], {"shapes"}),
        (["text", "hashes"], {"text", "hashes"}),
    ],
)
def test_what_is_named_is_cleared_and_nothing_of_the_user(
    cache: Path, names: list[str], gone: set[str]
) -> None:
    done = zoo("cache", "clear", *names)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f" MB freed in {cache}")
    assert {line.split()[1] for line in done.stdout.splitlines()[1:-1]} == gone
    assert {*listed()} == ALL.keys() - gone
    assert (cache / "mine.txt").read_text() == "mine"


def test_what_was_cleared_is_made_again(cache: Path) -> None:
    before = zoo("show", "shapes", *SMALL, "--json").stdout
    zoo("cache", "clear")
    assert zoo("cache").stdout == f"0.0 MB in {cache}\n"
    assert zoo("cache", "clear").returncode == 0
    assert zoo("show", "shapes", *SMALL, "--json").stdout == before
    assert "shapes" in listed()


def test_a_link_is_removed_but_not_what_it_leads_to(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "data").write_text("elsewhere")
    (cache / "downloads" / "linked").symlink_to(tmp_path / "disk")
    (cache / "downloads" / "mnist" / "inner").symlink_to(tmp_path / "disk")
    assert zoo("cache", "clear").returncode == 0
    assert (tmp_path / "disk" / "data").read_text() == "elsewhere"
    assert not listed()


def test_a_folder_of_the_cache_that_is_a_link_is_removed_as_one(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "data").write_text("elsewhere")
    shutil.rmtree(cache / "synthesized")
    (cache / "synthesized").symlink_to(tmp_path / "disk")
    assert "synthesized" in listed()
    assert zoo("cache", "clear").returncode == 0
    assert (tmp_path / "disk" / "data").read_text() == "elsewhere"
    assert not (cache / "synthesized").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clear", "shape"], "zoo: unknown cache entry 'shape'; did you mean 'shapes'?"),
        (["clear", "../mine.txt"], "zoo: unknown cache entry '../mine.txt'"),
        (["list", "shapes"], "zoo: `zoo cache list` does not accept names"),
        (["remove"], "zoo: ACTION must be one of 'clear', 'list' (got 'remove')"),
    ],
)
def test_mistakes_are_refused_in_one_line(cache: Path, words: list[str], message: str) -> None:
    done = zoo("cache", *words)
    assert done.returncode
    assert done.stderr.startswith(message)
    assert listed() == ALL


def test_an_empty_cache_is_no_error(tmp_path: Path) -> None:
    done = zoo("cache", env={"ZOO_CACHE": str(tmp_path / "none")})
    assert (done.returncode, done.stdout) == (0, f"0.0 MB in {tmp_path / 'none'}\n")
    assert json.loads(zoo("cache", "--json", env={"ZOO_CACHE": str(tmp_path / "none")}).stdout) == []
