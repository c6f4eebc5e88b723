"""The time of short commands, each a whole process: what is needed before a command answers."""

from __future__ import annotations

import json
import select
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import (
    ZOO,
    Child,
    benchmark,
    child,
    chosen,
    environment,
    in_turn,
    median_of,
    python,
    ratio_of,
)
from benchmarks.rows import Row

LEAST = "import click, pluggy; from importlib.metadata import entry_points; list(entry_points(group='zoo'))"
FIRST_LINES = {
    "list": ["list"],
    "show": ["show", "shapes-resnet20"],
    "plugins": ["plugins"],
    "inspect": ["inspect", "shapes-resnet20"],
    "train": ["train", "lstm", "stdlib", "--run", "new"],
    "lr-find": ["lr-find", "lstm", "stdlib"],
    "eval": ["eval", "shapes-resnet20"],
    "sample": ["sample", "./lstm"],
    "analyze": ["analyze", "cam", "shapes-resnet20", "--indices", "0"],
    "check": ["check", "cam"],
    "--help": ["--help"],
}
# Scripts that make the same passes as a command, with torch and the class of the model
SAMPLE = """
import json
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from zoo_charrnn.lstm import CharLSTM
with safe_open("lstm/model.safetensors", "pt") as file:
    card = json.loads(file.metadata()["zoo"])
model = CharLSTM(**card["arguments"])
model.load_state_dict(load_file("lstm/model.safetensors"))
model.eval()
with torch.inference_mode():
    logits, state = model(torch.zeros(1, 1, dtype=torch.long))
print(card["preprocess"]["vocabulary"][int(torch.multinomial(logits[-1].softmax(1), 1))])
"""
SHOW = """
import torch
from torch.utils.flop_counter import FlopCounterMode
from zoo_convnet.resnet import ResNet
with torch.device("meta"):
    model = ResNet(in_channels=3, image_size=32, num_classes=10, depth=20).eval()
    image = torch.zeros(1, 3, 32, 32)
with FlopCounterMode(display=False) as counter:
    model(image)
print(sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops())
"""
EVAL = """
import json
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional as F
from zoo_convnet.resnet_lite import ResNetLite
with safe_open("net/model.safetensors", "pt") as file:
    card = json.loads(file.metadata()["zoo"])
model = ResNetLite(**card["arguments"])
model.load_state_dict(load_file("net/model.safetensors"))
model.eval()
data = load_file("images.safetensors")
mean, std = (torch.tensor(card["preprocess"][name])[:, None, None] for name in ("mean", "std"))
with torch.inference_mode():
    logits = model((data["images"] / 255 - mean) / std)
    loss = F.cross_entropy(logits, data["labels"])
    accuracy = (logits.argmax(1) == data["labels"]).float().mean()
print(float(accuracy), float(loss))
"""
SCRIPTS = {
    "sample": (["sample", "lstm/model.safetensors", "--max-new-tokens", "1"], SAMPLE),
    "show": (["show", "resnet20"], SHOW),
    "eval": (["eval", "net/model.safetensors"], EVAL),
}
SIZES = ("train_size=32", "val_size=0", "test_size=10")
TEXT = ["lstm", "files", "--data", "paths=text.txt"]
NET = ["resnet-lite", "shapes", *(word for size in SIZES for word in ("--data", size))]
IMAGES = f"""
from safetensors.torch import save_file
import zoo
test = zoo.open_dataset("shapes", {", ".join(SIZES)}).split("test")
save_file({{"images": test.images.contiguous(), "labels": test.labels}}, "images.safetensors")
"""
MISTAKES = (
    "train nitzsche",
    "train lstm stdlob",
    "train lstm stdlib --epochs 0",
    "train lstm stdlib --mixup-alpha 0.2",
    "train lstm stdlib --model hiden_size=3",
    "train lstm stdlib --device gpu",
    "train lstm stdlib --device cuda:x",
    "train lstm stdlib --save-every often",
    "train lstm stdlib --processes 0",
    "train lstm stdlib --from runs/nope",
    "train lstm stdlib --run taken",
    "train convnet-bn folder",
    "train convnet-bn folder --data root=/nope",
    "train resnet20 cifar10 --data root=/nope",
    "resume runs/nope",
    "eval nope",
    "eval shapes-resnet20 --device gpu",
    "predict shapes-resnet20 x.png --device gpu",
    "analyze grad-can shapes-resnet20",
    "analyze cam shapes-resnet20 --device gpu",
)
RECIPES = ("cifar10-mlp", "cifar10-resnet-lite", "nietzsche-rnn", "stdlib-lstm", "shapes-from-cifar10")
# Functions whose calls are counted
COUNTED = {
    "configurations built": "zoo.config.train_config.TrainConfig.__post_init__",
    "methods checked": "zoo.registry.methods._checked",
    "names looked up": "zoo.registry.registry.Registry.find",
}
# Ends a training before its first step. Its arguments: whether to count calls, and the words of `zoo train`
FIRST_STEP = """
import collections, json, os, sys
counting, *words = sys.argv[1:]
from zoo.cli import run
import zoo.training.loop as loop
calls = collections.Counter()

def count(frame, event, argument):
    if event == "call" and str(frame.f_globals.get("__name__")).partition("_")[0].partition(".")[0] == "zoo":
        calls[f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}"] += 1

def end(*arguments, **options):
    sys.setprofile(None)
    print(json.dumps(calls), flush=True)
    os._exit(0)

loop.train_step = end
if counting == "yes":
    sys.setprofile(count)
run(["train", *words, "--quiet"])
"""


@benchmark(minutes=1)
def listing(*words: str, rounds: int = 40, against: str = "") -> Iterator[Row]:
    """Time of `zoo list`, relative to importing click and pluggy and reading the entry points.

    WORDS such as `show resnet20` time another command. `--against COMMAND` also times the zoo of another
    installation, such as `/other/bin/zoo`, in the same rounds.
    """
    name, words = f"zoo {' '.join(words or ['list'])}", words or ("list",)
    commands: dict[str, list[object]] = {name: [ZOO, *words], "the least": python(LEAST)}
    if against:
        commands["the other zoo"] = [*shlex.split(against), *words]
    times = in_turn({case: lambda one=one: child(one).seconds for case, one in commands.items()}, rounds)
    for case, taken in times.items():
        yield median_of(case, "time", taken, "s")
    for other in [*commands][1:]:
        yield ratio_of(name, f"beside {other}", times[name], times[other], "times as long")


@benchmark(minutes=3)
def first_line(*, rounds: int = 10) -> Iterator[Row]:
    """Time from the start of each command to its first line of output."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _trained(folder, "lstm", *TEXT, "--model", "hidden_size=16")
        ways = {
            command: lambda words=words: _first_line([ZOO, *words], folder)
            for command, words in FIRST_LINES.items()
        }
        times = in_turn(ways, rounds)
    for command, taken in times.items():
        yield median_of(f"zoo {command}", "time", taken, "s")
    yield Row("any command", "longest time", max(map(max, times.values())), "s", rounds * len(times))


def _trained(folder: Path, run: str, *words: str) -> None:
    """Train a small model in a folder, which then also has a text."""
    (folder / "text.txt").write_text("Thus spoke Zarathustra. " * 2_000, encoding="utf-8")
    child([ZOO, "train", *words, "--epochs", "1", "--device", "cpu", "--run", run], cwd=folder)


def _first_line(command: list[str], folder: Path) -> float:
    """Return the seconds until a command has printed a line, on stdout or stderr; end it then."""
    begun, pipe = time.perf_counter(), subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready, _, _ = select.select([process.stdout, process.stderr], [], [], 60)
        if not ready:
            sys.exit(f"{' '.join(command)} prints nothing")
        ready[-1].readline()
        taken = time.perf_counter() - begun
        process.kill()
    return taken


@benchmark(minutes=3)
def startup(*commands: str, rounds: int = 15) -> Iterator[Row]:
    """CPU time of `zoo sample`, `zoo show` and `zoo eval`, relative to bare scripts.

    The scripts make the same passes with torch and the class of the model: they load an LSTM and sample a
    character; build resnet20 on the meta device and count the FLOPs of an image; and load a small resnet-lite
    and ten images of shapes, and evaluate them.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _trained(folder, "lstm", *TEXT)
        _trained(folder, "net", *NET)
        child(python(IMAGES), cwd=folder)
        for command in chosen(commands, SCRIPTS):
            words, script = SCRIPTS[command]
            pair: dict[str, list[object]] = {"zoo": [ZOO, *words], "bare": python(script)}
            ways = {way: lambda one=one: child(one, cwd=folder).cpu for way, one in pair.items()}
            times = in_turn(ways, rounds)
            yield median_of(f"zoo {command}", "CPU time", times["zoo"], "s of CPU time")
            yield ratio_of(
                f"zoo {command}", "beside a bare script", times["zoo"], times["bare"], "times as long"
            )


@benchmark(minutes=3)
def mistakes(*, rounds: int = 3) -> Iterator[Row]:
    """CPU time until commands that name something wrong report the error."""
    medians: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "taken").mkdir()
        (folder / "taken" / "checkpoint.safetensors").touch()
        for words in MISTAKES:
            command = [ZOO, *words.split()]
            taken = [child(command, cwd=folder, codes=(1, 2)).cpu for _ in range(rounds)]
            medians.append(statistics.median(taken))
            yield median_of(f"zoo {words}", "CPU time", taken, "s of CPU time")
    yield Row("any mistake", "longest CPU time", max(medians), "s of CPU time", rounds * len(MISTAKES))


@benchmark(minutes=5, needs="CIFAR-10, Nietzsche")
def first_step(*recipes: str, rounds: int = 10, against: str = "") -> Iterator[Row]:
    """What zoo does before the first step of a training: configurations, checks, names, calls, and time.

    Calls are those of functions of zoo and its plugins, from the call of `zoo.train`; the time is that from
    the start of the process. Words of `zoo train` can take the place of a recipe, in quotes:
    `"resnet20 shapes --lr 0.1"`. `--against PYTHON` takes turns with another installation's Python.
    """
    pythons = {"": sys.executable}
    if against:  # the trainings have folders of their own
        pythons[", the other zoo"] = str(Path(against).absolute())
    for words in recipes or RECIPES:
        for other, interpreter in pythons.items():
            calls: dict[str, int] = json.loads(_to_first_step(interpreter, words, "yes").out)
            for what, function in COUNTED.items():
                yield Row(words + other, what, calls.get(function, 0))
            yield Row(words + other, "calls", sum(calls.values()))
        ways = {
            other: lambda one=one, words=words: _to_first_step(one, words).seconds
            for other, one in pythons.items()
        }
        times = in_turn(ways, rounds)
        for other, taken in times.items():
            yield median_of(words + other, "time", taken, "s")
        if against:
            both = [*times.values()]
            yield ratio_of(words, "beside the other zoo", both[0], both[1], "times as long")


def _to_first_step(interpreter: str, words: str, counting: str = "no") -> Child:
    """Run a training up to its first step, which prints the calls of each function."""
    with tempfile.TemporaryDirectory() as folder:
        command = [interpreter, "-c", FIRST_STEP, counting, *shlex.split(words), "--run", "run"]
        done = child(command, cwd=Path(folder))
    if not done.out.startswith("{"):
        sys.exit(f"zoo train {words} did not reach its first step\n{done.errors}")
    return done
