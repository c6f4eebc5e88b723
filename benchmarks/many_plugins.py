"""`zoo list` with 50 more plugins of 20 entries each, completing a name, and the kit on a new plugin.

Whole processes, measured in turn. What is asked: at most 2 times `zoo list` with the first-party plugins, at
most 1.5 times `zoo list`, and at most 20 s.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 31
PLUGINS, ENTRIES = 50, 20
MODULE = """
from zoo import ArchitectureSpec, Recipe, hookimpl

api = 1


@hookimpl
def zoo_architectures():
    return [
        ArchitectureSpec(
            name=f"net{{number}}-of-{name}",
            target="{name}.nets:Net",
            task="classification",
            summary="One of many networks, as a plugin of its own would describe it",
            config={{"depth": number}},
            recipe=Recipe(epochs=10, lr=3e-3, batch_size=128, augment=("crop", "flip")),
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
    zoo = shutil.which("zoo", path=str(Path(sys.executable).parent))
    assert zoo is not None, "install zoo beside this Python first"
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
                f"with {PLUGINS} plugins more": ([zoo, "list"], many),
                "completing a name": ([zoo], os.environ | completing),
            }
        )
        for name, ratio in ratios.items():
            print(f"{name:24} {ratio:.2f} times zoo list")
        probe = subprocess.run(
            [sys.executable, "-c", PROBE], env=many, capture_output=True, text=True, check=True
        )
        print(f"heavy modules imported: {probe.stderr.strip()}")
        print(f"the kit on a new architecture: {_kit(zoo, home):.1f} s")


def _ratios(commands: dict[str, tuple[list[str], dict[str, str]]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(ROUNDS):
        for name, (command, env) in commands.items():
            start = time.perf_counter()
            subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
            if round_:  # the first one warms the caches
                times[name].append(time.perf_counter() - start)
    base, *others = times
    return {
        name: statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))
        for name in others
    }


def _kit(zoo: str, home: Path) -> float:
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
    place = home / f"site-{name}"
    info = place / f"zoo_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[zoo]\n{name} = zoo_{name}\n")
    (place / f"zoo_{name}.py").write_text(MODULE.format(name=name, entries=ENTRIES))
    return place


if __name__ == "__main__":
    main()
