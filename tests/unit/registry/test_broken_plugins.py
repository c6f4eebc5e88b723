"""Plugins broken in every way we know: each is reported in one line, and affects nothing else."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.made_up import HOOK, SPEC, distribution, model

RunZoo = Callable[..., subprocess.CompletedProcess[str]]


BROKEN = {
    "a missing import": ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
    "a syntax error": ("def (", "SyntaxError: invalid syntax (broken_dist.py, line 1)"),
    "sys.exit": ("import sys\nsys.exit('goodbye')", "SystemExit: goodbye"),
    "an exception of its own": ("class Odd(BaseException): pass\nraise Odd('very odd')", "Odd: very odd"),
    "an empty message": ("raise ValueError", "ValueError"),
    "a message of several lines": ("raise ValueError('first\\n\\nsecond')", "ValueError: first"),
    "a hook that raises": (
        f"{HOOK}@hookimpl\ndef zoo_datasets(): return 1 / 0",
        "ZeroDivisionError: division by zero",
    ),
    "a hook that exits": (f"{HOOK}@hookimpl\ndef zoo_datasets(): raise SystemExit(0)", "SystemExit: 0"),
    "a hook that returns nothing": (
        f"{HOOK}@hookimpl\ndef zoo_datasets(): pass",
        "zoo_datasets must return a list of DatasetSpec objects (got a NoneType)",
    ),
    "a hook that returns text": (
        f"{HOOK}@hookimpl\ndef zoo_datasets(): return 'mnist'",
        "zoo_datasets must return only DatasetSpec objects (got a str)",
    ),
    "a spec of another kind": (
        f"{HOOK}@hookimpl\ndef zoo_datasets(): return [{SPEC}]",
        "zoo_datasets must return only DatasetSpec objects (got a ArchitectureSpec)",
    ),
    "a generator that raises half-way": (
        f"{HOOK}@hookimpl\ndef zoo_architectures():\n    yield {SPEC}\n    raise OSError('half-way')",
        "OSError: half-way",
    ),
    "a misspelled hook": (
        f"{HOOK}@hookimpl\ndef zoo_datsets(): return []",
        "; did you mean 'zoo_datasets'?",
    ),
    "a hook with an argument": (
        f"{HOOK}@hookimpl\ndef zoo_datasets(color): return []",
        "Argument(s) {'color'}",
    ),
    "a duplicate name": (
        f"{HOOK}@hookimpl\ndef zoo_architectures(): return [{SPEC}, {SPEC}]",
        "it provides the architecture 'net' twice",
    ),
    "an invalid name": (
        f"{HOOK}@hookimpl\ndef zoo_architectures(): return [{SPEC.replace('net', 'My Net')}]",
        "architecture 'My Net': name must be lowercase letters, digits and - . _ + (got 'My Net')",
    ),
    "an unknown field": (
        f"{HOOK}@hookimpl\ndef zoo_datasets(): return [DatasetSpec(nmae='x')]",
        "unexpected keyword argument 'nmae'",
    ),
    "an unknown training option": (
        f"from zoo import TrainConfig\n{HOOK}@hookimpl\n"
        "def zoo_architectures(): return [ArchitectureSpec(training=TrainConfig(precision='fp8'))]",
        "precision must be",
    ),
    "another api": (
        f"{HOOK}api = 2\n@hookimpl\ndef zoo_datasets(): return []",
        "it requires plugin API 2, but zoo has plugin API 1; update zoo",
    ),
    "an api of another type": (
        f"{HOOK}api = '0.9'\n@hookimpl\ndef zoo_datasets(): return []",
        "api must be an integer (got '0.9')",
    ),
    "a module without hooks": ("x = 1", "it does not implement any hooks"),
    "a forgotten decorator": (
        "def zoo_datasets(): return []",
        "are its functions decorated with @hookimpl?",
    ),
}


@pytest.fixture(scope="module")
def healthy(typed: RunZoo) -> str:
    """Return what `zoo list` prints when nothing is broken."""
    done = typed("list")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_one_line_on_stderr_and_nothing_else(
    source: str, cause: str, typed: RunZoo, healthy: str, tmp_path: Path
) -> None:
    place = distribution(tmp_path, "broken-dist", source, points={"broken": "broken_dist"})
    done = typed("list", path=[place])
    assert (done.returncode, done.stdout) == (0, healthy)
    (line,) = done.stderr.splitlines()
    assert line.startswith("zoo: plugin broken (broken-dist) failed: ")
    assert cause in line


@pytest.mark.parametrize("value", ["broken_dist:nothing", "not_there", "broken_dist:plugin.part"])
def test_an_entry_point_without_a_module_is_reported(
    value: str, typed: RunZoo, healthy: str, tmp_path: Path
) -> None:
    place = distribution(tmp_path, "broken-dist", "plugin = 1", points={"broken": value})
    done = typed("list", path=[place])
    assert (done.returncode, done.stdout) == (0, healthy)
    assert done.stderr.startswith("zoo: plugin broken (broken-dist) failed: ")
    assert done.stderr.count("\n") == 1


def test_strict_makes_it_an_error(typed: RunZoo, tmp_path: Path) -> None:
    place = distribution(tmp_path, "broken-dist", "import not_there")
    for arguments, env in ((["--strict", "list"], {}), (["list"], {"ZOO_STRICT": "1"})):
        done = typed(*arguments, path=[place], env=env)
        assert (done.returncode, done.stdout) == (1, "")
        assert "1 problem(s) with plugins: plugin broken-dist (broken-dist) failed: " in done.stderr


def test_training_options_that_are_not_described_are_options_still(typed: RunZoo, tmp_path: Path) -> None:
    source = """
        from dataclasses import dataclass
        from typing import Literal
        from zoo import FieldsSpec, hookimpl

        @dataclass(frozen=True)
        class Fields:
            sharpness: float = 0.0
            bold: bool = False
            level: Literal[1, 2] = 1
            names: tuple[()] = ()

        @hookimpl
        def zoo_training_options():
            return [FieldsSpec(name="silent", summary="", fields=Fields)]
    """
    place = distribution(tmp_path, "silent", source)
    done = typed("train", "--help", path=[place])
    assert done.returncode == 0, done.stderr
    assert "--sharpness" in done.stdout
    assert "--bold" in done.stdout
    assert "--level [1|2]" in done.stdout
    assert typed("show", "resnet20", path=[place]).returncode == 0


def test_plugins_shows_status_cause_and_traceback(typed: RunZoo, tmp_path: Path) -> None:
    place = distribution(tmp_path, "broken-dist", "\nimport not_there", points={"broken": "broken_dist"})
    rows = {row["name"]: row for row in json.loads(typed("plugins", "--json", path=[place]).stdout)}
    assert rows["charrnn"]["status"] == "ok"
    shown = {key: rows["broken"][key] for key in ("distribution", "version", "status", "cause", "provides")}
    assert shown == {
        "distribution": "broken-dist",
        "version": "1.0",
        "status": "failed",
        "cause": "ModuleNotFoundError: No module named 'not_there' (broken_dist.py:2)",
        "provides": [],
    }
    trace = typed("plugins", "--traceback", "broken", path=[place]).stdout
    assert 'broken_dist.py", line 2' in trace


def test_an_unknown_name_names_the_plugins_that_failed(typed: RunZoo, tmp_path: Path) -> None:
    place = distribution(tmp_path, "broken-dist", "import not_there")
    done = typed("train", "net", "shapes", path=[place])
    assert done.returncode == 1
    assert "these plugins failed to load: broken-dist" in done.stderr


def test_a_plugin_name_has_one_owner_whatever_the_order_of_the_path(
    typed: RunZoo, healthy: str, tmp_path: Path
) -> None:
    places = [
        distribution(tmp_path, "acme-one", model("one"), points={"acme": "acme_one"}),
        distribution(tmp_path, "acme-two", model("two"), points={"acme": "acme_two"}),
        distribution(tmp_path, "broken-dist", "import not_there"),
        distribution(tmp_path, "zebra", model("stripes")),
    ]
    answers = {
        (done.returncode, done.stdout, done.stderr)
        for order in list(itertools.permutations(places))[::5]
        for done in [typed("list", path=order)]
    }
    ((code, out, err),) = answers
    assert code == 0
    assert "acme/one" in out
    assert "acme/two" not in out
    assert "zebra/stripes" in out
    assert _names(healthy) < _names(out)
    taken = "zoo: plugin acme (acme-two) failed: the name 'acme' is already taken by acme-one"
    assert taken in err.splitlines()
    assert len(err.splitlines()) == 2


def _names(listed: str) -> set[str]:
    return {line.split()[0] for line in listed.splitlines() if line.startswith("  ")}


@pytest.mark.parametrize("arguments", [("train", "twin", "shapes"), ("show", "twin")], ids=lambda a: a[0])
def test_a_short_name_of_two_owners_is_an_error_that_names_both(
    arguments: tuple[str, ...], typed: RunZoo, tmp_path: Path
) -> None:
    places = [distribution(tmp_path, name, model("twin")) for name in ("acme", "zebra")]
    done = typed(*arguments, path=places)
    assert done.returncode == 1
    assert "acme/twin" in done.stderr
    assert "zebra/twin" in done.stderr


def test_the_full_name_still_works_when_the_short_one_is_shared(typed: RunZoo, tmp_path: Path) -> None:
    place = distribution(tmp_path, "acme", model("lstm"))
    facts = json.loads(typed("show", "acme/lstm", "--json", path=[place]).stdout)
    assert facts["distribution"] == "acme"


@pytest.mark.parametrize(
    ("chosen", "loaded"),
    [("text", {"zoo", "text"}), ("text, charrnn", {"zoo", "text", "charrnn"}), ("", {"zoo"})],
)
def test_zoo_plugins_narrows_what_is_loaded(
    chosen: str, loaded: set[str], typed: RunZoo, tmp_path: Path
) -> None:
    place = distribution(tmp_path, "broken-dist", "raise SystemExit('must not be imported')")
    done = typed("plugins", "--json", path=[place], env={"ZOO_PLUGINS": chosen})
    rows = json.loads(done.stdout)
    assert {row["name"] for row in rows if row["status"] == "ok"} == loaded
    assert {row["status"] for row in rows if row["name"] not in loaded} == {"disabled"}


def test_zoo_plugins_may_not_name_an_unknown_plugin(typed: RunZoo) -> None:
    done = typed("list", env={"ZOO_PLUGINS": "chrrnn"})
    assert done.returncode == 1
    assert "unknown plugin 'chrrnn' in $ZOO_PLUGINS; did you mean 'charrnn'?" in done.stderr


def test_a_disabled_plugin_is_not_imported(typed: RunZoo, healthy: str, tmp_path: Path) -> None:
    place = distribution(tmp_path, "broken-dist", "raise SystemExit('must not be imported')")
    (tmp_path / "registry.toml").write_text('schema = 1\n[plugins]\ndisabled = ["broken-dist"]\n')
    done = typed("list", path=[place], cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, healthy, "")


@pytest.mark.parametrize(
    ("file", "source", "cause"),
    [
        ("json.py", "x = 1", "a module named 'json' already exists; rename the file json.py"),
        ("half.py", "import not_there", "No module named 'not_there'"),
    ],
)
def test_a_local_plugin_that_fails_is_reported_too(
    file: str, source: str, cause: str, typed: RunZoo, healthy: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(source)
    done = typed("list", "--plugin", str(tmp_path / file))
    assert (done.returncode, done.stdout) == (0, healthy)
    assert file in done.stderr
    assert cause in done.stderr
