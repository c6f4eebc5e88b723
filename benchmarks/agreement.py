"""What several processes learn against what one process learns, at the same batch size.

    python benchmarks/agreement.py [--processes 2 3]

Printed are, in fp32, the differences of the losses of the first step, relative to those of one process; those
of later steps, beside what one more thread changes; whether the evaluation of images is equal, bit for bit;
and the difference of a validation loss after a stop and with another number of processes. Networks are small,
and have no dropout, which each process draws for itself.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.nightly.distributed.commands import STILL, torchrun, undropped
from tests.nightly.reliability import toys

NAMES = (
    *("lstm", "gru, windows", "min-gru", "awd-lstm, NT-ASGD", "lstm, EMA", "rnn, accumulated", "rnn-cell"),
    *(
        "mlp, warmup",
        "convnet, patience",
        "resnet-lite",
        "convnet-bn, mixup",
        "resnet20, clipped",
        "airbench",
    ),
    *("camnet, several labels, accumulated", "resnet-lite, accumulated, mixup, EMA"),
)
# Losses of one process in bf16 are rounded by the parts of a batch, too
ROUNDED = ("lstm, bf16", "resnet-lite, bf16")
MOVES = ((2, 1), (1, 2), (2, 3), (3, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare several processes with one.")
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 3])
    counts: list[int] = parser.parse_args().processes
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        place = Path(name)
        toys.lay_out(place)
        names = [*NAMES, *ROUNDED]
        for who, processes, threads in (("one", 1, 1), ("threads", 1, 2), *((f"{n}", n, 1) for n in counts)):
            words = [undropped(toy, f"{who}-{k}", threads=threads) for k, toy in enumerate(names)]
            done = torchrun(processes, [*words, [*STILL, "--run", f"{who}-still"]], place)
            assert done.returncode == 0, done.stderr
        print(f"{'':38}{'first step':>20}{'later':>20}{'one more thread':>18}")
        for number, toy in enumerate(names):
            first, later = zip(*(_apart(place, f"{n}", number) for n in counts), strict=True)
            thread = max(_apart(place, "threads", number))
            print(f"{toy:38}{_shown(first):>20}{_shown(later):>20}{thread:18.1e}")
        still = [toys.rows(place / f"{who}-still" / "metrics.jsonl")[0]["val"] for who in ("one", *counts)]
        print(
            "evaluations of images are", "equal" if still == still[:1] * len(still) else f"not equal: {still}"
        )
        for before, after in MOVES:
            print(
                f"resumed in {after} after {before}: validation loss {_moved(place, before, after):.1e} apart"
            )


def _losses(run: Path) -> list[float]:
    return [row["loss"] for row in toys.rows(run / "steps.jsonl")]


def _apart(place: Path, who: str, number: int) -> tuple[float, float]:
    """Return how far the first loss is from that of one process, and the largest distance of a later one."""
    pairs = zip(_losses(place / f"{who}-{number}"), _losses(place / f"one-{number}"), strict=True)
    first, *later = [abs(ours / one - 1) for ours, one in pairs]
    return first, max(later)


def _moved(place: Path, before: int, after: int) -> float:
    """Stop an LSTM in some processes, finish it in others, and return how far its validation loss is off."""
    run = place / f"moved-{before}-{after}"
    words = [*undropped("lstm", run.name), "--save-every", "1", "--processes"]
    command = [sys.executable, "-m", "zoo", *words]
    going = subprocess.Popen([*command, f"{before}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (run / "checkpoint.previous.safetensors").exists():
        time.sleep(0.01)
    going.send_signal(signal.SIGTERM)
    assert going.wait() == 143, "it had ended already"
    subprocess.run([*command, f"{after}"], check=True, capture_output=True)
    moved, whole = (toys.rows(place / name / "metrics.jsonl")[-1]["val"] for name in (run.name, "one-0"))
    return abs(moved["loss"] - whole["loss"])


def _shown(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1e}" for value in values)


if __name__ == "__main__":
    main()
