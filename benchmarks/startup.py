"""CPU time of short commands against bare scripts that make the same passes with torch and the model class.

    python benchmarks/startup.py [sample show eval] [--rounds 15]

Each is a whole process; its CPU time is the user and system time of all its threads. Command and script take
turns, and the result is the median ratio of a pair, with the smallest and the largest.
Compiled bytecode is kept in a temporary folder, as an installation keeps it.

- `zoo sample FILE --max-new-tokens 1` on an LSTM, against loading the file and one step.
- `zoo show resnet20`, against building it on the meta device and counting the FLOPs of one image.
- `zoo eval FILE` of a tiny resnet-lite on 10 images of shapes, against loading both and one forward pass.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

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
CASES = {
    "sample": (["sample", "lstm/model.safetensors", "--max-new-tokens", "1"], SAMPLE),
    "show": (["show", "resnet20"], SHOW),
    "eval": (["eval", "net/model.safetensors"], EVAL),
}
SIZES = ("train_size=32", "val_size=0", "test_size=10")
TRAININGS = {
    "lstm": ["lstm", "files", "--data", "paths=text.txt"],
    "net": ["resnet-lite", "shapes", *(word for size in SIZES for word in ("--data", size))],
}
IMAGES = f"""
import torch
from safetensors.torch import save_file
import zoo
test = zoo.open_dataset("shapes", {", ".join(SIZES)}).split("test")
save_file({{"images": test.images.contiguous(), "labels": test.labels}}, "images.safetensors")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time short commands against bare scripts.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="sample, show or eval; all by default")
    parser.add_argument("--rounds", type=int, default=15, help="Number of pairs.")
    options = parser.parse_args()
    zoo = str(Path(sys.executable).with_name("zoo"))
    with tempfile.TemporaryDirectory() as folder:
        prepare(zoo, folder)
        for name in options.cases or CASES:
            arguments, script = CASES[name]
            ours, bare = [zoo, *arguments], [sys.executable, "-c", script]
            pairs: list[tuple[float, float]] = []
            for round_ in range(options.rounds + 1):
                pair = (cpu_seconds(ours, folder), cpu_seconds(bare, folder))
                if round_:  # the first one warms the caches
                    pairs.append(pair)
            report(f"zoo {name}", pairs)


def prepare(zoo: str, folder: str) -> None:
    """Train the two models, and save the images that the bare script reads."""
    Path(folder, "text.txt").write_text("Thus spoke Zarathustra. " * 2_000, encoding="utf-8")
    for run, arguments in TRAININGS.items():
        start([zoo, "train", *arguments, "--epochs", "1", "--device", "cpu", "--run", run], folder)
    start([sys.executable, "-c", IMAGES], folder)


def cpu_seconds(command: list[str], folder: str) -> float:
    """Return the user and system time of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start(command, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start(command: list[str], folder: str) -> None:
    """Run a command in a folder that also keeps the compiled bytecode."""
    environment = os.environ | {"ZOO_OFFLINE": "1", "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


def report(name: str, pairs: list[tuple[float, float]]) -> None:
    """Print the medians and their ratio."""
    ratios = [ours / bare for ours, bare in pairs]
    ours, bare = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    print(
        f"{name:10}  {ours:.2f} s of CPU time, bare {bare:.2f} s, ratio {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}) over {len(ratios)} rounds",
        flush=True,
    )


if __name__ == "__main__":
    main()
