"""`zoo check`, on one-file plugins and on what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from zoo.cli import run

HEAD = """
from pathlib import Path
from zoo import DataError, DatasetSpec, hookimpl
from zoo.testing._tiny import TinyImages, TinyText

class CountsFromOne(TinyImages):
    def split(self, name):
        print("a model or dataset may print")
        return [(image, label + 1) for image, label in super().split(name)]

def absent():
    raise DataError("it is on the other disk")

def with_paths(*, paths):
    assert Path(paths[0]).read_text()
    return TinyText()

def with_key(*, key):
    return TinyText()
"""


@pytest.fixture
def plugin(tmp_path):
    """Return a function that writes a one-file plugin of datasets by target and gives its path."""

    def write(**tasks: str) -> str:
        name = tmp_path.name  # of its own, as a module stays imported
        specs = "".join(
            f"DatasetSpec(name='d{number}', target='{name}:{target}', task='{task}', summary='One'),"
            for number, (target, task) in enumerate(tasks.items())
        )
        path = tmp_path / f"{name}.py"
        path.write_text(f"{HEAD}\n@hookimpl\ndef zoo_datasets():\n    return [{specs}]\n", encoding="utf-8")
        return str(path)

    return write


def test_a_healthy_file_ends_with_0(plugin, capsys):
    assert run(["check", plugin(TinyImages="classification", with_paths="language-modelling")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == "16 ran, 0 skipped, 0 failed"
    assert not any(line.startswith(("failed", "skipped")) for line in told)


def test_a_failure_ends_with_1_and_has_one_line(plugin, capsys):
    assert run(["check", plugin(CountsFromOne="classification")]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    assert len(failed) == 1
    assert "d0-labels_in_range: expected train labels from 0 to 9; got 10." in failed[0]


def test_json_is_one_document_that_counts_what_it_lists(plugin, capsys):
    target = plugin(CountsFromOne="classification", absent="classification")
    assert run(["check", target, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["target"] == target
    found = Counter(check["outcome"] for check in told["checks"])
    assert found == {"passed": 8, "failed": 1, "skipped": 7}
    assert (told["ran"], told["skipped"], told["failed"], told["xfailed"]) == (9, 7, 1, 0)
    reasons = {check["reason"] for check in told["checks"] if check["outcome"] == "skipped"}
    assert reasons == {"no data here, and checks fetch nothing: it is on the other disk"}


def test_one_dataset_out_of_reach_is_no_failure_beside_one_that_ran(plugin):
    assert run(["check", plugin(TinyImages="classification", absent="classification")]) == 0


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("absent", "no data here, and checks fetch nothing: it is on the other disk"),
        ("with_key", "it needs key, which the kit cannot make up"),
    ],
)
def test_nothing_but_skips_is_a_failure(target, reason, plugin, capsys):
    assert run(["check", plugin(**{target: "language-modelling"})]) == 1
    assert f"d0: 0 of 7 checks ran ({reason})" in capsys.readouterr().err


def test_a_plugin_that_provides_nothing_fails(plugin, capsys):
    assert run(["check", plugin()]) == 1
    assert "provides nothing" in capsys.readouterr().err


def test_a_file_that_does_not_load_is_an_error_with_its_cause(tmp_path, capsys):
    (tmp_path / "does_not_load.py").write_text("1 / 0", encoding="utf-8")
    assert run(["check", str(tmp_path / "does_not_load.py")]) == 1
    assert "failed to load: ZeroDivisionError: division by zero" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("txet", "no plugin or distribution 'txet'; did you mean 'text'?"),
        ("zoo-registri", "did you mean 'zoo-registry'?"),
        ("nowhere.py", "there is no file nowhere.py"),
    ],
)
def test_an_unknown_target_is_an_error_with_a_suggestion(target, told, capsys):
    assert run(["check", target]) == 1
    assert told in capsys.readouterr().err


def test_a_distribution_stands_for_all_its_plugins(capsys, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "text")
    run(["check", "Zoo_Registry"])
    captured = capsys.readouterr()
    assert "plugin cam (zoo-registry) is disabled" in captured.err


def test_a_python_that_leaves_assertions_out_cannot_check():
    command = [sys.executable, "-O", "-m", "zoo", "check", "text"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the checks are assertions" in done.stderr
