"""Bad input gets one clear message and the documented exit code, without a traceback or lost files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from tests.shell import zoo

PATHS = "--data", "paths=fox.txt"

CASES = {
    # name: (arguments, exit code, what the message must say)
    "no such command": (["trian"], 2, ["trian", "did you mean 'train'"]),
    "no such option": (["list", "--jsn"], 2, ["--jsn"]),
    "unknown architecture": (
        ["train", "lstn", "stdlib"],
        1,
        ["unknown architecture 'lstn'; did you mean 'lstm'?"],
    ),
    "unknown dataset": (
        ["train", "lstm", "nitzsche"],
        1,
        ["unknown dataset 'nitzsche'; did you mean 'nietzsche'?"],
    ),
    "unknown recipe": (
        ["train", "nietzche-lstm"],
        1,
        ["unknown recipe 'nietzche-lstm'; did you mean 'nietzsche-lstm'?"],
    ),
    "architecture alone": (
        ["train", "lstm"],
        1,
        ["lstm is an architecture and needs a dataset: lstm DATASET"],
    ),
    "dataset first": (["train", "stdlib", "lstm"], 1, ["the architecture comes first: lstm stdlib"]),
    "other task": (
        ["train", "lstm", "shapes"],
        1,
        [
            "charrnn/lstm is for language-modeling, but images/shapes is for classification",
            "zoo list datasets --where task=language-modeling",
        ],
    ),
    "not key=value": (
        ["train", "lstm", "stdlib", "--model", "hidden_size"],
        2,
        ["--model expects KEY=VALUE (got 'hidden_size')"],
    ),
    "unknown model option": (
        ["train", "lstm", "files", *PATHS, "--model", "hiden_size=8"],
        2,
        ["charrnn/lstm has no option 'hiden_size'", "did you mean 'hidden_size'"],
    ),
    "model option of the wrong type": (
        ["train", "lstm", "files", *PATHS, "--model", "hidden_size=big"],
        2,
        ["architecture charrnn/lstm: hidden_size must be an integer (got 'big')"],
    ),
    "model option out of range": (
        ["train", "lstm", "files", *PATHS, "--model", "hidden_size=-1"],
        2,
        ["architecture charrnn/lstm: hidden_size must be at least 1 (got -1)"],
    ),
    "unknown data option": (
        ["train", "lstm", "files", *PATHS, "--data", "path=x"],
        2,
        ["text/files has no option 'path'; did you mean 'paths'?"],
    ),
    "missing data option": (
        ["train", "lstm", "files"],
        2,
        ["dataset text/files requires paths", "--data paths=..."],
    ),
    "unknown training option": (
        ["train", "lstm", "stdlib", "--epoch", "3"],
        2,
        ["no such option: --epoch; did you mean `--epochs 3`?"],
    ),
    "training option of the wrong type": (
        ["train", "lstm", "stdlib", "--epochs", "many"],
        2,
        ["epochs must be an integer (got 'many')"],
    ),
    "training option out of range": (
        ["train", "lstm", "stdlib", "--epochs", "0"],
        2,
        ["epochs must be at least 1 (got 0)"],
    ),
    "training option not a choice": (
        ["train", "lstm", "stdlib", "--optimizer", "sdg"],
        2,
        ["optimizer must be one of 'adam', 'adamw', 'sgd' (got 'sdg')"],
    ),
    "no such device": (
        ["train", "lstm", "files", *PATHS, "--device", "tpu9"],
        2,
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
        ["unknown encoding 'utf-9'"],
    ),
    "text shorter than one batch": (
        ["train", "lstm", "files", "--data", "paths=short.txt"],
        1,
        ["the text must be longer than bptt=16 tokens (got 4)", "--bptt 3 or less"],
    ),
    "text shorter than the number of lanes": (
        ["train", "lstm", "files", "--data", "paths=short.txt", "--bptt", "2"],
        1,
        ["the text has 4 tokens, too few for 8 lanes", "--batch-size 1 or less"],
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
    "no comparison": (
        ["list", "--where", "task"],
        2,
        ["zoo: --where: 'task' is not a comparison", "KEY=VALUE"],
    ),
    "unknown kind": (
        ["list", "datset", "x"],
        2,
        ["KIND must be one of architectures, datasets, ", "(got 'datset')"],
    ),
    "unknown name": (
        ["show", "restnet-lite"],
        1,
        ["unknown name 'restnet-lite'; did you mean 'resnet-lite'?"],
    ),
    "no such weights": (
        ["eval", "none.safetensors"],
        1,
        ["no such file or run directory: none.safetensors", "zoo list weights"],
    ),
    "misspelled weights": (["eval", "cifar10-resnet2"], 1, ["did you mean 'cifar10-resnet20'?"]),
    "text for weights": (["inspect", "fox.txt"], 1, ["fox.txt is not a safetensors file"]),
    "nothing to inspect": (["inspect", "none"], 1, ["unknown weights 'none'"]),
    "folder without a run": (
        ["inspect", "."],
        1,
        [". is a folder without a run", "`zoo train` writes one"],
    ),
    "unknown plugin": (["plugins", "--traceback", "tex"], 1, ["unknown plugin 'tex'; did you mean 'text'?"]),
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


@pytest.mark.parametrize("name", CASES)
def test_the_message_says_what_is_wrong(desk, name):
    arguments, code, words = CASES[name]
    before = sorted(desk.rglob("*"))
    done = zoo(*arguments, cwd=desk, env={"ZOO_DATA": str(desk)})
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) <= 5
    for word in words:
        assert word in done.stderr
    assert sorted(desk.rglob("*")) == before


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
def test_an_unknown_device_is_answered_with_those_of_this_machine(
    desk, lstm_file, monkeypatch, command, device
):
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
    file = [] if command[0] == "train" else [lstm_file]
    done = zoo(*command, *file, "--device", device, cwd=desk)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"zoo: there is no device {device!r}; ")


def test_a_gpu_is_among_the_devices_of_this_machine(lstm_file, monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: cuda)
    done = zoo("eval", lstm_file, "--device", "mps")
    assert done.stderr.splitlines()[1:] == ["zoo: there is no device 'mps'; this machine has cpu and cuda"]


def test_debug_shows_the_traceback(run_zoo, desk):
    assert "Traceback" in run_zoo("--debug", "inspect", "fox.txt", cwd=desk).stderr


@pytest.mark.parametrize("command", [["eval"], ["sample"], ["inspect"]])
def test_cut_off_weights_are_refused(lstm_file, tmp_path, command):
    data = lstm_file.read_bytes()
    for length in (0, 7, 500, len(data) - 1):
        (tmp_path / "cut.safetensors").write_bytes(data[:length])
        done = zoo(*command, "cut.safetensors", cwd=tmp_path)
        assert done.returncode == 1
        assert "cut.safetensors" in done.stderr


def test_weights_of_a_missing_plugin_name_its_distribution(lstm_file):
    done = zoo("eval", lstm_file, env={"ZOO_PLUGINS": "text"})
    assert done.returncode == 1
    assert "holds a charrnn/lstm, which no installed plugin provides" in done.stderr
    assert "it was written with zoo-registry" in done.stderr


def test_sampling_from_an_image_model(net_file):
    done = zoo("sample", net_file)
    assert done.returncode == 1
    assert f"{net_file} is not a language model: it is for classification" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--temperature", "-1", "zoo: --temperature must be at least 0 (got -1.0)"),
        ("--top-k", "-1", "zoo: --top-k must be at least 0 (got -1)"),
        ("--top-p", "0", "zoo: --top-p must be above 0 (got 0.0)"),
        ("--top-p", "1.5", "zoo: --top-p must be at most 1 (got 1.5)"),
        ("--max-new-tokens", "-1", "zoo: --max-new-tokens must be at least 0 (got -1)"),
        ("--samples", "0", "zoo: --samples must be at least 1 (got 0)"),
        ("--samples", "-2", "zoo: --samples must be at least 1 (got -2)"),
    ],
)
def test_sampling_options_out_of_range(lstm_file, option, value, message):
    done = zoo("sample", lstm_file, option, value)
    assert done.returncode == 2
    assert message in done.stderr


def test_evaluating_images_of_another_size(net_file):
    done = zoo("eval", net_file, "--data", "size=16")
    assert done.returncode == 2
    assert "the model requires size=32 (got size=16)" in done.stderr


def test_a_divergent_run_exits_3_and_writes_no_weights(desk):
    arguments = [
        "--lr",
        "1e38",
        "--optimizer",
        "sgd",
        "--clip-grad-norm",
        "0",
        "--batch-size",
        "8",
    ]
    done = zoo(
        "train", "lstm", "files", *PATHS, *arguments, "--run", "wild", "--model", "hidden_size=8", cwd=desk
    )
    assert done.returncode == 3, done.stderr
    assert "diverged" in done.stderr
    assert not (desk / "wild/model.safetensors").exists()


def test_a_used_run_directory_is_refused_and_untouched(lstm_file, text_file):
    before = {path.name: path.read_bytes() for path in lstm_file.parent.iterdir()}
    done = zoo("train", "lstm", "files", "--data", f"paths={text_file}", "--run", lstm_file.parent)
    assert done.returncode == 1
    assert "already holds a finished run" in done.stderr
    assert f"`zoo eval {lstm_file.parent}` measures it" in done.stderr
    drifted = zoo(
        "train", "lstm", "files", "--data", f"paths={text_file}", "--run", lstm_file.parent, "--resume"
    )
    assert drifted.returncode == 1
    assert "train.epochs: 2 before, " in drifted.stderr
    after = {path.name: path.read_bytes() for path in lstm_file.parent.iterdir()}
    assert {k: v for k, v in after.items() if k != ".lock"} == {
        k: v for k, v in before.items() if k != ".lock"
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(text_file, tmp_path):
    tmp_path.chmod(0o500)
    done = zoo("train", "lstm", "files", "--data", f"paths={text_file}", "--run", tmp_path / "run")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = 2", ["schema: invalid enum value 2", "starts with the line: schema = 1"]),
        (
            "schema = 1\n[recipe.x]",
            ["unknown field recipe", "its tables: plugins, recipes.NAME"],
        ),
        ("schema = 1\n[recipes.x]\narchitecture = 'lstm'", ["[recipes.x] lacks dataset"]),
        ("schema = 1\n[recipes.x", ["not valid TOML"]),
    ],
)
def test_an_error_in_registry_toml_names_file_and_key(tmp_path, text, words):
    (tmp_path / "registry.toml").write_text(text)
    done = zoo("list", cwd=tmp_path)
    assert done.returncode == 1
    for word in ["registry.toml", *words]:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("train", "why"),
    [
        ("epoch = 3", "the training configuration has no option 'epoch'"),
        ("lr = 'fast'", "lr must be a number (got 'fast')"),
    ],
)
def test_a_recipe_that_cannot_be_trained_stops_nothing_else(tmp_path, train, why):
    recipe = f"architecture = 'mlp'\ndataset = 'shapes'\ntrain = {{ {train} }}"
    (tmp_path / "registry.toml").write_text(f"schema = 1\n[recipes.x]\n{recipe}")
    done = zoo("list", "recipes", cwd=tmp_path)
    assert done.returncode == 0
    done = zoo("train", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert f"recipe x: {why}" in done.stderr


URL = "https://example.org/x"


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "FILE", URL],
        ["predict", "FILE", "x.png", "--out", f"{URL}.csv"],
        ["embed", "FILE", URL],
        ["analyze", "cam", "FILE", URL],
        ["eval", URL],
        ["train", "mlp", "shapes", "--run", URL],
        ["train", "mlp", "shapes", "--from", URL],
        ["lr-find", "mlp", "shapes", "--plot", URL],
        ["resume", URL],
        ["new-plugin", "mine", "--kind", "dataset", "--out", URL],
        ["check", "cam", "--report", f"{URL}.md"],
    ],
    ids=" ".join,
)
def test_a_url_is_no_path_and_is_named_as_typed(words, net_file, tmp_path):
    done = zoo(*(net_file if word == "FILE" else word for word in words), cwd=tmp_path)
    (typed,) = (word for word in words if word.startswith(URL))
    assert done.returncode == 2
    assert f"zoo: '{typed}' is a URL, not a path\n" in done.stderr
    assert not [*tmp_path.iterdir()]


def test_a_file_that_is_there_is_no_url(tmp_path):
    (tmp_path / "imgs:").mkdir()
    (tmp_path / "imgs:/a.png").write_bytes(b"no image")
    done = zoo("predict", "shapes-resnet20", "imgs://a.png", cwd=tmp_path)
    assert done.returncode == 1
    assert "its format is unknown or not supported" in done.stderr


def test_of_data_a_url_is_named_as_typed(tmp_path):
    done = zoo("train", "mlp", "folder", "--data", f"root={URL}", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"zoo: there is no folder '{URL}'\n" in done.stderr


def test_a_mistyped_option_is_named_although_registry_toml_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("x = [")
    done = zoo("train", "resnet20", "shapes", "--hidden-sise", "5", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert "no such option: --hidden-sise" in json.loads(done.stdout)["error"]
