"""The promise that nothing is ever unpickled, observed by Python's audit hooks."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.nightly.reliability import toys
from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.processes import start
from tests.nightly.reliability.runs import laid_out
from zoo.cli import run


def never_unpickled(folder: Path) -> Figure:
    """Run every command that reads or trains under an audit hook for `pickle.find_class`."""
    broken: list[str] = []
    model = "run/model.safetensors"
    commands = [
        ["list"],
        ["show", "lstm"],
        ["train", *toys.TOYS["lstm"], "--epochs", "1", "--run", "run"],
        ["train", *toys.TOYS["resnet-lite"], "--epochs", "1", "--run", "net"],
        ["eval", model],
        ["sample", model, "--prompt", "the ", "--max-new-tokens", "10"],
        ["inspect", model],
        ["eval", "net/model.safetensors", "--data", "root=images", "--data", "size=16"],
        ["analyze", "grad-cam", "net/model.safetensors", "images/dark/0.png", "--out", "maps"],
    ]
    with laid_out(folder):
        for number, command in enumerate(commands):
            child = start(folder / f"{number}.log", _count_events, str(folder), command)
            code = child.wait()
            if code != 0 or "events: 0" not in child.output:
                broken.append(f"zoo {' '.join(command)[:60]} ended with {code}: {child.output[-200:]}")
        shutil.rmtree(folder / "run")
    names = ", ".join(dict.fromkeys(command[0] for command in commands))
    return counted(
        f"`pickle.find_class` audit hook during {names}",
        len(commands),
        broken,
        "commands did not trigger the hook",
    )


def _count_events(folder: str, command: list[str]) -> None:
    events: list[str] = []
    sys.addaudithook(lambda event, _: events.append(event) if event == "pickle.find_class" else None)
    os.chdir(folder)
    code = run(command)
    print("events:", len(events), flush=True)
    sys.exit(code)
