"""`zoo check`, on one-file plugins and on what is installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from zoo._version import __version__
from zoo.cli import run
from zoo.testing import Outcome, checking, dataset_checks, plugin_checks
from zoo.testing._report import write_report
from zoo.testing._suite import messages

HEAD = """
from pathlib import Path
from zoo import DataError, DatasetSpec, hookimpl
from zoo_images.tiny import TinyImages
from zoo_text.tiny import TinyText

class CountsFromOne(TinyImages):
    def split(self, name):
        print("a model or dataset may print")
        return [(image, label + 1) for image, label in super().split(name)]

def absent():
    raise DataError("it is on the other disk")

def with_paths(*, paths: list[str]):
    path = Path(paths[0])
    if not path.is_file() or not path.read_bytes().isascii():
        raise DataError(f"{path} is no text")
    return TinyText()

def asserts():
    assert not "what should hold"

def leaves():
    raise SystemExit("it has left")

def looks_up():
    return {}["num_classes"]

class Nameless(TinyImages):
    fingerprint = None

def with_key(*, key: str):
    return TinyText()
"""


IMPORT = plugin_checks._import
MISSING = "its data is missing, and checks do not download it: it is on the other disk"


@pytest.fixture(autouse=True)
def unwatched(monkeypatch):
    """Spare each test the processes that check, watch an import, and open a dataset again."""
    monkeypatch.setattr(plugin_checks, "_import", lambda _: ("", "", 0.5))
    monkeypatch.setattr(plugin_checks, "_watch", lambda *_: {"changed": [], "connected": [], "imported": []})
    monkeypatch.setattr(dataset_checks, "_in_new_process", lambda case: {})
    monkeypatch.setattr(checking, "isolated", messages)


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
    assert run(["check", plugin(TinyImages="classification", with_paths="language-modeling")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "41 ran, 0 skipped, 0 failed, 2 inapplicable"
    assert not any(line.startswith(("failed", "skipped")) for line in lines)


def test_a_file_that_takes_long_to_load_gets_a_warning(plugin, capsys, monkeypatch):
    monkeypatch.setattr(plugin_checks, "_import", lambda _: ("", "", 4.0))
    assert run(["check", plugin(TinyImages="classification")]) == 0
    assert "got 4.0 times as long" in capsys.readouterr().out


def test_what_a_file_prints_when_it_is_loaded_is_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plugin_checks, "_import", IMPORT)
    path = tmp_path / f"{tmp_path.name}.py"
    path.write_text(f"{HEAD}\nprint('hello there')\n@hookimpl\ndef zoo_datasets():\n    return []\n")
    run(["check", str(path)])
    assert "got 'hello there'" in capsys.readouterr().out


SPELLED = """
from zoo import DatasetSpec, TokenizerSpec, hookimpl
from zoo_text.tiny import TinyText

def letters(text, preprocess):
    return list(text)

class Spelled(TinyText):
    @property
    def preprocess(self):
        return {**super().preprocess, "tokens": "spelled/letters"}

@hookimpl
def zoo_tokenizers():
    return [TokenizerSpec(name="letters", target="spelled:letters", summary="One")]

@hookimpl
def zoo_datasets():
    return [DatasetSpec(name="text", target="spelled:Spelled", task="language-modeling", summary="One")]
"""


def test_a_dataset_of_a_file_finds_the_tokenizer_beside_it(tmp_path, capsys):
    path = tmp_path / "spelled.py"
    path.write_text(SPELLED)
    assert run(["check", str(path)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(("terminal", "options", "told"), [("1", [], 1), ("0", [], 0), ("1", ["--quiet"], 0)])
def test_a_terminal_gets_a_line_for_each_entry_once_it_is_checked(
    terminal, options, told, plugin, capsys, monkeypatch
):
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)
    assert run(["check", plugin(TinyImages="classification"), *options]) == 0
    err = capsys.readouterr().err
    assert err.count("/d0: 16 ran, 0 skipped, 0 failed, 2 inapplicable") == told
    assert bool(err) == (not options)


def test_a_failure_ends_with_1_and_has_one_line(plugin, capsys):
    assert run(["check", plugin(CountsFromOne="classification")]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    assert len(failed) == 1
    assert "d0-labels_in_range: expected train labels from 0 to 9; got 10." in failed[0]


def test_json_is_one_document_that_counts_what_it_lists(plugin, capsys):
    target = plugin(CountsFromOne="classification", absent="classification")
    assert run(["check", target, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["target"] == target
    counts = Counter(check["outcome"] for check in report["checks"])
    assert counts == {"passed": 21, "failed": 1, "skipped": 19, "inapplicable": 2}
    assert (report["ran"], report["skipped"], report["failed"], report["xfailed"]) == (22, 19, 1, 0)
    reasons = {check["reason"] for check in report["checks"] if check["outcome"] == "skipped"}
    assert reasons == {MISSING, "labels_in_range failed"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("absent", MISSING),
        ("with_key", "it requires a value for key, which the kit cannot generate; set `sample` in its spec"),
    ],
)
def test_nothing_but_skips_is_a_failure(target, reason, plugin, capsys):
    assert run(["check", plugin(**{target: "language-modeling"})]) == 1
    assert f"d0: 0 of 18 checks ran ({reason})" in capsys.readouterr().err


def test_a_preset_is_checked_with_its_own_options(plugin, capsys):
    path = Path(plugin(with_key="language-modeling"))
    path.write_text(path.read_text("utf-8").replace("summary=", "config={'key': 'x'}, summary="), "utf-8")
    assert run(["check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "23 ran, 0 skipped, 0 failed, 1 warned, 2 inapplicable"


def test_a_plugin_that_provides_nothing_fails(plugin, capsys):
    assert run(["check", plugin()]) == 1
    assert "provides nothing" in capsys.readouterr().err


def test_a_file_that_does_not_load_fails_one_check_with_its_cause(tmp_path, capsys):
    (tmp_path / "does_not_load.py").write_text("1 / 0", encoding="utf-8")
    assert run(["check", str(tmp_path / "does_not_load.py")]) == 1
    captured = capsys.readouterr()
    (failed,) = [line for line in captured.out.splitlines() if line.startswith("failed")]
    assert failed.startswith("failed   does-not-load-loads: expected ")
    assert "got ZeroDivisionError: division by zero (does_not_load.py:1). Usually: " in failed
    assert captured.out.splitlines()[-1] == "1 ran, 0 skipped, 1 failed"
    assert captured.err == f"checking {tmp_path / 'does_not_load.py'}\n"


def test_a_dataset_out_of_reach_is_one_line_and_no_failure_beside_one_that_ran(plugin, capsys):
    assert run(["check", plugin(TinyImages="classification", absent="classification")]) == 0
    (skipped,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped")]
    assert skipped.endswith(f"d1: {MISSING}")


def test_an_assertion_without_a_message_is_reported_by_its_place(plugin, capsys):
    target = plugin(asserts="classification")
    run(["check", target])
    assert f"an assertion without a message, at {target}:" in capsys.readouterr().out


def test_debug_and_a_report_show_the_traceback_of_an_unexpected_error(plugin, capsys, tmp_path):
    target, place = plugin(looks_up="classification"), 'return {}["num_classes"]'
    report = tmp_path / "report.md"
    assert run(["check", target, "--report", str(report)]) == 1
    captured = capsys.readouterr()
    assert "KeyError: 'num_classes'" in captured.out
    assert (
        captured.out.splitlines()[-1]
        == "`zoo --debug check ...` shows the traceback of each unexpected error"
    )
    assert place not in captured.err
    assert f"        {place}" in report.read_text(encoding="utf-8").splitlines()
    assert run(["--debug", "check", target, "--json"]) == 1
    captured = capsys.readouterr()
    assert "Traceback (most recent call last):" in captured.err
    assert place in captured.err
    assert any(place in check["traceback"] for check in json.loads(captured.out)["checks"])


def test_a_plugin_that_ends_the_process_fails_and_the_others_are_checked(plugin, capsys):
    assert run(["check", plugin(leaves="classification", TinyImages="classification"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    ended = {check["reason"] for check in report["checks"] if check["outcome"] == "failed"}
    assert any("SystemExit: it has left" in reason for reason in ended)
    assert {check["entry"][-3:] for check in report["checks"] if check["outcome"] == "passed"} > {"/d1"}


def test_what_a_dataset_does_not_have_is_named(plugin, capsys):
    run(["check", plugin(Nameless="classification")])
    assert "expected a dataset with fingerprint; got None." in capsys.readouterr().out


def test_some_entries_of_a_plugin_can_be_checked_alone(capsys):
    assert run(["check", "cam/eigen-*", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {(check["entry"], check["kind"]) for check in report["checks"]} == {("cam/eigen-cam", "analyzer")}


@pytest.mark.slow  # it exports
def test_what_takes_long_is_named_unless_it_was_asked_for(capsys):
    assert run(["check", "charrnn/gru"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "--thorough also runs exports"
    assert run(["check", "charrnn/gru", "--thorough"]) == 0
    assert ", 0 failed" in capsys.readouterr().out.splitlines()[-1]


def test_a_report_says_what_was_checked_with_what_and_how_it_ended(plugin, capsys, tmp_path):
    target, text = plugin(CountsFromOne="classification", absent="classification"), ""
    for suffix in ("md", "json"):
        file = tmp_path / f"report.{suffix}"
        assert run(["check", target, "--report", str(file)]) == 1
        text = file.read_text(encoding="utf-8")
        assert str(tmp_path) not in text
        assert Path(target).name in text
        assert f"{__version__}" in text
        assert "expected train labels from 0 to 9; got 10." in text
        assert "it is on the other disk" in text
    assert json.loads(text).items() >= {"ran": 22, "skipped": 19, "failed": 1}.items()
    written = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Failed: 22 ran, 19 skipped, 1 failed, 2 inapplicable" in written
    assert re.search(r"^\| [\w-]+/d0 \| 15 \| 1 \| 1 \| 0 \| 0 \| 2 \|$", written, re.M)
    assert "| labels_in_range | Labels are integers" in written
    capsys.readouterr()


def test_a_report_escapes_what_a_plugin_says(tmp_path):
    found = Outcome(
        name="d-finite", outcome="failed", reason="<b>|\n", plugin="p", entry="p/<i>|", kind="analyzer"
    )
    write_report(tmp_path / "r.md", "p", [], [found])
    assert "&lt;b>\\| |\n" in (tmp_path / "r.md").read_text()


def test_a_report_of_another_kind_is_refused_before_anything_is_checked(plugin, capsys):
    assert run(["check", plugin(TinyImages="classification"), "--report", "report.pdf"]) == 2
    assert "a report's file name must end in .md or .json (got 'report.pdf')" in capsys.readouterr().err
    assert run(["check", plugin(TinyImages="classification"), "--report", "nowhere/report.md"]) == 1
    refused = capsys.readouterr()
    assert (refused.out, refused.err.splitlines()[-1]) == (
        "",
        "zoo: cannot write report.md: no such folder: nowhere",
    )


def test_checks_skipped_for_one_reason_share_a_line(tmp_path, capsys):
    path = tmp_path / f"{tmp_path.name}.py"
    path.write_text(
        "from zoo import ArchitectureSpec, hookimpl\n"
        "from torch import nn\n"
        "class Net(nn.Flatten):\n"
        "    def __init__(self, *, in_channels: int, image_size: int, num_classes: int): super().__init__()\n"
        "@hookimpl\n"
        "def zoo_architectures():\n"
        "    yield ArchitectureSpec("
        f"name='net', target='{path.stem}:Net', task='classification', summary='s')\n"
    )
    assert run(["check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("skipped") for line in lines) == 1
    (line,) = [line for line in lines if line.startswith("skipped")]
    assert line.endswith("/net: 20 skipped: output_shape failed")


def test_a_name_that_zoo_has_too_is_told_but_no_failure(tmp_path, capsys):
    path = tmp_path / f"{tmp_path.name}.py"
    path.write_text(
        "from zoo import DatasetSpec, hookimpl\nfrom zoo_images.tiny import TinyImages\n@hookimpl\n"
        "def zoo_datasets():\n    yield DatasetSpec(name='shapes', "
        f"target='{path.stem}:TinyImages', task='classification', summary='s')\n"
    )
    name = path.stem.replace("_", "-")
    assert run(["check", name, "--plugin", str(path)]) == 0
    told = f"'shapes' refers to images/shapes, so users of the dataset {name}/shapes must write its full name"
    assert told in capsys.readouterr().err


def test_a_recipe_may_start_from_weights_of_zoo_and_is_told_that_its_name_is_taken(tmp_path, capsys):
    path = tmp_path / f"{tmp_path.name}.py"
    path.write_text(
        "from zoo import Recipe, hookimpl\n@hookimpl\ndef zoo_recipes():\n    return {'shapes-resnet20': "
        "Recipe(architecture='convnet/resnet20', dataset='images/shapes', from_weights='shapes-resnet20')}\n"
    )
    assert run(["check", str(path)]) == 0
    name = f"{path.stem.replace('_', '-')}/shapes-resnet20"
    told = f"'shapes-resnet20' refers to the recipe in registry.toml, so users of the recipe {name} must "
    assert told in capsys.readouterr().err


def test_a_distribution_stands_for_all_its_plugins(capsys, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "text")
    run(["check", "Zoo_Registry"])
    captured = capsys.readouterr()
    assert "plugin analyzers (zoo-registry) is disabled" in captured.err


def test_a_python_that_leaves_assertions_out_cannot_check():
    command, env = [sys.executable, "-m", "zoo", "check", "text"], os.environ | {"PYTHONOPTIMIZE": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "checks are assertions, which python -O removes" in done.stderr
