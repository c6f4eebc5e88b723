"""`zoo list` beside 50 more plugins of 20 entries of all kinds, completion, and the kit on a new plugin.

    python benchmarks/many_plugins.py
    python benchmarks/many_plugins.py --quick    # without the kit

Whole processes, in turn: beside a `zoo list` of the first-party plugins alone, beside `zoo list`, and in
seconds. The time of loading 20,000 entries of 50 plugins is that of the processor, which depends less on the
machine's load.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 31
PLUGINS, ENTRIES, MOST = 50, 20, 20_000
MODULE = """
from dataclasses import dataclass

from zoo import AnalyzerSpec, ArchitectureSpec, CommandSpec, DatasetSpec, FieldsSpec, Recipe, TaskSpec
from zoo import WeightsSpec, hookimpl

api = 1
TASK = "classification"
SUMMARY = "One of many, described as in a plugin of its own"


@hookimpl
def zoo_architectures():
    return [
        ArchitectureSpec(
            name=f"net{{number}}-of-{name}",
            target="{name}.nets:Net",
            task=TASK,
            summary=SUMMARY,
            config={{"depth": number}},
            training={{"epochs": 10, "lr": 3e-3, "batch_size": 128, "augment": ["crop", "flip"]}},
            landmarks={{"features": "stages", "head": "out"}},
        )
        for number in range({most})
    ]


@dataclass(frozen=True)
class Fields:
    field_of_{name}: float = 0.0


@hookimpl
def zoo_training_options():
    return [FieldsSpec(name="group-of-{name}", summary=SUMMARY, fields=Fields)]


@hookimpl
def zoo_tasks():
    return [
        TaskSpec(
            name="task-of-{name}",
            target="{name}.tasks:Task",
            summary=SUMMARY,
            dims={{"size": 8}},
            groups=("group-of-{name}",),
            processor="zoo_images.processors:ClassProcessor",
            tiny="{name}.tiny:Tiny",
        )
    ]


@hookimpl
def zoo_commands():
    return [CommandSpec(name="do-{name}", target="{name}.do:command", summary=SUMMARY)]


@hookimpl
def zoo_datasets():
    return [
        DatasetSpec(name=f"data{{number}}-of-{name}", target="{name}.data:Data", task=TASK, summary=SUMMARY)
        for number in range({each})
    ]


@hookimpl
def zoo_analyzers():
    return [
        AnalyzerSpec(name=f"view{{number}}-of-{name}", target="{name}.v:View", tasks=(TASK,), summary=SUMMARY)
        for number in range({each})
    ]


@hookimpl
def zoo_recipes():
    return {{
        f"recipe{{number}}-of-{name}": Recipe(
            summary=SUMMARY,
            architecture=f"net{{number}}-of-{name}",
            dataset=f"data{{number}}-of-{name}",
            model={{"width": 32}},
            train={{"epochs": 20, "lr": 1e-3, "batch_size": 64, "augment": ["flip"]}},
        )
        for number in range({each})
    }}


@hookimpl
def zoo_weights():
    return {{
        f"weights{{number}}-of-{name}": WeightsSpec(
            recipe=f"recipe{{number}}-of-{name}",
            url=f"https://example.org/{name}/{{number}}.safetensors",
            sha256="0123456789abcdef" * 4,
            bytes=1_000_000,
            params=250_000,
            metrics={{"test": {{"accuracy": 0.9, "loss": 0.3}}}},
            license="MIT",
        )
        for number in range({each})
    }}
"""
PROBE = """
import sys
from zoo.cli import run
run(["list"])
print([name for name in ("torch", "numpy", "matplotlib", "rich") if name in sys.modules], file=sys.stderr)
"""


LOAD = """
import sys, time
from zoo.registry.catalog import Catalog
start = time.process_time()
from zoo.registry.registry import Registry
registry = Registry.discover(Catalog())
seconds = time.process_time() - start
listed = len(registry.entries()) + len(registry.recipes) + len(registry.weights)
print(seconds, listed, "torch" in sys.modules)
"""


def main() -> None:
    zoo = str(Path(sys.executable).with_name("zoo"))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        many = _environment(home / "twenty", ENTRIES)
        completing = {"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": "zoo show con", "COMP_CWORD": "2"}
        listed = subprocess.run([zoo, "list"], env=many, capture_output=True, text=True, check=True).stdout
        assert sum(line.startswith("  many") for line in listed.splitlines()) == PLUGINS * ENTRIES
        ratios = _ratios(
            {
                "zoo list": ([zoo, "list"], dict(os.environ)),
                f"with {PLUGINS} more plugins": ([zoo, "list"], many),
                "zoo --help with them": ([zoo, "--help"], many),
                "completion of a name": ([zoo], os.environ | completing),
            }
        )
        for name, ratio in ratios.items():
            print(f"{name:24} {ratio} times zoo list")
        probe = subprocess.run(
            [sys.executable, "-c", PROBE], env=many, capture_output=True, text=True, check=True
        )
        print(f"heavy modules imported: {probe.stderr.strip()}")
        print(_loading(_environment(home / "thousands", MOST // PLUGINS)))
        if "--quick" not in sys.argv:
            print(f"the kit on a new architecture: {_kit(zoo, home):.1f} s")


def _loading(env: dict[str, str]) -> str:
    """Return the processor time for loading all entries of many plugins: the median, and the range."""
    times: list[float] = []
    for _ in range(10):
        command = [sys.executable, "-c", LOAD]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        seconds, count, torch = done.stdout.split()
        assert int(count) >= MOST
        times.append(float(seconds))
    spread = f"{statistics.median(times[1:]):.2f} s ({min(times[1:]):.2f} to {max(times[1:]):.2f})"
    return f"{count} entries loaded in {spread} of processor time; torch imported: {torch}"


def _environment(home: Path, entries: int) -> dict[str, str]:
    """Return an environment in which 50 plugins are installed."""
    for number in range(PLUGINS):
        install(home, f"many{number:02}", entries)
    compileall.compile_dir(home, quiet=1)  # as pip does
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")])}


def _ratios(commands: dict[str, tuple[list[str], dict[str, str]]]) -> dict[str, str]:
    """Return the time of each command as a multiple of the first one's: median, smallest and largest."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(ROUNDS):
        for name, (command, env) in commands.items():
            start = time.perf_counter()
            subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
            if round_:  # the first one warms the caches
                times[name].append(time.perf_counter() - start)
    base, *others = times
    result: dict[str, str] = {}
    for name in others:
        ratios = [a / b for a, b in zip(times[name], times[base], strict=True)]
        result[name] = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return result


def _kit(zoo: str, home: Path) -> float:
    """Create and install a plugin; return the seconds that checking it takes."""
    subprocess.run(
        [zoo, "new-plugin", "fresh", "--kind", "architecture", "--out", str(home)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    install = [sys.executable, "-m", "pip", "install", *offline, "--target", str(home / "site")]
    subprocess.run([*install, str(home / "zoo-fresh")], check=True)
    start = time.perf_counter()
    env = os.environ | {"PYTHONPATH": str(home / "site")}
    subprocess.run([zoo, "check", "fresh"], env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def install(place: Path, name: str, entries: int) -> None:
    """Install a distribution of one plugin in a folder: a task, a group, a command, the rest of each kind."""
    info = place / f"zoo_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[zoo]\n{name} = zoo_{name}\n")
    each = (entries - 3) // 5
    (place / f"zoo_{name}.py").write_text(MODULE.format(name=name, each=each, most=entries - 3 - 4 * each))


if __name__ == "__main__":
    main()
