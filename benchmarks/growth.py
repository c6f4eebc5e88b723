"""`zoo list` of 10,000 and of 100,000 entries, and a registry.toml of 10,000 recipes and 10,000 weights.

    python benchmarks/growth.py

Whole processes, in turn; times are of the processor, user and system. Compared are:

- `zoo list` of 10,000 entries in 100 plugins, and of 100,000 in 1,000, with a process that imports zoo and
  the modules of the plugins, and calls nothing.
- `zoo list weights` with the registry.toml, beyond the same without it, with what the same data takes as
  JSON: the same command, with `json` in place of the TOML parser.
"""

from __future__ import annotations

import compileall
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import rtoml
from many_plugins import install

ROUNDS = 11
MANY = 10_000
IMPORTS = """
from importlib.metadata import entry_points
import zoo
for point in entry_points(group="zoo"):
    point.load()
"""
AS_JSON = """
import json
import rtoml
of_toml = rtoml.loads
rtoml.loads = lambda text: (json.loads if text.startswith("{") else of_toml)(text)
from zoo.cli import run
raise SystemExit(run(["list", "weights"]))
"""


def main() -> None:
    zoo = str(Path(sys.executable).with_name("zoo"))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        print(_catalog(home, zoo), flush=True)
        for plugins, rounds in ((100, ROUNDS), (1_000, 3)):
            env = _with_plugins(home / str(plugins), plugins)
            count = int(
                subprocess.run([zoo, "list"], env=env, capture_output=True, check=True).stdout.count(
                    b"-of-many"
                )
            )
            assert count >= 100 * plugins, count
            times = _in_turn(
                {"list": [zoo, "list"], "imports": [sys.executable, "-c", IMPORTS]}, home, env, rounds
            )
            ratio = statistics.median(a / b for a, b in zip(times["list"], times["imports"], strict=True))
            seconds = {name: statistics.median(each) for name, each in times.items()}
            print(
                f"{100 * plugins:7,} entries in {plugins:5,} plugins: zoo list {seconds['list']:.2f} s, "
                f"{ratio:.1f} times the imports ({seconds['imports']:.2f} s)",
                flush=True,
            )


def _catalog(home: Path, zoo: str) -> str:
    """Return what reading many recipes and weights takes, as TOML and as JSON."""
    data = _data()
    folders = {name: home / name for name in ("bare", "toml", "json")}
    for path in folders.values():
        path.mkdir()
    (folders["toml"] / "registry.toml").write_text(rtoml.dumps(data))
    (folders["json"] / "registry.toml").write_text(json.dumps(data))  # the name is what zoo looks for
    listing = [zoo, "list", "weights"]
    times: dict[str, list[float]] = {name: [] for name in folders}
    for _ in range(ROUNDS):
        for name, command in (
            ("bare", listing),
            ("toml", listing),
            ("json", [sys.executable, "-c", AS_JSON]),
        ):
            times[name].append(_seconds(command, folders[name], os.environ))
    beyond = [(t - b, j - b) for b, t, j in zip(*times.values(), strict=True)]
    ratio = statistics.median(toml / as_json for toml, as_json in beyond)
    toml, as_json = (statistics.median(each) for each in zip(*beyond, strict=True))
    return (
        f"{MANY:,} recipes and {MANY:,} weights beyond the bare command: as TOML {toml:.2f} s, "
        f"{ratio:.2f} times as JSON ({as_json:.2f} s)"
    )


def _data() -> dict[str, object]:
    train = {"epochs": 20, "lr": 0.1, "batch_size": 128, "augment": ["crop", "flip"]}
    recipes = {
        f"recipe{number}": {
            "summary": f"Number {number}",
            "architecture": "convnet/resnet20",
            "dataset": "images/cifar10",
            "model": {"width": 16},
            "train": train,
        }
        for number in range(MANY)
    }
    weights = {
        f"weights{number}": {
            "recipe": f"recipe{number}",
            "url": f"https://example.org/{number}.safetensors",
            "sha256": "0123456789abcdef" * 4,
            "bytes": 1_000_000,
            "params": 270_000,
            "metrics": {"test": {"accuracy": 0.91, "loss": 0.3}},
            "license": "MIT",
        }
        for number in range(MANY)
    }
    return {"schema": 1, "recipes": recipes, "weights": weights}


def _with_plugins(place: Path, count: int) -> dict[str, str]:
    """Return an environment in which so many plugins of 100 entries are installed."""
    for number in range(count):
        install(place, f"many{number:04}", 100)
    compileall.compile_dir(place, quiet=1)  # as pip does
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])}


def _in_turn(
    commands: Mapping[str, Sequence[str]], cwd: Path, env: Mapping[str, str], rounds: int
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(_seconds(command, cwd, env))
    return times


def _seconds(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> float:
    """Return the processor time of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
