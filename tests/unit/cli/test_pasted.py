"""Commands that zoo tells to type can be pasted into a shell, whatever the names in them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.shell import SMALL_LSTM, TEXT, zoo
from zoo.runs.lock import CONFIG_HEAD

ODD = "it's $(touch pwned); a*&"
RECIPE = """
schema = 1
[recipes."NAME"]
architecture = "charrnn/lstm"
dataset = "text/files"
data = { paths = "fox.txt" }
"""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pasted(told: str) -> list[list[str]]:
    """Return the words of each zoo command in a text, in backticks or ending a line, as bash reads them."""
    commands = re.findall(r"`(zoo [^`]*)`", told) or re.findall(r"(?:^|  )(zoo .*)$", told, re.M)
    print_words = r"""zoo() { printf '%s\0' "$@"; }"""
    read = [
        subprocess.run(
            ["bash", "-c", f"{print_words}\n{command}"], capture_output=True, text=True, check=True
        )
        for command in commands
    ]
    assert not Path("pwned").exists()
    return [done.stdout.split("\0")[:-1] for done in read]


def test_a_path_in_place_of_a_command() -> None:
    Path(f"{ODD}.safetensors").touch()
    assert ["inspect", f"{ODD}.safetensors"] in pasted(zoo(f"{ODD}.safetensors").stderr)


def test_a_path_in_place_of_a_name() -> None:
    Path(f"{ODD}.safetensors").touch()
    assert pasted(zoo("show", f"{ODD}.safetensors").stderr) == [["inspect", f"{ODD}.safetensors"]]


def test_a_path_in_place_of_a_dataset() -> None:
    Path(f"{ODD}.txt").touch()
    told = zoo("train", "lstm", f"{ODD}.txt").stderr
    assert pasted(told) == [["train", "lstm", "files", "--data", f"paths={ODD}.txt"]]


def test_a_recipe() -> None:
    Path("registry.toml").write_text(RECIPE.replace("NAME", ODD))
    assert ["train", ODD] in pasted(zoo("show", ODD).stdout)
    assert pasted(zoo("eval", ODD).stderr) == [["list", "weights"]]


def test_a_run_that_exists() -> None:
    folder = Path("runs", ODD)
    folder.mkdir(parents=True)
    (folder / "config.toml").touch()
    assert pasted(zoo("eval", folder).stderr) == [["resume", str(folder)]]
    (folder / "checkpoint.safetensors").touch()
    Path("registry.toml").write_text(RECIPE.replace("NAME", "fox"))
    assert pasted(zoo("train", "fox", folder).stderr) == [["resume", str(folder)]]


def test_what_to_type_after_a_training() -> None:
    Path("fox.txt").write_text(TEXT)
    done = zoo("train", "lstm", "files", "--data", "paths=fox.txt", *SMALL_LSTM, "--run", f"runs/{ODD}")
    assert done.returncode == 0, done.stderr
    (told,) = re.findall(r"^next .*\Z", done.stderr, re.M | re.S)
    assert pasted(told)[:2] == [["eval", f"runs/{ODD}"], ["sample", f"runs/{ODD}"]]


def test_weights_of_another_architecture(lstm_file: Path) -> None:
    shutil.copy(lstm_file, f"{ODD}.safetensors")
    Path("fox.txt").write_text(TEXT)
    told = zoo(
        "train", "gru", "files", "--data", "paths=fox.txt", "--from", f"{ODD}.safetensors", "--run", "out"
    ).stderr
    assert pasted(told) == [["train", "charrnn/lstm", "DATASET", "--from", f"{ODD}.safetensors"]]


def test_a_misspelt_option_with_its_value() -> None:
    told = zoo("sample", "runs/demo", "--promt", ODD).stderr
    (option,) = re.findall(r"did you mean (.*)\?", told)
    assert pasted(f"`zoo {option.strip('`')}`") == [["--prompt", ODD]]


def test_a_run_of_a_plugin_that_is_not_named() -> None:
    Path(ODD).mkdir()
    run = f"""schema = 1
plugin_files = [{json.dumps(f"{ODD}/net.py")}]
[recipes.it]
architecture = "net/net"
dataset = "images/shapes"
"""
    Path(ODD, "config.toml").write_bytes(CONFIG_HEAD + run.encode())
    told = zoo("resume", f"./{ODD}").stderr
    assert [["resume", ODD, "--plugin", f"{ODD}/net.py"]] == pasted(told)
