"""What can be known to be wrong without data and without torch is found before either is loaded."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

LSTM = ["train", "lstm", "stdlib"]
# What is typed, and what is found wrong
MISTAKES: dict[str, tuple[list[str], str]] = {
    "recipe": (["train", "nitzsche"], "unknown recipe 'nitzsche'"),
    "architecture": (["train", "lstn", "stdlib"], "unknown architecture 'lstn'"),
    "dataset": (["train", "lstm", "stdlob"], "unknown dataset 'stdlob'"),
    "another task": (["train", "lstm", "shapes"], "charrnn/lstm is for language-modeling"),
    "field": ([*LSTM, "--epochs", "0"], "--epochs must be at least 1 (got 0)"),
    "fields": ([*LSTM, "--ema-decay", "0.9", "--nonmono", "5"], "both average weights"),
    "field of another task": ([*LSTM, "--mixup-alpha", "0.2"], "--mixup-alpha does not apply"),
    "missing root": (["train", "convnet-bn", "folder"], "dataset images/folder requires root"),
    "no such root": (["train", "convnet-bn", "folder", "--data", "root=/nope"], "there is no folder '/nope'"),
    "missing paths": (["train", "lstm", "files", "--data", "rate=1"], "dataset text/files requires paths"),
    "device": ([*LSTM, "--device", "gpu"], "there is no device 'gpu'; did you mean 'cuda'?"),
    "number of a device": ([*LSTM, "--device", "cuda:x"], "there is no device 'cuda:x'"),
    "save every": ([*LSTM, "--save-every", "often"], "save interval must be steps (500)"),
    "processes": ([*LSTM, "--processes", "0"], "--processes must be between 1 and 1,024 (got 0)"),
    "threads": ([*LSTM, "--threads", "-1"], "--threads must be at least 0 (got -1)"),
    "too many threads": ([*LSTM, "--threads", "9999"], "--threads must be at most "),
    "weights of another architecture": ([*LSTM, "--from", "nietzsche-rnn"], "but a charrnn/lstm is to be"),
    "weights": ([*LSTM, "--from", "runs/nope"], "no such file or run directory: runs/nope"),
    "run": ([*LSTM, "--run", "taken"], "taken already holds a run"),
    "run in use": ([*LSTM, "--run", "used"], "used is in use by another process"),
    "run that is a file": ([*LSTM, "--run", "file"], "file is a file, not a folder"),
    "other files": ([*LSTM, "--run", "foreign"], "foreign contains model.safetensors but no checkpoint"),
    "resume nothing": (["resume", "runs/nope"], "no such run directory: runs/nope"),
    "resume in use": (["resume", "used"], "used is in use by another process"),
    "lr-find": (["lr-find", "lstm", "stdlib", "--device", "gpu"], "there is no device 'gpu'"),
    "eval": (["eval", "runs/nope"], "no such file or run directory: runs/nope"),
    "eval on a device": (["eval", "shapes-resnet20", "--device", "gpu"], "there is no device 'gpu'"),
    "predict": (["predict", "shapes-resnet2", "x.png"], "unknown weights 'shapes-resnet2'"),
    "predict on a device": (["predict", "shapes-resnet20", "x.png", "--device", "cuda:x"], "'cuda:x'"),
    "analyze": (["analyze", "grad-can", "shapes-resnet20"], "unknown analyzer 'grad-can'"),
    "analyze into a file": (["analyze", "cam", "shapes-resnet20", "--out", "file"], "file is a file, not"),
    "analyze on a device": (["analyze", "cam", "shapes-resnet20", "--device", "gpu"], "no device 'gpu'"),
}
SCRIPT = """
import json, sys
from zoo.cli import run
code = run(sys.argv[1:])
print(json.dumps([code, "torch" in sys.modules]))
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    for name in ("taken/checkpoint.safetensors", "foreign/model.safetensors", "used/config.toml", "file"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found_before_torch_is_imported(desk: Path, words: list[str], message: str) -> None:
    with (desk / "used/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = [sys.executable, "-c", SCRIPT, *words]
        done = subprocess.run(started, cwd=desk, capture_output=True, text=True, check=False)
    assert message in done.stderr
    code, torch = json.loads(done.stdout.splitlines()[-1])
    assert code in (1, 2)
    assert not torch
    assert not done.stderr.startswith(("training", "resuming")), done.stderr
    assert not (desk / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lstm", "files", "--data", "paths=nope", "--model", "hiden_size=3"], "'hiden_size'; did you mean"),
        (["lstm", "files", "--data", "paths=nope", "--data", "lowr=true"], "'lowr'; did you mean 'lower'?"),
        (["convnet-bn", "folder", "--data", "root=used", "--data", "sise=8"], "'sise'; did you mean 'size'?"),
    ],
)
def test_an_unknown_option_is_found_before_the_data_is_opened(
    desk: Path, words: list[str], message: str
) -> None:
    started = [sys.executable, "-c", SCRIPT, "train", *words]
    done = subprocess.run(started, cwd=desk, capture_output=True, text=True, check=False)
    assert message in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])[0] in (1, 2)
    assert not (desk / "runs").exists()
