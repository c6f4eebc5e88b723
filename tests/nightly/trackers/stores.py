"""The stores of the four trackers, each in a folder of its own, read back by its own library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

Points = Counter[tuple[str, int]]
"""How often a store has each metric at each step."""


def settings(folder: Path) -> dict[str, str]:
    """Return the environment in which each library stores everything in a folder, offline."""
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "TRACKIO_DIR": str(folder / "trackio"),
        "WANDB_DIR": str(folder),
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
    }


def logged(run: Path) -> Points:
    """Return what a run has logged: the metrics of its steps and of its epochs."""
    points: Points = Counter()
    for line in (run / "steps.jsonl").read_text().splitlines():
        row = json.loads(line)
        points.update((name, row["step"]) for name in ("loss", "lr", "rate"))
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        points.update(
            (f"{split}/{name}", row["steps"])
            for split in ("train", "val", "test")
            for name in row.get(split, ())
        )
    return points


def stored(tracker: str, run: Path, folder: Path) -> Points:
    """Return what a tracker's store has of a run, as another process reads it, which imports the library."""
    arguments = [sys.executable, "-P", str(Path(__file__)), tracker, str(run), str(folder)]
    done = subprocess.run(
        arguments, env=os.environ | settings(folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Counter((name, step) for name, step in json.loads(done.stdout))


def _tensorboard(run: Path, folder: Path) -> Iterator[tuple[str, int]]:
    reading = import_module("tensorboard.backend.event_processing.event_accumulator")
    if not (run / "tensorboard").exists():
        return
    found = reading.EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    for name in found.Tags()["scalars"]:
        yield from ((name, event.step) for event in found.Scalars(name))


def _mlflow(run: Path, folder: Path) -> Iterator[tuple[str, int]]:
    client = import_module("mlflow").MlflowClient()
    for found in client.search_runs(["0"]):
        for name in found.data.metrics:
            for metric in client.get_metric_history(found.info.run_id, name):
                yield name, metric.step


def _trackio(run: Path, folder: Path) -> Iterator[tuple[str, int]]:
    storage = import_module("trackio.sqlite_storage").SQLiteStorage
    for found in import_module("trackio").Api().runs("zoo"):
        for row in storage.get_logs("zoo", found.name, run_id=found.id):
            yield from ((name, row["step"]) for name in row.keys() - {"step", "timestamp"})


def _wandb(run: Path, folder: Path) -> Iterator[tuple[str, int]]:
    record_type = import_module("wandb.proto.wandb_internal_pb2").Record
    for file in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        for content in _records(file.read_bytes()):
            record = record_type.FromString(content)
            if record.HasField("history"):
                names = [item.key or "/".join(item.nested_key) for item in record.history.item]
                yield from ((name, record.history.step.num) for name in names if not name.startswith("_"))


def _records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a W&B file, a LevelDB log: blocks of 32 KiB after a header of 7 bytes.

    The last record of a file that a killed process wrote may be incomplete.
    """
    place, parts = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # the rest of a block, too small for a record
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        part = content[place + 7 : place + 7 + length]
        if not kind or len(part) < length:
            return
        parts = part if kind in (1, 2) else parts + part
        if kind in (1, 4):
            yield parts
        place += 7 + length


READERS: dict[str, Callable[[Path, Path], Iterator[tuple[str, int]]]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "trackio": _trackio,
    "wandb": _wandb,
}

if __name__ == "__main__":
    name, *places = sys.argv[1:]
    points: list[Any] = [*READERS[name](*map(Path, places))]
    print(json.dumps(points))
