"""Several processes against threads: speed, what a message costs, and synchronized BatchNorm.

    python benchmarks/processes.py [lstm resnet-lite-wide] [--rounds 3]

Two idle cores are needed for

- two processes of one thread, against one process of two threads and one of one;
- adding up the gradients, as a share of a step;
- steps with BatchNorm of the whole batch, against those with that of each process's part.

Runs take turns, and a speed is that of the last of two epochs. The message is timed by itself, between
processes that wait for each other first: what a step waits for the slower one is no part of it.

What a step takes in more processes is computed from these, as if each had a machine of its own: computing is
divided, and messages go around a ring by gloo, in two hops for each of the others: that of the gradients, of
which each process sends nearly twice their size, and the five short ones of a step. It is computed for this
batch, and for one 64 times as large. That is a bound: small parts of a batch are computed less well, and
processes wait for the slowest; BatchNorm's messages are not in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import zoo
from zoo.distributed.ranks import Ranks
from zoo.files.atomic import atomic_write
from zoo.models.memory import keep_freed_memory

ROOT = Path(__file__).parents[1]
ZOO = [sys.executable, "-m", "zoo"]
LSTM = (
    "lstm",
    "files",
    "--model",
    "hidden_size=512",
    "--model",
    "num_layers=2",
    "--model",
    "embedding_dim=42",
)
LSTM += ("--batch-size", "64", "--bptt", "16", "--optimizer", "adam", "--lr", "6e-3", "--clip-grad-norm", "1")
WIDE = (
    "resnet-lite-wide",
    "shapes",
    "--data",
    "train_size=2048",
    "--data",
    "val_size=0",
    "--data",
    "test_size=64",
)
WIDE += ("--batch-size", "128", "--optimizer", "sgd", "--lr", "0.1")
# Numbers of the two networks' gradients, and the items of a batch
MODELS = {"lstm": (LSTM, 64 * 16), "resnet-lite-wide": (WIDE, 128)}
# Processes for which the time of a step is computed, sizes of its batch, in these, and its short messages
COUNTS, BATCHES, SHORT = (1, 2, 8, 64, 512), (1, 64), 5
# Processes, threads and further options of each
WAYS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "two processes": (2, 1, ()),
    "two threads": (1, 2, ()),
    "one thread": (1, 1, ()),
}
APART = (2, 1, ("--no-sync-batch-norm",))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure training in several processes.")
    parser.add_argument("models", nargs="*", default=[*MODELS])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            print(_measured(name, options.rounds, Path(folder)), flush=True)


def _text(folder: Path) -> Path:
    """Return a file of 200,000 characters: zoo's own code."""
    texts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "zoo").rglob("*.py"))]
    (folder / "text.txt").write_text("".join(texts)[:200_000], encoding="utf-8")
    return folder / "text.txt"


def _measured(name: str, rounds: int, folder: Path) -> str:
    """Return what was measured of a model, in lines."""
    words, items = MODELS[name]
    words += ("--data", f"paths={_text(folder)}") if name == "lstm" else ()
    ways = WAYS | ({"apart": APART} if name != "lstm" else {})
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, (processes, threads, more) in ways.items():
            place = folder / f"{name}-{number}-{way.replace(' ', '-')}"
            rates[way].append(_rate((*words, *more), place, processes, threads))
    params = zoo.load(folder / f"{name}-0-one-thread", progress=False).num_parameters
    step = items / statistics.median(rates["two processes"])
    message, empty = _message(params), _message(1)
    saved, seconds = _save(folder / f"{name}-0-one-thread" / "checkpoint.safetensors")
    lines = [
        f"{name}, {params:,} parameters, steps of {1000 * step:.0f} ms in two processes",
        f"  two processes of one thread against one of two threads {_ratio(rates, 'two threads')}",
        f"  against one of one thread {_ratio(rates, 'one thread')}",
        f"  adding up the gradients by gloo {1000 * message:.1f} ms, {100 * message / step:.1f}% of a step",
        f"  saving {saved / 1e6:.0f} MB {1000 * seconds:.0f} ms, by the first process alone",
    ]
    if "apart" in rates:
        lines.append(f"  with BatchNorm of each part {_ratio(rates, 'two processes', of='apart')} as fast")
    one = items / statistics.median(rates["one thread"])
    for times in BATCHES:
        lines.append(f"  computed for a batch {times} times as large" if times > 1 else "  computed")
        # A batch has 64 lanes of text, or 128 images
        lines += _computed(times * one, message, empty, params, most=64 * times)
    return "\n".join(lines)


def _computed(one: float, message: float, empty: float, params: int, *, most: int) -> list[str]:
    """Return a line about a step in more processes for each of COUNTS, of which there are at most `most`.

    Args:
        one: seconds of a step in one process of one thread.
        message: seconds in which two processes add up the gradients by gloo.
        empty: seconds in which they add up one number, two hops.
    """
    lines: list[str] = []
    for count in [count for count in COUNTS if count <= most]:
        sent = 2 * 4 * params * (count - 1) / count
        adding = sent * max(0.0, message - empty) / (4 * params) + (1 + SHORT) * empty * (count - 1)
        step = one / count + adding
        lines.append(
            f"  {count:3} processes: {1000 * one / count:.1f} ms + {1000 * adding:.1f} ms, "
            f"{one / step:.1f} x; each sends {sent / 1e6:.0f} MB"
        )
    return lines


def _ratio(rates: Mapping[str, Sequence[float]], against: str, of: str = "two processes") -> str:
    ratios = [ours / theirs for ours, theirs in zip(rates[of], rates[against], strict=True)]
    return f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"


def _save(checkpoint: Path) -> tuple[int, float]:
    """Return the bytes of a checkpoint, and the seconds in which they are written and reach the disk."""
    content, times = checkpoint.read_bytes(), list[float]()
    for _ in range(5):
        start = time.perf_counter()
        with atomic_write(checkpoint.with_name("again")) as file:
            file.write(content)
        times.append(time.perf_counter() - start)
    return len(content), statistics.median(times)


def _rate(words: Sequence[str], place: Path, processes: int, threads: int) -> float:
    """Train two epochs, and return the items of the second per second."""
    several = ["--processes", str(processes)] if processes > 1 else []
    command = [*ZOO, "train", *words, "--epochs", "2", "--threads", str(threads), *several]
    command += ["--precision", "fp32", "--run", str(place), "--quiet", "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    return rows[-1]["clock"]["rate"]


def _message(count: int) -> float:
    """Return the seconds in which two processes add up so many numbers."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_add_up, (count, folder), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
        return float(Path(folder, "seconds").read_text())


def _add_up(rank: int, count: int, folder: str) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()  # as a training does
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    ranks, numbers, times = Ranks(rank, 2), torch.ones(count), list[float]()
    ranks.begun()
    for _ in range(30):
        ranks.all_max(0)
        start = time.perf_counter()
        ranks.all_reduce(numbers)
        times.append(time.perf_counter() - start)
    if rank == 0:
        Path(folder, "seconds").write_text(str(statistics.median(times[5:])))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
