"""Plugins in one file: those that the user names, `--plugin FILE`, and none that merely lies there."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo
from tests.nightly.reliability.folders import completions, hostile_folder, invocations
from tests.shell import zoo as typed
from zoo.cli import COMMANDS, cli

NAME = "lies_here"
FULL = f"{NAME.replace('_', '-')}/evil"
Marks = Callable[[], list[str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in a folder with a plugin, and a registry.toml with a recipe of it."""
    hostile_folder(tmp_path / "home", NAME)
    monkeypatch.chdir(tmp_path / "home")
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
def test_no_command_runs_what_lies_in_the_folder(command: str, home: Path, marks: Marks) -> None:
    for line in invocations(FULL.partition("/")[0], [command]):
        typed(*line)
        assert marks() == [], line


@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("train", "eval"))) for name in COMMANDS],
)
def test_tab_runs_nothing_of_a_half_typed_line(command: str, home: Path, marks: Marks) -> None:
    for asked in completions(FULL.partition("/")[0], [command]):
        words = asked["COMP_WORDS"].replace("zoo ", f"zoo --plugin {NAME}.py ", 1)
        done = CliRunner().invoke(cli, [], prog_name="zoo", env=asked | {"COMP_WORDS": words})
        assert (done.exit_code, done.stderr) == (0, ""), words
        assert marks() == [], words


def test_a_file_that_is_named_runs_before_and_after_the_command(home: Path, marks: Marks) -> None:
    for line in (["list", "--plugin", f"{NAME}.py"], [f"--plugin={home / NAME}.py", "list"]):
        assert FULL in typed(*line).stdout
        assert marks() == ["import", "hook"], line
    assert FULL not in typed("list").stdout, "the next command does not know it"


def test_a_variable_names_several_files(home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "other.py").write_text("import zoo\n@zoo.hookimpl\ndef zoo_recipes(): return {}")
    monkeypatch.setenv("ZOO_PLUGIN_FILES", f"{NAME}.py{os.pathsep}other.py")
    names = [row["name"] for row in json.loads(typed("plugins", "--json").stdout)]
    assert names[-2:] == [FULL.partition("/")[0], "other"]
    assert zoo.list_models(FULL) == ["evil"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("gone.py", "no such plugin file: "),
        ("registry.toml", "registry.toml is not a .py file"),
        ("folder.py", "it is a folder, not a regular file"),
    ],
)
def test_a_file_that_cannot_be_a_plugin_is_an_error(file: str, message: str, home: Path) -> None:
    (home / "folder.py").mkdir()
    done = typed("list", "--plugin", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert file in done.stderr


def test_a_path_with_the_separator_of_the_variable_is_refused(home: Path) -> None:
    done = typed("list", "--plugin", f"a{os.pathsep}b.py")
    assert done.returncode == 2
    assert f"the path of a plugin cannot contain '{os.pathsep}' (got 'a{os.pathsep}b.py')" in done.stderr


def test_a_file_that_is_named_is_loaded_beside_the_plugins_to_load(
    home: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "images")
    assert FULL in typed("list", "--plugin", f"{NAME}.py").stdout


def test_debug_shows_the_traceback_after_a_plugin_too(home: Path) -> None:
    assert "Traceback" in typed("--plugin", f"{NAME}.py", "--debug", "show", "nope").stderr


def test_what_follows_two_dashes_is_no_option(home: Path, marks: Marks) -> None:
    typed("show", "--", "--plugin", f"{NAME}.py")
    assert marks() == []


def test_byte_code_beside_it_is_not_used_and_none_is_written(home: Path, marks: Marks) -> None:
    other = home / "other.py"
    other.write_text("raise AssertionError('stale')")
    cached = Path(importlib.util.cache_from_source(str(home / f"{NAME}.py")))
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(other), cfile=str(cached), invalidation_mode=unchecked)
    before = cached.read_bytes()
    assert FULL in typed("list", "--plugin", f"{NAME}.py").stdout
    assert cached.read_bytes() == before


def test_a_process_that_goes_on_loads_what_has_changed_since(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_PLUGIN_FILES", f"{NAME}.py")
    plugin = home / f"{NAME}.py"
    assert zoo.list_models(FULL) == ["evil"]
    plugin.write_text(plugin.read_text().replace('name="evil"', 'name="changed"'))
    assert zoo.list_models("*/changed") == ["changed"]


def test_a_run_records_the_file_and_resume_names_it(home: Path) -> None:
    (home / "net.py").write_text(
        "from torch import nn\nfrom zoo import ArchitectureSpec, hookimpl\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, *, num_classes: int, in_channels: int, image_size: int):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))\n"
        "@hookimpl\ndef zoo_architectures():\n    return [ArchitectureSpec("
        "name='net', target='net:Net', task='classification', summary='Linear')]\n"
    )
    small = ["--epochs", "1", "--data", "train_size=64"]
    done = typed("train", "net/net", "shapes", *small, "--run", "./it", "--plugin", str(home / "net.py"))
    assert done.returncode == 0, done.stderr
    refused = typed("resume", "./it")
    assert refused.returncode == 1
    flag = f"--plugin {home / 'net.py'}"
    assert f"the run in it was started with {flag}" in refused.stderr
    assert f"`zoo resume it {flag}` continues the run" in refused.stderr
    assert f"next     zoo eval ./it {flag}" in done.stderr
    unknown = typed("eval", "./it").stderr
    assert "it was written with net.py: pass that file with --plugin" in unknown
    assert str(home) not in unknown
    assert typed("resume", "./it", "--plugin", "net.py").returncode == 0
    assert typed("eval", "./it", "--plugin", "net.py").returncode == 0


def test_strict_tells_that_plugins_are_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("registry.toml").write_text('schema = 1\n[plugins]\ndisabled = ["cam"]\n')
    assert "disables zoo's own plugins: cam" in typed("--strict", "list").stderr
