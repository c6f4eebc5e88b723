"""Time from the start of each command's process to its first line, on stderr or stdout, the commands in turn.

    python benchmarks/first_line.py [--rounds 10]

A command is ended once its first line has come. The runs and weights that commands need are made first.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "list": ["list"],
    "show": ["show", "shapes-resnet20"],
    "plugins": ["plugins"],
    "inspect": ["inspect", "shapes-resnet20"],
    "train": ["train", "lstm", "stdlib", "--run", "new"],
    "lr-find": ["lr-find", "lstm", "stdlib"],
    "eval": ["eval", "shapes-resnet20"],
    "sample": ["sample", "./text"],
    "analyze": ["analyze", "cam", "shapes-resnet20", "--indices", "0"],
    "check": ["check", "cam"],
    "--help": ["--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the first line of each command.")
    parser.add_argument("--rounds", type=int, default=10, help="Number of times to run each command.")
    options = parser.parse_args()
    zoo = str(Path(sys.executable).with_name("zoo"))
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    lines: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare(zoo, folder)
        for round_ in range(options.rounds + 1):
            for name, arguments in COMMANDS.items():
                seconds, lines[name] = first_line([zoo, *arguments], folder)
                if round_:  # the first one warms the caches
                    times[name].append(seconds)
    print(f"{'COMMAND':9}  MEDIAN  LONGEST  FIRST LINE ({options.rounds} rounds)")
    for name, seconds in times.items():
        print(f"{name:9}  {statistics.median(seconds):4.2f} s   {max(seconds):4.2f} s  {lines[name][:60]}")


def prepare(zoo: str, folder: str) -> None:
    """Train a small language model to sample from."""
    Path(folder, "text.txt").write_text("Thus spoke Zarathustra. " * 2_000, encoding="utf-8")
    command = ["train", "lstm", "files", "--data", "paths=text.txt", "--model", "hidden_size=16"]
    done = subprocess.run(
        [zoo, *command, "--run", "text"],
        cwd=folder,
        env=environment(folder),
        check=False,
        capture_output=True,
    )
    if done.returncode:
        sys.exit(done.stderr.decode())


def environment(folder: str) -> dict[str, str]:
    """Return the environment of a command that downloads nothing and keeps its bytecode in the folder."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"ZOO_OFFLINE": "1", "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}


def first_line(command: list[str], folder: str) -> tuple[float, str]:
    """Return the seconds until a command has printed a line, and that line; end it then."""
    begun = time.perf_counter()
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready, _, _ = select.select([process.stdout, process.stderr], [], [], 60)
        line = ready[-1].readline()
        seconds = time.perf_counter() - begun
        process.kill()
    return seconds, line.decode().strip()


if __name__ == "__main__":
    main()
