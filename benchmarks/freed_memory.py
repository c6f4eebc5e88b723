"""What keeping freed memory gains: steps of networks in processes that keep it and that do not, in turn.

    python benchmarks/freed_memory.py [--rounds 5] [--threads 1]

A setting of glibc's that changes nothing, `GLIBC_TUNABLES=glibc.malloc.perturb=0`, makes zoo leave memory
alone. Of each way, the shortest step is printed, and the most memory that its process had.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from typing import Any

NAMES = ("resnet20", "resnet20 training", "resnet-lite-wide training", "lstm training", "awd-lstm training")
STEPS = 20


def step(name: str, threads: int) -> tuple[float, float]:
    """Return the shortest step of a network in seconds, and the most memory of this process in MiB."""
    import torch
    from torch.nn import functional as F

    from zoo import Registry
    from zoo.models.building import build_model, model_arguments

    torch.set_num_threads(threads)
    registry, (which, *trained) = Registry.discover(), name.split()
    entry = registry.architecture(which)
    text = entry.spec.task == "language-modeling"
    dims: Any = {"vocab_size": 100} if text else {"in_channels": 3, "image_size": 32, "num_classes": 10}
    sizes = {"hidden_size": 512, "num_layers": 2} if text else {}
    arguments = model_arguments(entry, registry.task(entry.spec.task), dims, sizes)
    model = build_model(entry, arguments, seed=0).train(bool(trained))
    inputs: Any = torch.zeros(32, 64, dtype=torch.int64) if text else torch.rand(64, 3, 32, 32)
    optimizer = torch.optim.Adam(model.parameters())

    def once() -> None:
        if not trained:
            with torch.inference_mode():
                model(inputs)
            return
        outputs = model(inputs, None)[0].flatten(0, 1) if text else model(inputs)
        F.cross_entropy(outputs, torch.zeros(len(outputs), dtype=torch.int64)).backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds: list[float] = []
    for _ in range(STEPS):
        start = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - start)
    return min(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(name: str, threads: int, **variables: str) -> tuple[float, float]:
    """Return what `step` does, in a process of its own."""
    run = [sys.executable, __file__, "--threads", str(threads), "--only", name]
    done = subprocess.run(run, env=os.environ | variables, capture_output=True, text=True, check=True)
    seconds, most = done.stdout.split()
    return float(seconds), float(most)


def main() -> None:
    """Compare the two ways for each network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=NAMES)
    asked = parser.parse_args()
    if asked.only:
        print(*step(asked.only, asked.threads))
        return
    for name in NAMES:
        kept: list[tuple[float, float]] = []
        given: list[tuple[float, float]] = []
        for _ in range(asked.rounds):
            kept.append(measured(name, asked.threads))
            given.append(measured(name, asked.threads, GLIBC_TUNABLES="glibc.malloc.perturb=0"))
        ours, theirs = (min(seconds for seconds, _ in way) * 1e3 for way in (kept, given))
        most, before = (max(memory for _, memory in way) for way in (kept, given))
        print(
            f"{name}: a step of {ours:.0f} ms with the memory kept, of {theirs:.0f} ms with it given back: ",
            end="",
        )
        print(f"{theirs / ours:.2f} x; at most {most:,.0f} and {before:,.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
