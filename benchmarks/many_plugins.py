"""`zoo list` beside 50 more plugins of 20 entries, completion of a name, and the kit on a new plugin.

    python benchmarks/many_plugins.py

Whole processes, in turn. Asked are at most 2 times a `zoo list` of the first-party plugins alone, at most 1.5
times `zoo list`, and at most 20 s.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 31
PLUGINS, ENTRIES = 50, 20
MODULE = """
from tests.configs import configured
from zoo import ArchitectureSpec, hookimpl

api = 1


@hookimpl
def zoo_architectures():
    return [
        ArchitectureSpec(
            name=f"net{{number}}-of-{name}",
            target="{name}.nets:Net",
            task="classification",
            summary="One of many networks, described as in a plugin of its own",
            config={{"depth": number}},
            training={{"epochs": 10, "lr": 3e-3, "batch_size": 128, "augment": ["crop", "flip"]}},
            landmarks={{"features": "stages", "head": "out"}},
        )
        for number in range({entries})
    ]
"""
PROBE = """
import sys
from zoo.cli import run
run(["list"])
print([name for name in ("torch", "numpy", "matplotlib", "rich") if name in sys.modules], file=sys.stderr)
"""


def main() -> None:
    zoo = str(Path(sys.executable).with_name("zoo"))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        places = [_distribution(home, f"many{number:02}") for number in range(PLUGINS)]
        many = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
        completing = {"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": "zoo show con", "COMP_CWORD": "2"}
        listed = subprocess.run([zoo, "list"], env=many, capture_output=True, text=True, check=True).stdout
        assert listed.count("-of-many") == PLUGINS * ENTRIES
        ratios = _ratios(
            {
                "zoo list": ([zoo, "list"], dict(os.environ)),
                f"with {PLUGINS} more plugins": ([zoo, "list"], many),
                "completion of a name": ([zoo], os.environ | completing),
            }
        )
        for name, ratio in ratios.items():
            print(f"{name:24} {ratio} times zoo list")
        probe = subprocess.run(
            [sys.executable, "-c", PROBE], env=many, capture_output=True, text=True, check=True
        )
        print(f"heavy modules imported: {probe.stderr.strip()}")
        print(f"the kit on a new architecture: {_kit(zoo, home):.1f} s")


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


def _distribution(home: Path, name: str) -> Path:
    """Write an installed distribution with one plugin; return its folder."""
    place = home / f"site-{name}"
    info = place / f"zoo_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[zoo]\n{name} = zoo_{name}\n")
    (place / f"zoo_{name}.py").write_text(MODULE.format(name=name, entries=ENTRIES))
    return place


if __name__ == "__main__":
    main()
