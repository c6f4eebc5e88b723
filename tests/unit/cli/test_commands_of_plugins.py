"""Commands that plugins bring: lazy, one owner each, and errors in words whatever their code does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.made_up import distribution, model
from tests.shell import zoo
from tests.unit.cli.test_completion import offered

PLUGIN = """
from zoo import CommandSpec, hookimpl

@hookimpl
def zoo_commands():
    return [CommandSpec(name={name!r}, target={target!r}, summary="Say something.", extra={extra!r})]
"""
COMMAND = """
import click

from zoo.cli.kit import echo, print_json, standard_options

@click.command()
@click.argument("word")
@standard_options
def command(session, word, as_json):
    "Say WORD."
    print("noise of a library")
    {body}
    print_json({{"word": word}}) if as_json else echo(word)
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a made-up distribution whose plugin has one command, `say`."""
    monkeypatch.chdir(tmp_path)
    installed: list[str] = []

    def install(
        name: str = "acme",
        *,
        body: str = "",
        code: str = "",
        command: str = "say",
        target: str = "",
        extra="",
    ) -> None:
        module = f"{name}_commands"
        target = target or f"{module}:command"
        place = distribution(tmp_path / "site", name, PLUGIN.format(name=command, target=target, extra=extra))
        (place / f"{module}.py").write_text(code or COMMAND.format(body=body), encoding="utf-8")
        monkeypatch.syspath_prepend(str(place))
        installed.extend((name, module))
        forget()

    def forget() -> None:
        for name in installed:
            sys.modules.pop(name, None)

    yield install
    forget()


def test_it_runs_like_zoos_own(install: Install) -> None:
    install()
    assert zoo("--strict", "say", "hello").stdout == "noise of a library\nhello\n"
    done = zoo("say", "hello", "--json")
    assert (json.loads(done.stdout), done.stderr) == ({"word": "hello"}, "noise of a library\n")
    assert zoo("acme/say", "hello").stdout == "noise of a library\nhello\n"


def test_nothing_but_the_command_imports_its_target(install: Install) -> None:
    install(code="raise SystemExit('imported')")
    for line in (["--help"], ["list"], ["show", "say"], ["plugins"], ["list", "--help"]):
        done = zoo("--strict", *line)
        assert (done.returncode, done.stderr) == (0, ""), line
    assert "say" in offered("zoo s")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('goodbye')", "target 'acme_commands:command' cannot be"),
        ("def (", "target 'acme_commands:command' cannot be imported: SyntaxError"),
        (
            "commands = 3",
            "target 'acme_commands:command' cannot be imported: Attribute",
        ),
        ("command = 3", "target 'acme_commands:command' must be a class or a function"),
        (
            "def command(): pass",
            "target 'acme_commands:command' must be a click command",
        ),
    ],
)
@pytest.mark.parametrize("line", [["say", "hello"], ["say", "--help"]])
def test_a_target_that_cannot_be_had_is_told_in_a_sentence(
    line: list[str], code: str, message: str, install: Install
) -> None:
    install(code=code)
    done = zoo(*line)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"zoo: {message}")
    assert done.stderr.count("\n") <= 2
    done = zoo("say", "hello", "--json")
    assert (done.returncode, json.loads(done.stdout)["kind"], done.stderr) == (1, "spec", "")
    assert (
        zoo(env={"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": "zoo say x", "COMP_CWORD": "2"}).stderr == ""
    )


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ("speech", '`pip install "acme[speech]"` installs it'),
        ("", "acme requires it"),
    ],
)
def test_a_missing_extra_is_named(extra: str, hint: str, install: Install) -> None:
    install(code="import no_such_voice.loud", extra=extra)
    for line in (["say", "hello"], ["say", "--help"]):
        done = zoo(*line)
        assert done.returncode == 1
        first, second = done.stderr.splitlines()
        assert first == "zoo: `zoo say` requires no_such_voice, which is not installed"
        assert second.strip() == hint
    assert "zoo say --help" in zoo("show", "say").stdout
    assert (f"acme[{extra}]" in zoo("show", "say").stdout) == bool(extra)


def test_an_extra_that_is_missing_while_it_runs_is_named_too(install: Install) -> None:
    install(body="import no_such_voice", extra="speech")
    done = zoo("say", "hello")
    assert done.stderr.startswith("zoo: this command requires no_such_voice, which is not installed\n")
    assert 'pip install "acme[speech]"' in done.stderr


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("raise click.ClickException('no voice')", 1, "no voice"),
        ("raise click.UsageError('no such voice')", 2, "no such voice"),
        ("raise click.Abort", 130, "interrupted"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("raise FileNotFoundError(2, 'No such file', 'x')", 1, "No such file: x"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("import zoo; raise zoo.OptionError('too loud')", 2, "too loud"),
        ("raise SystemExit(0)", 1, "SystemExit: 0"),
    ],
)
def test_its_errors_are_zoos(body: str, code: int, message: str, install: Install) -> None:
    install(body=body)
    done = zoo("say", "hello")
    assert done.returncode == code
    assert done.stderr.splitlines()[0] == f"zoo: {message}"
    done = zoo("say", "hello", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]) == (code, message)


def test_a_number_that_it_returns_is_the_exit_code(install: Install) -> None:
    install(body="return 1")
    assert zoo("say", "hello").returncode == 1


@pytest.mark.parametrize("name", ["train", "predict", "help"])
def test_it_cannot_have_the_name_of_one_of_zoos(name: str, install: Install) -> None:
    install(command=name)
    done = zoo("plugins")
    assert f"a plugin command cannot be called {name!r}: zoo already has this command" in done.stdout
    assert zoo("--strict", "list").returncode == 1
    assert "Say something" not in zoo("--help").stdout


def test_it_cannot_have_a_command_of_a_plugin_of_zoos(install: Install, monkeypatch) -> None:
    install("acme")
    install("voice")
    points = {("voice", "voice")}  # as if zoo came with it
    monkeypatch.setattr("zoo.registry.plugins.our_points", lambda: points)
    rows = {row["name"]: row for row in json.loads(zoo("plugins", "--json").stdout)}
    assert rows["acme"]["status"] == "failed"
    assert rows["acme"]["cause"] == "the command say is already provided by voice"
    assert rows["voice"]["provides"] == ["command voice/say"]
    assert zoo("say", "hello").stdout.endswith("hello\n")


def test_two_plugins_cannot_have_one_command(install: Install) -> None:
    install("acme")
    install("voice")
    (line,) = zoo("list", "architectures").stderr.splitlines()
    assert line.startswith("zoo: plugin voice (")
    assert line.endswith(" failed: the command say is already provided by acme")
    assert zoo("--strict", "list").returncode == 1
    assert zoo("say", "hello", env={"ZOO_PLUGINS": "voice"}).stdout.endswith("hello\n")
    Path("registry.toml").write_text('schema = 1\n[plugins]\ndisabled = ["acme"]\n')
    assert zoo("say", "hello").stdout.endswith("hello\n")


def test_the_nearest_command_is_offered_whoever_brings_it(install: Install) -> None:
    install(command="histogram")
    assert "did you mean 'histogram'?" in zoo("histogramm", "x").stderr
    assert "did you mean 'train'?" in zoo("trian").stderr


def test_strict_is_heard_before_it_runs(install: Install, tmp_path: Path, monkeypatch) -> None:
    install()
    monkeypatch.syspath_prepend(str(distribution(tmp_path / "site", "faulty", "1 / 0")))
    monkeypatch.syspath_prepend(str(distribution(tmp_path / "site", "fine", model("fine"))))
    done = zoo("say", "hello")
    assert (done.returncode, done.stderr.count("plugin faulty (faulty) failed: ZeroDivisionError")) == (
        0,
        1,
    )
    done = zoo("--strict", "say", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert "plugin faulty (faulty) failed" in done.stderr


def test_help_helps_where_plugins_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("schema = 2\n")
    done = zoo("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "registry.toml: " in done.stderr
    assert "Train a model" in done.stdout
    env = {"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": "zoo tr", "COMP_CWORD": "1"}
    done = zoo(cwd=tmp_path, env=env)
    assert ("plain,train" in done.stdout, done.stderr) == (True, "")


def test_the_command_of_a_file_runs_where_the_file_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("files.py").write_text(
        PLUGIN.format(name="say", target="files:command", extra="") + COMMAND.format(body="")
    )
    assert zoo("say", "hello").returncode == 2
    for line in (["say", "hello", "--plugin", "files.py"], ["--plugin=files.py", "say", "hello"]):
        assert zoo(*line).stdout.endswith("hello\n")
    assert "Say something." in zoo("--help", "--plugin", "files.py").stdout


def test_an_error_of_a_command_names_its_plugin(install: Install) -> None:
    install(body="1 / 0")
    done = zoo("say", "hello")
    assert done.returncode == 1
    assert "zoo: ZeroDivisionError: " in done.stderr
    assert "`zoo check acme` may explain this error; `zoo --debug ...` shows the traceback" in done.stderr
