"""Training in several processes: its speed, the cost of messages, and its agreement with one process."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import zoo
from benchmarks.measuring import ZOO, benchmark, child, chosen, in_turn, median_of, ratio_of, seconds
from benchmarks.rows import ROOT, Row
from tests.nightly.distributed.commands import STILL, torchrun, undropped
from tests.nightly.reliability import toys
from zoo.distributed.ranks import Ranks
from zoo.files.atomic import atomic_write
from zoo.models.memory import keep_freed_memory

LSTM = (
    "lstm files --model hidden_size=512 --model num_layers=2 --model embedding_dim=42 "
    "--batch-size 64 --bptt 16 --optimizer adam --lr 6e-3 --clip-grad-norm 1"
)
WIDE = (
    "resnet-lite-wide shapes --data train_size=2048 --data val_size=0 --data test_size=64 "
    "--batch-size 128 --optimizer sgd --lr 0.1"
)
# The words of a training, and the items of a batch
TRAININGS = {"lstm": (LSTM, 64 * 16), "resnet-lite-wide": (WIDE, 128)}
WAYS = {
    "two processes": "--processes 2 --threads 1",
    "two threads": "--threads 2",
    "one thread": "--threads 1",
    "BatchNorm of each part": "--processes 2 --threads 1 --no-sync-batch-norm",
}
# Processes and sizes of the batch for which a step is computed, and the short messages of a step
COUNTS, BATCHES, SHORT = (1, 2, 8, 64, 512), (1, 64), 5
AGREEING = (
    "lstm", "gru, windows", "min-gru", "awd-lstm, NT-ASGD", "lstm, EMA", "rnn, accumulated", "rnn-cell",
    "mlp, warmup", "convnet, patience", "resnet-lite", "convnet-bn, mixup", "resnet20, clipped", "airbench",
    "camnet, several labels, accumulated", "resnet-lite, accumulated, mixup, EMA",
    "lstm, bf16", "resnet-lite, bf16",  # the losses of one process are rounded by the parts of a batch, too
)  # fmt: skip
MOVES = ((2, 1), (1, 2), (2, 3), (3, 2))


@benchmark(minutes=10)
def processes(*names: str, rounds: int = 3) -> Iterator[Row]:
    """Speed of two processes, relative to threads; messages, checkpoints, and what more processes would take.

    A speed is that of the last of two epochs. A message is timed between processes that wait for each other
    first. What a step takes in more processes is computed as if each had a machine of its own: computing is
    divided, and messages go around a ring by gloo, in two hops for each of the others: that of the gradients,
    of which each process sends nearly twice their size, and five short ones. That is a bound: small parts of
    a batch are computed less well, processes wait for the slowest, and BatchNorm's messages are not in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen(names, TRAININGS):
            yield from _measured(name, rounds, Path(folder))


def _measured(name: str, rounds: int, folder: Path) -> Iterator[Row]:
    words, items = TRAININGS[name]
    if name == "lstm":
        texts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "zoo").rglob("*.py"))]
        (folder / "text.txt").write_text("".join(texts)[:200_000], encoding="utf-8")
        words += f" --data paths={folder}/text.txt"
    last = folder / name

    def rate(options: str) -> float:
        shutil.rmtree(last, ignore_errors=True)
        more = ["--epochs", "2", "--precision", "fp32", "--run", last, "--quiet"]
        child([ZOO, "train", *words.split(), *options.split(), *more])
        return json.loads((last / "metrics.jsonl").read_text().splitlines()[-1])["clock"]["rate"]

    ways = {way: lambda options=options: rate(options) for way, options in WAYS.items()}
    if name == "lstm":
        del ways["BatchNorm of each part"]
    rates = in_turn(ways, rounds, warmup=0)
    for way in [*ways][1:]:
        yield ratio_of(name, f"beside {way}", rates["two processes"], rates[way], "times as fast")
    params = zoo.load(last, progress=False).num_parameters
    message, empty = _message(params), _message(1)
    step = items / statistics.median(rates["two processes"])
    yield Row(name, "gradient message", 1_000 * message, "ms", 25)
    yield Row(name, "gradient message of a step", 100 * message / step, "% of a step", 25)
    yield _saved(name, last / "checkpoint.safetensors")
    for times in BATCHES:
        one = times * items / statistics.median(rates["one thread"])
        for count in [count for count in COUNTS if count <= 64 * times]:
            sent = 2 * 4 * params * (count - 1) / count
            ring = (1 + SHORT) * empty * (count - 1)
            adding = sent * max(0.0, message - empty) / (4 * params) + ring
            case = name if times == 1 else f"{name}, batches {times} times as large"
            yield Row(case, f"computation, {count}", 1_000 * one / count, "ms")
            yield Row(case, f"messages, {count}", 1_000 * adding, "ms")
            yield Row(case, f"speed, {count}", one / (one / count + adding), "times as fast")
            yield Row(case, f"sent, {count}", sent / 1e6, "MB")


def _saved(name: str, checkpoint: Path) -> Row:
    """Return the time in which the bytes of a checkpoint are written and reach the disk."""
    content = checkpoint.read_bytes()

    def save() -> None:
        with atomic_write(checkpoint.with_name("again")) as file:
            file.write(content)

    taken = [1_000 * seconds(save) for _ in range(5)]
    return median_of(name, f"saving {len(content) / 1e6:.0f} MB", taken, "ms")


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
        times.append(seconds(lambda: ranks.all_reduce(numbers)))
    if rank == 0:
        Path(folder, "seconds").write_text(str(statistics.median(times[5:])))
    dist.destroy_process_group()


@benchmark(minutes=15)
def agreement(*, processes: tuple[int, ...] = (2, 3)) -> Iterator[Row]:
    """Losses of two and three processes, relative to one process, and after a change of their number.

    Relative differences in fp32, beside what one more thread changes; and those of a validation loss after a
    stop and with another number of processes. Networks have no dropout, which each process draws for itself.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        place = Path(name)
        toys.lay_out(place)
        ways = {"one": (1, 1), "threads": (1, 2), **{str(count): (count, 1) for count in processes}}
        for who, (count, threads) in ways.items():
            words = [undropped(toy, f"{who}-{k}", threads=threads) for k, toy in enumerate(AGREEING)]
            done = torchrun(count, [*words, [*STILL, "--run", f"{who}-still"]], place)
            assert done.returncode == 0, done.stderr
        for number, toy in enumerate(AGREEING):
            for who in [*ways][1:]:
                first, *later = _differences(place, who, number)
                label = "one more thread" if who == "threads" else f"{who} processes"
                yield Row(toy, f"{label}, first step", first, "difference")
                yield Row(toy, f"{label}, later steps", max(later), "difference", len(later))
        still = {who: toys.rows(place / f"{who}-still" / "metrics.jsonl")[0]["val"] for who in ways}
        apart = sum(still[str(count)] != still["one"] for count in processes)
        yield Row("evaluations of images", "not bit-equal", apart, "wrong", len(processes))
        for before, after in MOVES:
            apart = _moved(place, before, after)
            yield Row(f"{before} to {after} processes", "validation loss", apart, "difference")


def _differences(place: Path, who: str, number: int) -> list[float]:
    """Return the relative difference of each step's loss from that of one process."""
    ours, one = (
        [row["loss"] for row in toys.rows(place / f"{each}-{number}" / "steps.jsonl")]
        for each in (who, "one")
    )
    return [abs(a / b - 1) for a, b in zip(ours, one, strict=True)]


def _moved(place: Path, before: int, after: int) -> float:
    """Stop an LSTM in some processes, finish it in others, and return how far its validation loss is off."""
    run = place / f"moved-{before}-{after}"
    command: Sequence[str] = [ZOO, *undropped("lstm", run.name), "--save-every", "1", "--processes"]
    going = subprocess.Popen([*command, f"{before}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (run / "checkpoint.previous.safetensors").exists():
        time.sleep(0.01)
    going.send_signal(signal.SIGTERM)
    assert going.wait() == 143, "it had ended already"
    child([*command, f"{after}"])
    moved, whole = (toys.rows(place / name / "metrics.jsonl")[-1]["val"] for name in (run.name, "one-0"))
    return abs(moved["loss"] - whole["loss"])
