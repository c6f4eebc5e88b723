"""The whole contract kit on small plugins, as `zoo new-plugin` writes them, beside a plugin without entries.

    python benchmarks/kit.py

Whole processes, in turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EMPTY = "from zoo import hookimpl\n\n\n@hookimpl\ndef zoo_datasets():\n    return []\n"
KINDS = (
    ("architecture", "classification"),
    ("architecture", "language-modeling"),
    ("dataset", "classification"),
    ("analyzer", "classification"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the contract kit.")
    parser.add_argument("--rounds", type=int, default=3, help="Times that each plugin is checked.")
    rounds = parser.parse_args().rounds
    zoo = str(Path(sys.executable).with_name("zoo"))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        places = {"a plugin without entries": _empty(home)}
        for kind, task in KINDS:
            places[f"{kind}, {task}"] = _new(zoo, home, kind, task)
        seconds: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(rounds):
            for name, place in places.items():
                seconds[name].append(_check(zoo, place))
    base = statistics.median(seconds["a plugin without entries"])
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        print(f"{name:34}  {middle:5.1f} s  {middle / base:5.1f} times a plugin without entries")


def _check(zoo: str, place: Path) -> float:
    """Return the seconds that checking the plugin in a folder takes."""
    start = time.perf_counter()
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([zoo, "check", place.name], env=env, capture_output=True, text=True, check=False)
    if " 0 failed" not in done.stdout:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - start


def _empty(home: Path) -> Path:
    (home / "empty").mkdir()
    (home / "empty" / "empty.py").write_text(EMPTY)
    _metadata(home / "empty", "empty", "empty")
    return home / "empty"


def _new(zoo: str, home: Path, kind: str, task: str) -> Path:
    """Create a plugin, and return the folder where it lies as if it were installed."""
    name = f"{kind}-{'text' if task == 'language-modeling' else 'images'}"
    command = [zoo, "new-plugin", name, "--kind", kind, "--task", task, "--out", str(home)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    place = (home / f"zoo-{name}").rename(home / name)
    _metadata(place, name, f"zoo_{name.replace('-', '_')}.plugin")
    return place


def _metadata(place: Path, name: str, module: str) -> None:
    info = place / f"zoo_{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[zoo]\n{name} = {module}\n")


if __name__ == "__main__":
    main()
