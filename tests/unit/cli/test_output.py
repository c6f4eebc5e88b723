"""What is printed: one JSON document whatever happens, and nothing that a terminal obeys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.made_up import distribution
from tests.nightly.reliability.hostile import write_forged
from tests.nightly.reliability.invocations import EVIL, obeyed, strict_json
from tests.shell import zoo
from zoo.console.terminal import bold, echo
from zoo.errors import ZooError, printable
from zoo.files.canonical import readable_json
from zoo.files.cards import read_weights
from zoo.files.container import StoredTensor


def test_a_styled_text_and_the_colors_it_brings_along(capsys, monkeypatch):
    echo(bold(EVIL), EVIL)
    echo("\x1b[48;2;9;0;0;97mred\x1b[0m\x1b[8mhidden\x1b[2J", colors=True)
    out = capsys.readouterr().out
    assert obeyed(out) == []
    assert "\x1b" not in out
    monkeypatch.setattr("zoo.console.terminal.is_terminal", lambda stream: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    echo(bold(EVIL))
    echo("\x1b[48;2;9;0;0;97mred\x1b[0m\x1b[8mhidden\x1b[2J", colors=True)
    bolded, colored = capsys.readouterr().out.splitlines()
    assert bolded.startswith("\x1b[1ma\\x1b[31m")
    assert bolded.endswith("\x1b[0m")
    assert colored == "\x1b[48;2;9;0;0;97mred\x1b[0m\\x1b[8mhidden\\x1b[2J\x1b[0m"


def test_a_text_that_stdout_cannot_encode_is_escaped(monkeypatch):
    code = "from zoo.console.terminal import echo; echo('é …')"
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("\\xe9 \\u2026\n", 0)


def test_json_is_strict_whatever_is_in_it():
    document = {"a": float("nan"), EVIL: [float("-inf"), ("\udcff", EVIL)], "é": {"b": True}}
    text = readable_json(document)
    assert strict_json(text) == {"a": None, EVIL: [None, ["\\udcff", EVIL]], "é": {"b": True}}


def test_what_json_has_no_form_for_is_its_text():
    document = {"path": Path("é/x"), "set": frozenset(), ("a", 1): [print, 2, True, None]}
    assert strict_json(readable_json(document)) == {
        "path": "é/x",
        "set": "frozenset()",
        "('a', 1)": ["<built-in function print>", 2, True, None],
    }


def test_tensors_and_arrays_are_written_as_numbers():
    document = {"one": torch.tensor(0.5), "many": torch.arange(5_000), "numpy": np.float32("nan")}
    assert strict_json(readable_json(document)) == {"one": 0.5, "many": [*range(5_000)], "numpy": None}


def test_an_option_that_is_no_json_is_shown(tmp_path: Path, monkeypatch):
    source = """
        from pathlib import Path
        from zoo import DatasetSpec, hookimpl

        def data(*, where: Path = Path("here")): ...

        @hookimpl
        def zoo_datasets():
            return [DatasetSpec(name="odd", target="odd:data", task="classification", summary="")]
    """
    monkeypatch.syspath_prepend(str(distribution(tmp_path, "odd", source)))
    done = zoo("show", "odd/odd", "--json")
    assert strict_json(done.stdout)["options"] == {"where": "here"}


def test_an_error_after_the_document_takes_its_place(monkeypatch):
    def fail(_: Any) -> None:
        raise ZooError("after all")

    monkeypatch.setattr("zoo.registry.registry.Registry.require_healthy", fail)
    done = zoo("--strict", "plugins", "--json")
    assert done.returncode == 1
    assert strict_json(done.stdout)["error"] == "after all"


def test_the_traceback_of_a_plugin_is_a_document_too():
    assert strict_json(zoo("plugins", "--traceback", "text", "--json").stdout)["name"] == "text"


def test_what_a_plugin_prints_is_no_part_of_the_document(lstm_file, monkeypatch):
    def metrics(*_: Any) -> dict[str, float]:
        print("hello")
        return {"loss": 1.0}

    monkeypatch.setattr("zoo_text.language_modeling.LanguageModeling.metrics", metrics)
    done = zoo("eval", lstm_file, "--json")
    assert strict_json(done.stdout)["metrics"] == {"loss": 1.0}
    assert "hello" in done.stderr


def test_json_is_for_what_stands_before_two_dashes():
    assert zoo("show", "--", "--json").stdout == ""
    assert strict_json(zoo("list", "--json=1").stdout)["kind"] == "usage"


@pytest.fixture
def huge(lstm_file: Path, tmp_path: Path) -> Path:
    """A file with finite weights that are too large to compute with."""
    card, container = read_weights(lstm_file)
    path = tmp_path / "huge.safetensors"
    tensors = [
        StoredTensor(name, item.dtype, item.shape, _large(item)) for name, item in container.tensors.items()
    ]
    write_forged(path, json.loads(card.to_json()), tensors)
    return path


def _large(item: Any) -> memoryview:
    return memoryview(torch.full(item.shape, 3e38).numpy().tobytes())


@pytest.mark.parametrize(
    "words", [["eval"], ["sample"], ["sample", "--samples", "2"], ["analyze", "surprisal"]]
)
def test_weights_too_large_to_compute_with_are_an_error(words, huge, text_file, tmp_path):
    data = () if words[0] == "sample" else ("--data", f"paths={text_file}")
    done = zoo(*words, huge, *data, "--json", cwd=tmp_path)
    assert done.returncode == 3
    error = strict_json(done.stdout)
    assert error["kind"] == "diverged"
    assert "finite" in error["error"]


def test_completion_offers_no_name_that_a_terminal_obeys(tmp_path, monkeypatch):
    text = f"[recipes.{json.dumps(EVIL)}]\narchitecture='lstm'\ndataset='stdlib'\n[recipes.aa]\n"
    text += f"architecture='lstm'\ndataset='stdlib'\nsummary={json.dumps(EVIL)}\n"
    (tmp_path / "registry.toml").write_text(f"schema = 1\n{text}", encoding="utf-8")
    env = {"_ZOO_COMPLETE": "zsh_complete", "COMP_WORDS": "zoo train a", "COMP_CWORD": "2"}
    done = zoo(cwd=tmp_path, env=env)
    assert done.returncode == 0
    assert "aa" in done.stdout.split()
    assert obeyed(done.stdout) == []


def test_the_help_of_a_recipe_is_text(tmp_path):
    text = "schema = 1\n[recipes.evil]\narchitecture='lstm'\ndataset='stdlib'\n"
    text += f"train.freeze=[{json.dumps(EVIL)}]\n"
    (tmp_path / "registry.toml").write_text(text, encoding="utf-8")
    out = zoo("train", "evil", "--help", cwd=tmp_path).stdout
    assert "title" in out
    assert obeyed(out) == []


def test_a_traceback_is_text_and_the_error_still_a_document(monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(EVIL)

    monkeypatch.setattr("zoo.cli.list.rows", fail)
    done = zoo("--debug", "list", "--json")
    assert "Traceback" in done.stderr
    assert obeyed(done.stderr) == []
    assert strict_json(done.stdout)["error"].startswith("RuntimeError")


def test_what_shows_nothing_is_escaped():
    assert printable("a\ufe0f\u3164\u034fb\u2800") == "a\\ufe0f\\u3164\\u034fb\\u2800"
    assert printable("né 日本") == "né 日本"


@pytest.mark.parametrize(("world", "speaks"), [("1", True), ("2", False)])
def test_only_one_of_several_processes_is_silent(world: str, speaks: bool):
    env = {"RANK": "1", "WORLD_SIZE": world}
    assert bool(zoo("list", "exporters", "--json", env=env).stdout) == speaks


@pytest.mark.parametrize(
    ("words", "speaks"), [(["list", "nothing"], False), (["inspect", "x.safetensors"], True)]
)
def test_an_error_that_all_processes_have_is_that_of_the_first(words: list[str], speaks: bool):
    done = zoo(*words, env={"RANK": "1", "WORLD_SIZE": "2"})
    assert done.returncode == 1
    assert bool(done.stderr) == speaks
