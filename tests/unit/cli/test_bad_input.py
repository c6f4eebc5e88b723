"""Bad input gets one clear message and the documented exit code, without a traceback or lost files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from tests.shell import zoo

PATHS = "--data", "paths=fox.txt"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A folder with a text."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "fox.txt").write_bytes(text_file.read_bytes())
    return folder


NEEDY = """
from zoo import ArchitectureSpec, hookimpl


def needy(*, vocab_size: int, width: int, depth: int, size: int = 1):
    raise AssertionError


@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name="needy", target="needy:needy", task="language-modeling", summary="Needy")]
"""


def test_missing_model_options_are_named_as_flags(desk, tmp_path):
    (tmp_path / "needy.py").write_text(NEEDY)
    done = zoo("train", "needy", "files", *PATHS, "--plugin", tmp_path / "needy.py", cwd=desk)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == [
        "zoo: architecture needy/needy requires width, depth",
        "     add --model width=... --model depth=...",
    ]


def test_an_entry_that_cannot_be_used_is_told_once(tmp_path):
    source = NEEDY.replace("language-modeling", "segmentation").replace("needy", "useless")
    (tmp_path / "useless.py").write_text(source)
    words = ("train", "useless", "shapes", "--plugin", "useless.py")
    problem = "architecture useless/useless cannot be used: unknown task 'segmentation'"
    for quiet in ([], ["--quiet"]):  # with it there is no warning of the plugin, which the error would repeat
        done = zoo(*words, *quiet, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"zoo: {problem}\n")
    assert json.loads(zoo(*words, "--json", cwd=tmp_path).stdout)["error"] == problem


@pytest.mark.parametrize(
    ("device", "message"),
    [
        *((name, f"unknown device {name!r}; use cpu") for name in ("foo", "meta", "cuda:0:1", "hpu")),
        ("mps:0", "device 'mps:0' is not available; available devices: cpu"),
    ],
)
def test_an_unknown_device_is_answered_with_those_of_this_machine(lstm_file, monkeypatch, device, message):
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
    done = zoo("eval", lstm_file, "--device", device)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"zoo: {message}")


def test_a_gpu_is_among_the_devices_of_this_machine(lstm_file, monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: cuda)
    done = zoo("eval", lstm_file, "--device", "mps")
    error = "zoo: device 'mps' is not available; available devices: cpu, cuda"
    assert done.stderr.splitlines()[1:] == [error]


def test_a_missing_device_is_found_before_training_is_announced(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
    done = zoo("train", "mlp", "shapes", "--device", "cuda", "--run", "run", cwd=tmp_path)
    error = "zoo: device 'cuda' is not available; available devices: cpu\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)
    assert not (tmp_path / "run").exists()


def test_debug_shows_the_traceback(desk):
    assert "Traceback" in zoo("--debug", "inspect", "fox.txt", cwd=desk).stderr


def test_too_high_a_learning_rate_gets_a_usable_one(tmp_path: Path) -> None:
    small = "--data train_size=64 --data val_size=0 --epochs 1"
    done = zoo(*f"train mlp shapes --lr 1e6 --run out {small}".split(), cwd=tmp_path)
    assert done.returncode == 3
    assert "try --lr 0.01" in done.stderr.splitlines()[-1]
    assert "`zoo lr-find`" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out/model.safetensors").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(text_file, tmp_path):
    tmp_path.chmod(0o500)
    done = zoo("train", "lstm", "files", "--data", f"paths={text_file}", "--run", tmp_path / "run")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


def test_a_recipe_that_cannot_be_trained_stops_nothing_else(tmp_path):
    recipe = "architecture = 'mlp'\ndataset = 'shapes'\ntrain = { epoch = 3 }"
    (tmp_path / "registry.toml").write_text(f"schema = 1\n[recipes.x]\n{recipe}")
    assert zoo("list", "recipes", cwd=tmp_path).returncode == 0
    done = zoo("train", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "recipe x: the training configuration has no option 'epoch'" in done.stderr


def test_a_mistyped_option_is_named_although_registry_toml_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("x = [")
    done = zoo("train", "resnet20", "shapes", "--hidden-sise", "5", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert "no such option: --hidden-sise" in json.loads(done.stdout)["error"]
