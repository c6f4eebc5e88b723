"""What bad input gets: one clear message, the documented exit code, no traceback, nothing lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import zoo

PATHS = "--data", "paths=fox.txt"

CASES = {
    # name: (arguments, exit code, what the message must say)
    "no such command": (["trian"], 2, ["trian", "did you mean 'train'"]),
    "no such option": (["list", "--jsn"], 2, ["--jsn"]),
    "unknown architecture": (
        ["train", "lstn", "stdlib"],
        1,
        ["no architecture 'lstn'", "did you mean 'lstm'"],
    ),
    "unknown dataset": (["train", "lstm", "nitzsche"], 1, ["no dataset 'nitzsche'", "nietzsche"]),
    "unknown recipe": (["train", "nietzche-lstm"], 1, ["no recipe 'nietzche-lstm'", "nietzsche-lstm"]),
    "architecture alone": (["train", "lstm"], 1, ["lstm is an architecture", "DATASET"]),
    "other task": (
        ["train", "lstm", "shapes"],
        1,
        ["language-modelling", "classification", "zoo list dataset"],
    ),
    "not key=value": (["train", "lstm", "stdlib", "--model", "hidden_size"], 1, ["key=value"]),
    "unknown model option": (
        ["train", "lstm", "files", *PATHS, "--model", "hiden_size=8"],
        1,
        ["charrnn/lstm has no option 'hiden_size'", "did you mean 'hidden_size'"],
    ),
    "model option of the wrong type": (
        ["train", "lstm", "files", *PATHS, "--model", "hidden_size=big"],
        1,
        ["hidden_size", "expected int"],
    ),
    "model option without sense": (
        ["train", "lstm", "files", *PATHS, "--model", "hidden_size=-1"],
        1,
        ["architecture charrnn/lstm", "hidden_size: expected int >= 1 (-1)"],
    ),
    "unknown data option": (["train", "lstm", "files", *PATHS, "--data", "path=x"], 1, ["'path'", "'paths'"]),
    "missing data option": (["train", "lstm", "files"], 1, ["text/files needs paths", "--data paths=..."]),
    "unknown training option": (
        ["train", "lstm", "stdlib", "--train", "epoch=3"],
        1,
        ["no option 'epoch'", "did you mean 'epochs'"],
    ),
    "training option of the wrong type": (
        ["train", "lstm", "stdlib", "--train", "epochs=many"],
        1,
        ["epochs", "expected int"],
    ),
    "training option out of range": (
        ["train", "lstm", "stdlib", "--train", "epochs=0"],
        1,
        ["epochs", ">= 1"],
    ),
    "training option not a choice": (
        ["train", "lstm", "stdlib", "--train", "optimizer=sdg"],
        1,
        ["optimizer", "'sgd'", "'adam'", "'adamw'"],
    ),
    "no such device": (
        ["train", "lstm", "files", *PATHS, "--device", "tpu9"],
        1,
        ["there is no device 'tpu9'"],
    ),
    "no such text": (
        ["train", "lstm", "files", "--data", "paths=none.txt"],
        1,
        ["there is no file", "none.txt"],
    ),
    "empty text": (["train", "lstm", "files", "--data", "paths=empty.txt"], 1, ["empty.txt is empty"]),
    "wrong encoding": (
        ["train", "lstm", "files", "--data", "paths=latin1.txt"],
        1,
        ["latin1.txt is not utf-8", "encoding="],
    ),
    "no such encoding": (
        ["train", "lstm", "files", *PATHS, "--data", "encoding=utf-9"],
        1,
        ["there is no encoding 'utf-9'"],
    ),
    "text shorter than one batch": (
        ["train", "lstm", "files", "--data", "paths=short.txt"],
        1,
        ["bptt is 16, and the text has", "--train bptt="],
    ),
    "text shorter than its lanes": (
        ["train", "lstm", "files", "--data", "paths=short.txt", "--train", "bptt=2"],
        1,
        ["too few to be cut into 64 lanes", "batch_size="],
    ),
    "unwritable run directory": (
        ["train", "lstm", "files", *PATHS, "--run", "fox.txt/run"],
        1,
        ["cannot be used as a run directory"],
    ),
    "run directory that is a file": (
        ["train", "lstm", "files", *PATHS, "--run", "fox.txt"],
        1,
        ["fox.txt is a file, not a folder", "another --run"],
    ),
    "data that cannot be fetched": (
        ["train", "lstm", "nietzsche"],
        1,
        ["nietzsche.txt", "ZOO_OFFLINE", "https://"],
    ),
    "where without sense": (["list", "--where", "task"], 1, ["not a comparison"]),
    "list of no kind": (["list", "datset", "x"], 2, ["datset"]),
    "show of nothing": (["show", "restnet-lite"], 1, ["nothing is called", "resnet-lite"]),
    "no such weights": (["eval", "none.safetensors"], 1, ["there is no file none.safetensors"]),
    "inspect of a text": (["inspect", "fox.txt"], 1, ["not a safetensors file"]),
    "inspect of nothing": (["inspect", "none"], 1, ["there is no file none"]),
    "inspect of a folder": (["inspect", "."], 1, ["folder"]),
    "no such plugin": (["plugins", "--traceback", "tex"], 1, ["no plugin 'tex'", "did you mean 'text'"]),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A folder with good and bad files."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "fox.txt").write_bytes(text_file.read_bytes())
    (folder / "empty.txt").write_bytes(b"")
    (folder / "short.txt").write_bytes(b"hello")
    (folder / "latin1.txt").write_bytes("Für Elise. ".encode("latin-1") * 500)
    return folder


def told(done) -> str:
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("name", CASES)
def test_says_what_is_wrong(desk, name):
    arguments, code, words = CASES[name]
    before = sorted(desk.rglob("*"))
    done = zoo(*arguments, cwd=desk, env={"ZOO_DATA": str(desk)})
    message = told(done)
    assert done.returncode == code, message
    assert done.stdout == ""
    assert len(message.strip().splitlines()) <= 5
    for word in words:
        assert word in message
    assert sorted(desk.rglob("*")) == before


NEEDY = """
from zoo import ArchitectureSpec, hookimpl


def needy(*, vocab_size: int, width: int, depth: int, size: int = 1):
    raise AssertionError


@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name="needy", target="needy:needy", task="language-modelling", summary="Needy")]
"""


def test_missing_model_options_are_told_as_they_are_given(desk, tmp_path):
    (tmp_path / "needy.py").write_text(NEEDY)
    (tmp_path / "registry.toml").write_text('schema = 1\n[plugins]\nlocal = ["needy.py"]\n')
    done = zoo("train", "needy", "files", *PATHS, cwd=desk, env={"ZOO_REGISTRY": f"{tmp_path}/registry.toml"})
    assert done.returncode == 1
    assert told(done).splitlines() == [
        "zoo: architecture needy/needy needs width, depth",
        "     --model width=... --model depth=...",
    ]


def test_an_error_is_a_document_with_json(desk):
    done = zoo("train", "lstn", "stdlib", "--json", cwd=desk)
    assert done.returncode == 1
    error = json.loads(done.stdout)
    assert error["kind"] == "unknown-name"
    assert "lstm" in error["error"]
    assert "zoo list" in error["hint"]
    usage = zoo("list", "--json", "--nonsense")
    assert usage.returncode == 2
    assert json.loads(usage.stdout)["kind"] == "usage"


@pytest.mark.parametrize("device", ["foo", "meta", "cuda:0:1", "mps:0", "hpu"])
@pytest.mark.parametrize("command", [["train", "lstm", "files", *PATHS], ["eval"], ["sample"]])
def test_a_device_that_is_not_here_gets_one_line_that_names_those_that_are(
    desk, lstm_file, monkeypatch, command, device
):
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
    file = [] if command[0] == "train" else [lstm_file]
    done = zoo(*command, *file, "--device", device, cwd=desk)
    assert (done.returncode, done.stdout) == (1, "")
    assert told(done) == f"zoo: there is no device {device!r}; this machine has cpu\n"


def test_the_devices_of_this_machine_are_named(lstm_file, monkeypatch):
    found = torch.device("cuda")
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: found)
    done = zoo("eval", lstm_file, "--device", "gpu")
    assert told(done) == "zoo: there is no device 'gpu'; this machine has cpu and cuda\n"


def test_debug_shows_the_traceback(run_zoo, desk):
    assert "Traceback" in run_zoo("--debug", "inspect", "fox.txt", cwd=desk).stderr


@pytest.mark.parametrize("command", [["eval"], ["sample"], ["inspect"]])
def test_cut_off_weights_are_refused(lstm_file, tmp_path, command):
    data = lstm_file.read_bytes()
    for length in (0, 7, 500, len(data) - 1):
        (tmp_path / "cut.safetensors").write_bytes(data[:length])
        done = zoo(*command, "cut.safetensors", cwd=tmp_path)
        assert done.returncode == 1
        assert "cut.safetensors" in told(done)


def test_weights_of_a_plugin_that_is_not_there(lstm_file):
    done = zoo("eval", lstm_file, env={"ZOO_PLUGINS": "text"})
    assert done.returncode == 1
    assert "charrnn/lstm, and no installed plugin provides that" in told(done)
    assert "zoo-registry" in told(done)


def test_sampling_from_an_image_model(net_file):
    done = zoo("sample", net_file)
    assert done.returncode == 1
    assert "needs a language model" in told(done)


@pytest.mark.parametrize(
    "option",
    [
        ("--temperature", "-1"),
        ("--top-k", "-1"),
        ("--top-p", "0"),
        ("--top-p", "1.5"),
        ("--length", "-1"),
        ("--samples", "0"),
        ("--samples", "-2"),
    ],
)
def test_sampling_options_out_of_range(lstm_file, option):
    done = zoo("sample", lstm_file, *option)
    assert done.returncode == 1
    assert option[0].removeprefix("--") in told(done)


def test_evaluating_images_of_another_size(net_file):
    done = zoo("eval", net_file, "--data", "size=16")
    assert done.returncode == 1
    assert "image_size is 16" in told(done)


def test_a_divergent_run_exits_3_and_keeps_nothing_broken(desk):
    arguments = [
        "--train",
        "lr=1e38",
        "--train",
        "optimizer=sgd",
        "--train",
        "clip_grad_norm=0",
        "--train",
        "batch_size=8",
    ]
    done = zoo(
        "train", "lstm", "files", *PATHS, *arguments, "--run", "wild", "--model", "hidden_size=8", cwd=desk
    )
    assert done.returncode == 3, done.stderr
    assert "diverged" in told(done)
    assert not (desk / "wild/model.safetensors").exists()


def test_a_used_run_directory_is_refused_and_untouched(lstm_file, text_file):
    before = {path.name: path.read_bytes() for path in lstm_file.parent.iterdir()}
    done = zoo("train", "lstm", "files", "--data", f"paths={text_file}", "--run", lstm_file.parent)
    assert done.returncode == 1
    assert "holds a run already" in told(done)
    assert "--resume" in told(done)
    drifted = zoo(
        "train", "lstm", "files", "--data", f"paths={text_file}", "--run", lstm_file.parent, "--resume"
    )
    assert drifted.returncode == 1
    assert "epochs" in told(drifted)
    after = {path.name: path.read_bytes() for path in lstm_file.parent.iterdir()}
    assert {k: v for k, v in after.items() if k != ".lock"} == {
        k: v for k, v in before.items() if k != ".lock"
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(text_file, tmp_path):
    tmp_path.chmod(0o500)
    done = zoo("train", "lstm", "files", "--data", f"paths={text_file}", "--run", tmp_path / "run")
    assert done.returncode == 1
    assert "Permission denied" in told(done)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = 2", ["schema is 2"]),
        ("schema = 1\n[recipe.x]", ["'recipe'", "did you mean 'recipes'"]),
        ("schema = 1\n[recipes.x]\narchitecture = 'lstm'", ["[recipes.x]", "dataset"]),
        (
            "schema = 1\n[recipes.x]\narchitecture = 'lstm'\ndataset = 'stdlib'\ntrain = { epoch = 3 }",
            ["[recipes.x]", "'epoch'", "did you mean 'epochs'"],
        ),
        ("schema = 1\n[recipes.x", ["not valid TOML"]),
    ],
)
def test_a_wrong_registry_toml_names_file_and_key(tmp_path, text, words):
    (tmp_path / "registry.toml").write_text(text)
    done = zoo("list", cwd=tmp_path)
    assert done.returncode == 1
    for word in ["registry.toml", *words]:
        assert word in told(done)
