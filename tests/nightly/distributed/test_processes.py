"""Training in several processes learns what one process learns."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import zoo
from tests.nightly.distributed.commands import LSTM, STILL, command, stopped_by_sigterm, torchrun, undropped
from tests.nightly.reliability import toys
from zoo.cli import run
from zoo.errors import ZooWarning

pytestmark = pytest.mark.timeout(600)

NAMES = (
    "lstm",
    "awd-lstm, NT-ASGD",
    "min-gru",
    "resnet-lite",
    "convnet, patience",
    "airbench",
    "gru, windows",
    "mlp, warmup",
    "convnet-bn, mixup",
    "resnet20, clipped",
    "camnet, several labels, accumulated",
    "resnet-lite, accumulated, mixup, EMA",
)
EXACT = ("lstm", "awd-lstm, NT-ASGD", "min-gru", "gru, windows", "mlp, warmup")


FEW = ("awd-lstm, NT-ASGD", "resnet-lite", "camnet, several labels, accumulated")


def train_in_one(place: Path, names: Sequence[str]) -> None:
    """Train toys in this process, with one thread and with two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name in names:
            assert run(undropped(name, f"one-{name}")) == 0
            assert run(undropped(name, f"threads-{name}", threads=2)) == 0
        assert run([*STILL, "--run", "one-still"]) == 0


def changes(losses: list[float], of_one: list[float]) -> list[float]:
    """Return how far each loss lies from the one of one thread, relative to it."""
    return [abs(loss / one - 1) for loss, one in zip(losses, of_one, strict=True)]


@pytest.mark.parametrize(
    ("processes", "names"), [pytest.param(2, FEW, marks=pytest.mark.slow), (2, NAMES), (3, NAMES)]
)
def test_they_learn_what_one_process_learns(processes: int, names: Sequence[str], tmp_path: Path) -> None:
    toys.lay_out(tmp_path)
    train_in_one(tmp_path, names)
    commands = [undropped(name, f"{processes}-{name}") for name in names]
    done = torchrun(processes, [*commands, [*STILL, "--run", f"{processes}-still"]], tmp_path)
    assert done.returncode == 0, done.stderr
    for name in names:
        one, threads, several = (
            [row["loss"] for row in toys.rows(tmp_path / f"{who}-{name}/steps.jsonl")]
            for who in ("one", "threads", processes)
        )
        # What a network of convolutions makes of another rounding, by one more thread
        tolerance = 1e-6 if name in EXACT else max(3 * max(changes(threads, one)), 1e-6)
        first, *later = changes(several, one)
        assert first < 2e-6, name
        assert max(later) < tolerance, name
        one, several = (toys.rows(tmp_path / f"{who}-{name}/metrics.jsonl") for who in ("one", processes))
        for a, b in zip(several, one, strict=True):
            # a loss near 0 comes from logits that are not, and has their rounding
            assert a["val"]["loss"] == pytest.approx(b["val"]["loss"], rel=tolerance, abs=1e-7), name
            assert a["train"]["loss"] == pytest.approx(b["train"]["loss"], rel=tolerance, abs=1e-7), name
    one, several = (
        toys.rows(tmp_path / f"{who}-still/metrics.jsonl")[0]["val"] for who in ("one", processes)
    )
    assert several == one, "an evaluation of images is equal, bit for bit"


def test_a_last_batch_of_fewer_items_than_processes_counts_once(place: Path) -> None:
    """BatchNorm corrects the variance for the number of items: of the batch, not of all its copies."""
    words = [
        *("train", "convnet-bn", "shapes", "--data", "size=16", "--data", "train_size=18", "--epochs", "3"),
        *("--data", "val_size=0", "--data", "test_size=0", "--batch-size", "16", "--lr", "1e-12"),
        *("--threads", "1", "--precision", "fp32", "--device", "cpu", "--quiet", "--run"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert run([*words, "small-1"]) == 0
    done = torchrun(3, [[*words, "small-3"]], place)
    assert done.returncode == 0, done.stderr
    one, three = (load_file(place / f"small-{count}/model.safetensors") for count in (1, 3))
    for name, tensor in one.items():
        torch.testing.assert_close(three[name], tensor, rtol=1e-5, atol=1e-7, msg=name)


ODD = """
import torch
from torch import nn
from zoo import ArchitectureSpec, hookimpl

class Net(nn.Module):
    \"\"\"With another norm, or with a moving mean that it subtracts, or skipping the norm at random.\"\"\"

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, way: str = "skipping"):
        super().__init__()
        self.way = way
        self.features = nn.Conv2d(in_channels, 8, 3)
        self.norm = nn.BatchNorm2d(8, track_running_stats=way != "untracked")
        self.register_buffer("center", torch.zeros(8))
        self.out = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.features(x).relu()
        if self.way == "untracked" or self.way == "skipping" and torch.rand(()) < 0.5:
            x = self.norm(x)
        x = x.mean((2, 3))
        if self.way == "centered":
            if self.training:
                with torch.no_grad():
                    self.center.lerp_(x.mean(0), 0.5)
            x = x - self.center
        return self.out(x)

@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name="net", target="odd:Net", task="classification", summary="Odd")]
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a plugin whose network is `odd/net`."""
    (tmp_path / "odd.py").write_text(ODD)
    monkeypatch.setenv("ZOO_PLUGIN_FILES", str(tmp_path / "odd.py"))
    return tmp_path


def train_odd(way: str, directory: str, *more: str) -> list[str]:
    """Return the command that trains the network; both processes evaluate some of three batches."""
    sizes = ("size=16", "train_size=64", "val_size=1200", "test_size=0")
    data = [word for size in sizes for word in ("--data", size)]
    words = ("--epochs", "4", "--batch-size", "8", "--lr", "0.01", "--threads", "1", "--precision", "fp32")
    model = ("train", "odd/net", "shapes", "--model", f"way={way}")
    return [*model, *data, *words, "--device", "cpu", "--quiet", "--run", directory, *more]


def test_norms_without_running_statistics_evaluate_as_in_one_process(odd: Path) -> None:
    for processes in ("1", "2"):
        done = command(train_odd("untracked", processes, "--processes", processes), odd)
        assert done.returncode == 0, done.stderr
    one, two = (toys.rows(odd / f"{processes}/metrics.jsonl")[0]["val"] for processes in (1, 2))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)


def test_layers_that_are_skipped_at_random_abort_processes_that_wait_for_each_other(odd: Path) -> None:
    done = command(train_odd("skipping", "run", "--processes", "2"), odd)
    assert done.returncode == 1
    *_, last, hint = done.stderr.splitlines()
    assert last in [f"zoo: process {rank} of 2 was killed by signal 6" for rank in range(2)]
    assert "--no-sync-batch-norm" in hint
    apart = train_odd("skipping", "apart", "--processes", "2", "--no-sync-batch-norm", "--epochs", "1")
    assert command(apart, odd).returncode == 0


def test_a_buffer_that_a_model_changes_is_the_same_in_all_processes(odd: Path) -> None:
    """So what is reported is of the weights that are saved, and a resumed run has the same bits."""
    several = ("--processes", "2", "--save-every", "1")
    done = command(train_odd("centered", "whole", *several), odd)
    assert done.returncode == 0, done.stderr
    scored = command(["eval", "./whole/model.safetensors", "--split", "val", "--json"], odd)
    reported = toys.rows(odd / "whole/metrics.jsonl")[-1]["val"]
    assert json.loads(scored.stdout)["metrics"]["loss"] == pytest.approx(reported["loss"], rel=1e-6)
    stopped_by_sigterm(train_odd("centered", "stopped", *several), odd, "stopped")
    done = command(["resume", "stopped", "--processes", "2"], odd)
    assert done.returncode == 0, done.stderr
    assert toys.outcome(odd / "stopped") == toys.outcome(odd / "whole")


BROKEN = """
from torch import nn
from zoo import ArchitectureSpec, hookimpl

class Net(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int):
        super().__init__()
        print("built")
        self.out = nn.Linear(1, 1)

    def forward(self, x):
        raise ValueError("it is broken")

@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name="net", target="broken_net:Net", task="classification", summary="Broken")]
"""


@pytest.mark.parametrize("architecture", ["mlp", "broken-net/net"])
def test_they_end_as_one_process_does(tmp_path: Path, architecture: str) -> None:
    """In a folder with a file named like a module of Python, without stdout, and where a plugin fails."""
    (tmp_path / "random.py").write_text("raise SystemExit('code of the folder')")
    (tmp_path / "broken_net.py").write_text(BROKEN)
    words = [*STILL[:1], architecture, *STILL[2:], "--run", "run", "--processes", "2", "--json"]
    zoo = Path(sys.executable).with_name("zoo")
    done = subprocess.run(
        ["sh", "-c", f"exec {shlex.join([str(zoo), *words])} {'>&-' if architecture == 'mlp' else ''}"],
        cwd=tmp_path,
        env={**os.environ, "ZOO_PLUGIN_FILES": "broken_net.py"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "code of the folder" not in done.stderr
    if architecture == "mlp":
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "ValueError: it is broken"
    assert "built" in done.stderr


ON_ONE = """
import os
from torch import nn
from zoo import ArchitectureSpec, hookimpl

class Net(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int):
        super().__init__()
        self.out = nn.Linear(in_channels * image_size**2, num_classes)
        self.seen = 0

    def forward(self, x):
        self.seen += self.training
        if self.seen > 2 and os.environ["RANK"] == "1":
            raise ValueError("it is broken here")
        return self.out(x.flatten(1))

@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name="net", target="on_one:Net", task="classification", summary="Broken")]
"""


@pytest.mark.parametrize("launcher", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_error_in_one_process_stops_all_and_is_told(launcher: bool, tmp_path: Path) -> None:
    (tmp_path / "on_one.py").write_text(ON_ONE)
    words = ["train", "on-one/net", *STILL[2:], "--run", "run", "--save-every", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_PLUGIN_FILES", str(tmp_path / "on_one.py"))
        if launcher:
            done = torchrun(2, [[*words, "--json"]], tmp_path)
            assert json.loads(done.stdout)["error"] == "ValueError: it is broken here"
            return
        done = command([*words, "--processes", "2"], tmp_path)
    assert done.returncode == 1
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("zoo:")]
    assert said == "zoo: ValueError: it is broken here"
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run/checkpoint.safetensors").exists()


def test_a_process_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = ON_ONE.replace('raise ValueError("it is broken here")', "__import__('time').sleep(1000)")
    (tmp_path / "on_one.py").write_text(hanging)
    monkeypatch.setenv("ZOO_PLUGIN_FILES", str(tmp_path / "on_one.py"))
    monkeypatch.setenv("ZOO_PATIENCE", "3")
    done = command(["train", "on-one/net", *STILL[2:], "--run", "run", "--processes", "2"], tmp_path)
    assert done.returncode == 1
    (said,) = [line for line in done.stderr.splitlines() if line]
    assert said == "zoo: process 1 of 2 has not responded for 3 seconds"


def test_help_is_printed_once_below_torchrun(place: Path) -> None:
    assert torchrun(2, [["train", "--help"]], place).stdout.count("Usage: ") == 1


def test_a_loss_that_is_not_finite_stops_all_and_is_told_once(place: Path) -> None:
    words = [*undropped(LSTM, "diverged"), "--optimizer", "sgd", "--lr", "1e30", "--save-every", "1"]
    for done in (command([*words, "--processes", "2"], place), torchrun(2, [words], place)):
        assert done.stderr.count("zoo: ") == 1, done.stderr
        assert done.returncode in (3, 1), "torchrun has an exit code of its own"


PREPARES = """
import os
from pathlib import Path
from zoo import DatasetSpec, hookimpl
from zoo_images.tiny import TinyImages

def prepared():
    place = Path("prepared")
    if not place.exists():
        with open("who", "a") as file:
            file.write(os.environ["RANK"])
        place.touch()
    return TinyImages()

@hookimpl
def zoo_datasets():
    return [DatasetSpec(name="data", target="prepares:prepared", task="classification", summary="Tiny")]
"""


def test_one_process_of_a_machine_prepares_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGIN_FILES", str(tmp_path / "prepares.py"))
    (tmp_path / "prepares.py").write_text(PREPARES)
    words = "train mlp prepares/data --epochs 1 --run run --processes 3 --threads 1"
    done = command(words.split(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "who").read_text() == "0"


def test_nonsense_is_refused_once_in_words(place: Path) -> None:
    for more, words in (
        (["--processes", "0"], "--processes must be between 1 and 1,024 (got 0)"),
        (
            ["--processes", "3", "--batch-size", "2"],
            "--batch-size=2 must be at least the number of processes (3)",
        ),
        (["--processes", "2", "--model", "embedding_dim=x"], "embedding_dim must be an integer (got 'x')"),
    ):
        done = command([*toys.train(LSTM, "nonsense", "--threads", "1"), *more], place)
        assert done.returncode == 2
        assert done.stderr.count(words) == 1
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("more", "words", "patience"),
    [
        (["--bogus", "3"], "no such option: --bogus", ""),
        (["--device", "abacus"], "unknown device 'abacus'", ""),
        (["--model", "bogus=1"], "has no option 'bogus'", ""),
        (["--processes", "2"], "--processes must be 1 in a process that torchrun started (got 2)", ""),
        ([], "ZOO_PATIENCE must be a number of seconds", "long"),
    ],
)
def test_one_voice_refuses_below_torchrun(
    more: list[str], words: str, patience: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_PATIENCE", patience)
    done = torchrun(2, [[*STILL, "--run", "refused", *more]], place)
    assert done.returncode == 1
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("zoo:")]
    assert words in said


def test_what_they_warn_of_is_warned_of_in_python(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    told: list[list[str]] = []
    for processes in (1, 2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            zoo.train(
                "mlp",
                "shapes",
                data={"size": 16, "train_size": 64, "val_size": 10, "test_size": 0},
                epochs=1,
                lr=1e-30,
                threads=1,
                processes=processes,
                progress=False,
            )
        told.append([str(each.message) for each in caught if each.category is ZooWarning])
    assert told[0] == told[1]
    assert len(told[0]) == 3
    assert not capfd.readouterr().err


def test_processes_that_normalize_by_themselves_agree_on_their_statistics(place: Path) -> None:
    """Resuming gives each process the saved statistics, so it is bit-equal only if they were all the same."""
    words = [
        *("train", "convnet-bn", "shapes", "--data", "size=16", "--data", "train_size=64"),
        *("--data", "val_size=1200", "--data", "test_size=0", "--epochs", "2", "--batch-size", "8"),
        *("--lr", "0.05", "--threads", "1", "--precision", "fp32", "--device", "cpu", "--quiet", "--resume"),
    ]  # both evaluate some of three batches
    apart = [*words, "--no-sync-batch-norm", "--save-every", "1", "--run"]
    done = torchrun(2, [[*words, "--run", "synced"], [*apart, "whole"]], place)
    assert done.returncode == 0, done.stderr
    stopped_by_sigterm([*apart, "stopped", "--processes", "2"], place, "stopped")
    done = torchrun(2, [[*apart, "stopped"]], place)
    assert done.returncode == 0, done.stderr
    assert toys.outcome(place / "stopped") == toys.outcome(place / "whole")
    first, other = (toys.rows(place / name / "steps.jsonl")[0]["loss"] for name in ("whole", "synced"))
    assert first != other, "the statistics of a part are not those of the whole batch"
