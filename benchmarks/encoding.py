"""Speed and peak memory of `text/files` on a text of 1 GB, encoded and trained on, then opened again.

The text is tinyshakespeare again and again, with a number before each copy so that no two are equal. Memory
is the peak resident size of a process that encodes and trains, less that of one that only imports torch.

    python benchmarks/encoding.py [--megabytes 1000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PEAK = "import resource; print('peak memory in kB:', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
BARE = f"import torch; {PEAK}"
WORK = f"""
import sys, time
from zoo import Registry
from zoo.data.opening import open_dataset
from zoo.interfaces import make_task
from zoo.models.building import build_model
from zoo.training.step import train_step
from zoo.training.state import TrainState
registry = Registry.discover()
start = time.perf_counter()
data = open_dataset(registry.dataset("files"), {{"paths": sys.argv[1]}})
print("seconds to open:", time.perf_counter() - start, flush=True)
config = Registry.discover().default_config("language-modeling")
config = config.replace({{"batch_size": 64, "precision": "fp32"}})
model = build_model(registry.architecture("lstm"), {{**data.dims, "hidden_size": 128}}, seed=0)
state = TrainState.begin(model, config, precision="fp32", device="cpu")
task = make_task(registry, "language-modeling")
for batch in task.train_batches(data, config, seed=0, epoch=0):
    train_step(state, task, batch, config, 1e-3)
    if batch.index == 300:
        break
print("batches trained:", batch.index, "of", batch.total)
{PEAK}
"""


def write_text(path: Path, source: Path, megabytes: int) -> None:
    """Write a text of this size that consists of numbered copies of another."""
    text = source.read_text(encoding="utf-8")
    with path.open("w", encoding="utf-8") as file:
        copy = 0
        while file.tell() < megabytes * 1_000_000:
            file.write(f"{copy}\n{text}")
            copy += 1


def run(code: str, *arguments: str, cache: str) -> str:
    """Run Python code in a process of its own, and return what it prints."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "ZOO_CACHE": cache}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure encoding a long text.")
    parser.add_argument("--megabytes", type=int, default=1000)
    megabytes = parser.parse_args().megabytes
    source = Path(os.environ.get("ZOO_DATA", ".")) / "tinyshakespeare.txt"
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "long.txt"
        write_text(text, source, megabytes)
        bare = int(run(BARE, cache=folder).split()[-1]) * 1024
        size = text.stat().st_size / 1e6
        for time in ("the first time", "again"):
            out = run(WORK, str(text), cache=folder)
            seconds = float(out.splitlines()[0].split()[-1])
            peak = int(out.split()[-1]) * 1024 - bare
            print(out.strip().replace("\n", ", "))
            print(f"{size:,.0f} MB opened {time} in {seconds:.2f} s, {size / seconds:,.0f} MB/s")
            print(f"  peak memory {peak / 1e6:.0f} MB more than importing torch")


if __name__ == "__main__":
    main()
