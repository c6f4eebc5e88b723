"""Code that a folder's registry.toml names: it runs once the user has trusted it, and never on TAB."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import zoo
from tests.cli.conftest import zoo as typed
from tests.reliability.folders import completions, hostile_folder, invocations
from zoo.cli import COMMANDS, cli
from zoo.errors import ZooWarning
from zoo.files.downloads import sha256_of
from zoo.registry.catalog import Catalog

NAME = "named_by_a_folder"
RunZoo = Callable[..., subprocess.CompletedProcess[str]]
Marks = Callable[[], list[str]]
FULL = f"{NAME.replace('_', '-')}/evil"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in a folder whose registry.toml names code; nothing is trusted yet."""
    hostile_folder(tmp_path / "home", NAME)
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("ZOO_CONFIG", str(tmp_path / "config"))
    yield tmp_path / "home"
    sys.modules.pop(NAME, None)


@pytest.fixture
def marks(home: Path) -> Marks:
    """Return a function that says what has run since its last call: `import`, `hook`, `target`."""

    def read() -> list[str]:
        mark = home / "mark"
        lines = mark.read_text().split() if mark.exists() else []
        mark.unlink(missing_ok=True)
        sys.modules.pop(NAME, None)
        return lines

    return read


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_it(
    command: str, home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number, line in enumerate(invocations(FULL.partition("/")[0], [command])):
        monkeypatch.setenv("ZOO_CONFIG", str(tmp_path / f"config-{number}"))
        typed(*line)
        assert marks() == [], line


@pytest.mark.parametrize("command", COMMANDS)
def test_completion_does_not_run_it_even_if_it_is_trusted(
    command: str, home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_TRUST", "1")
    for asked in completions(FULL.partition("/")[0], [command]):
        done = CliRunner().invoke(cli, [], prog_name="zoo", env=asked)
        assert (done.exit_code, done.stderr) == (0, ""), asked
        assert marks() == [], asked
    typed("list")
    assert marks() == ["import", "hook"], "it would have run"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_tab_in_a_shell_does_not_run_it(home: Path, marks: Marks) -> None:
    script = typed("completion", "bash").stdout
    ask = "COMP_WORDS=(zoo train nie); COMP_CWORD=2; _zoo_completion zoo; echo ${COMPREPLY[@]}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the script calls `zoo`
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"],
        env={**os.environ, "ZOO_TRUST": "1", "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "nietzsche-gru" in done.stdout, done.stderr
    assert marks() == []


@pytest.mark.parametrize("named", [False, True])
def test_it_runs_once_it_is_trusted(
    named: bool, home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(home / "registry.toml") if named else ""
    command = f"`zoo trust {path}`" if named else "`zoo trust`"
    if named:
        monkeypatch.chdir(home.parent)
        monkeypatch.setenv("ZOO_REGISTRY", path)
    before = typed("list", "architectures")
    assert before.stderr.count("\n") == 1
    assert f"1 plugin of {path or 'registry.toml'} was not loaded ({FULL.partition('/')[0]})" in before.stderr
    assert f"read its code, then run {command}" in before.stderr
    assert "resnet20" in before.stdout
    shown = typed("trust")
    assert marks() == []
    for file in (home / "registry.toml", home / f"{NAME}.py"):
        size = f"({file.stat().st_size:,} bytes)"
        assert f"  {sha256_of(file)}  {file}  {size}\n" in shown.stdout
    assert FULL in typed("list", "architectures").stdout
    assert marks() == ["import", "hook"]
    assert typed("show", FULL).returncode == 0
    assert "target" in marks()


def test_a_mistyped_command_line_tells_it_in_one_line_too(home: Path, run_zoo: RunZoo) -> None:
    done = run_zoo("train", "lstm", "stdlib", "--epoch", "1", cwd=home)
    assert [line[:5] for line in done.stderr.splitlines()] == ["zoo: ", "zoo: ", "     "]
    assert "not trusted" in done.stderr


@pytest.mark.parametrize("file", ["registry.toml", f"{NAME}.py"])
def test_one_changed_byte_asks_again(file: str, home: Path, marks: Marks) -> None:
    typed("trust")
    whole = (home / file).read_bytes()
    (home / file).write_bytes(whole + b"\n")
    done = typed("list")
    assert marks() == []
    assert "changed since it was trusted; read its code, then run `zoo trust`" in done.stderr
    assert json.loads(typed("trust", "--list", "--json").stdout)[0]["status"] == "changed"
    (home / file).write_bytes(whole)
    assert typed("list").stderr == ""
    assert marks() == ["import", "hook"]


def test_a_moved_folder_asks_again(home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    typed("trust")
    moved = home.with_name("moved")
    home.rename(moved)
    monkeypatch.chdir(moved)
    home.mkdir()
    assert "not trusted" in typed("list").stderr
    assert marks() == []
    assert [row["status"] for row in zoo.list_trusted()] == ["missing"]


def test_what_is_no_longer_trusted_does_not_run(home: Path, marks: Marks) -> None:
    typed("trust", home)
    assert f"trusted  {home / 'registry.toml'}" in typed("trust", "--list").stdout
    removed = typed("trust", "--remove", home)
    assert removed.stdout == f"{home / 'registry.toml'} is no longer trusted\n"
    assert json.loads(typed("trust", "--remove", home, "--json").stdout)["removed"] is False
    assert "not trusted" in typed("list").stderr
    assert marks() == []
    assert "nothing is trusted" in typed("trust", "--list").stderr


def test_the_bytes_that_were_hashed_are_those_that_run(
    home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("trust")
    plugin = home / f"{NAME}.py"
    trusted, read = plugin.read_bytes(), os.fdopen

    def swapping(handle: int, *more: Any) -> Any:  # the file changes as soon as it is open
        file = read(handle, *more)
        if os.path.samestat(os.fstat(handle), plugin.stat()):
            content = file.read()
            file.seek(0)
            plugin.with_suffix(".new").write_bytes(b"raise AssertionError('not what was hashed')")
            plugin.with_suffix(".new").replace(plugin)
            assert content == trusted
        return file

    monkeypatch.setattr(os, "fdopen", swapping)
    assert typed("list").stderr == ""
    assert marks() == ["import", "hook"]


def test_byte_code_beside_it_is_not_used_and_none_is_written(home: Path, marks: Marks) -> None:
    typed("trust")
    import importlib.util
    import py_compile

    other = home / "other.py"
    other.write_text("raise AssertionError('stale')")
    cached = Path(importlib.util.cache_from_source(str(home / f"{NAME}.py")))
    py_compile.compile(
        str(other), cfile=str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    before = cached.read_bytes()
    assert typed("list").stderr == ""
    assert marks() == ["import", "hook"]
    assert cached.read_bytes() == before


def test_a_process_that_goes_on_runs_what_has_been_trusted_since(home: Path) -> None:
    plugin = home / f"{NAME}.py"
    zoo.trust()
    assert zoo.list_models(FULL) == ["evil"]
    plugin.write_text(plugin.read_text().replace('name="evil"', 'name="changed"'))
    with pytest.warns(ZooWarning, match="changed since it was trusted"):
        assert zoo.list_models(FULL) == []
    zoo.trust()
    assert zoo.list_models("*/changed") == ["changed"]


def test_data_of_the_folder_needs_no_trust(home: Path, marks: Marks) -> None:
    names = {row["name"] for row in json.loads(typed("list", "--json").stdout)}
    assert {"mine", "forged"} <= names
    assert typed("inspect", "forged").returncode == 0
    assert marks() == []


def test_plugins_shows_what_is_not_trusted(home: Path, marks: Marks) -> None:
    (row,) = [
        row for row in json.loads(typed("plugins", "--json").stdout) if row["name"] == FULL.partition("/")[0]
    ]
    assert row["status"] == "untrusted"
    assert "`zoo trust`" in row["cause"]
    assert "Not trusted" in typed("plugins").stdout
    strict = typed("--strict", "list")
    assert strict.returncode == 1
    assert "`zoo trust`" in strict.stderr
    assert "not trusted" in typed("check", FULL.partition("/")[0]).stderr
    assert marks() == []


def test_zoo_trust_1_trusts_everything(home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, ran in (("0", []), ("", []), ("1", ["import", "hook"])):
        monkeypatch.setenv("ZOO_TRUST", value)
        typed("list")
        assert marks() == ran


def test_a_file_that_the_user_names_is_checked_without_trust(home: Path, marks: Marks) -> None:
    done = typed("check", f"{NAME}.py")
    assert "not trusted" not in done.stderr
    assert "import" in marks()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "no JSON": lambda path: path.write_bytes(b"{"),
    "another schema": lambda path: path.write_text(path.read_text().replace('"schema": 1', '"schema": 2')),
    "an unknown field": lambda path: path.write_text(path.read_text().replace("{", '{"all": true,', 1)),
    "nested too deeply": lambda path: path.write_bytes(b"[" * 100_000),
    "another path": lambda path: path.write_text(path.read_text().replace("/registry.toml", "/another.toml")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_trusts_nothing(damage: str, home: Path, marks: Marks, tmp_path: Path) -> None:
    typed("trust")
    (record,) = (tmp_path / "config" / "trusted").iterdir()
    DAMAGES[damage](record)
    done = typed("list")
    assert marks() == []
    assert "`zoo trust`" in done.stderr
    assert done.returncode == 0
    assert all(line.startswith("zoo: ") for line in done.stderr.splitlines())


def test_the_record_is_private(home: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        typed("trust")
    finally:
        os.umask(before)
    (record,) = (tmp_path / "config" / "trusted").iterdir()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (record, record.parent, record.parents[1])]
    assert modes == [0o600, 0o700, 0o700]


def test_there_must_be_something_to_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no registry.toml here" in typed("trust").stderr
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    done = typed("trust", "--json")
    assert done.returncode == 1
    assert "nothing to trust" in json.loads(done.stdout)["error"]
    done = typed("trust", "nowhere")
    assert (done.returncode, done.stderr) == (1, "zoo: no such file: nowhere\n")


def test_a_missing_plugin_does_not_keep_the_others_from_being_trusted(home: Path, marks: Marks) -> None:
    text = (home / "registry.toml").read_text().replace("local = [", 'local = ["gone.py", ')
    (home / "registry.toml").write_text(text)
    assert f"no such file: {home / 'gone.py'}" in typed("trust").stdout
    done = typed("list")
    assert "plugin gone" in done.stderr
    assert marks() == ["import", "hook"]
    (home / "gone.py").write_text("raise AssertionError('never trusted')")
    assert "changed since it was trusted" in typed("list").stderr
    assert marks() == []


def test_without_a_plugin_that_can_be_read_nothing_is_trusted(home: Path, marks: Marks) -> None:
    (home / f"{NAME}.py").rename(home / "elsewhere.py")
    done = typed("trust")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is nothing to trust: no such file: {home / NAME}.py" in done.stderr
    assert zoo.list_trusted() == []


def test_a_file_that_is_named_twice_is_read_once(home: Path) -> None:
    toml = home / "registry.toml"
    toml.write_text(toml.read_text().replace(f'"{NAME}.py"', f'"{NAME}.py", "./x/../{NAME}.py"'))
    assert len(Catalog.load().local) == 1


def test_who_has_no_configuration_of_his_own_trusts_nothing(
    home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CONFIG", "config")  # in the folder itself
    done = typed("trust")
    assert done.returncode == 1
    assert "is not an absolute path" in done.stderr
    assert "not trusted" in typed("list").stderr
    assert marks() == []


def test_strict_tells_that_plugins_are_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("registry.toml").write_text('schema = 1\n[plugins]\ndisabled = ["cam"]\n')
    assert "disables plugins of zoo's own: cam" in typed("--strict", "list").stderr
