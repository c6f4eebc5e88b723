"""Promises about runs: killed, stopped, out of disk space, contended."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

import zoo.cli
import zoo.runs.lifecycle
from tests.nightly.reliability import small_disk, toys
from tests.nightly.reliability.faults import Disk, failing
from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.files import IDENTITY, epoch_row, warnings_as_errors
from tests.nightly.reliability.processes import Child, run_zoo, start, start_zoo
from zoo import Registry, TrainConfig
from zoo.console.reports import Progress
from zoo.errors import RunError
from zoo.runs.directory import RunDirectory
from zoo.training.host import Host
from zoo.training.readings import Readings
from zoo.training.state import TrainState
from zoo.training.step import update_weights

OFTEN = ("--save-every", "3")
"""A checkpoint every three steps."""


class Toy:
    """A toy in a folder, and the outcome of a run that nothing disturbs."""

    def __init__(self, folder: Path, name: str, *, epochs: int = 2) -> None:
        self.folder, self.name, self.epochs = folder, name, epochs
        begun = time.perf_counter()
        child = self.begin(f"{name}-whole")
        assert child.wait() == 0, child.output
        self.seconds = time.perf_counter() - begun
        self.expected = toys.outcome(folder / f"{name}-whole")

    def begin(self, run: str, *more: str) -> Child:
        """Start or resume it, saving every few steps."""
        log = self.folder / f"{run}.log"
        arguments = toys.train(self.name, run, *OFTEN, *more, epochs=self.epochs)
        return start_zoo(log, self.folder, arguments)

    def finish(self, run: str) -> str:
        """Resume a run until it is done; return what is wrong with it, or an empty string."""
        child = self.begin(run)
        code = child.wait()
        if code != 0:
            return f"{run} ended with {code}: {child.output[-300:]}"
        if toys.outcome(self.folder / run) != self.expected:
            return f"{run} is not bit-equal"
        if toys.leftovers(self.folder / run):
            return f"{run} left {toys.leftovers(self.folder / run)}"
        if "Traceback" in child.output:
            return f"{run} shows a traceback"
        shutil.rmtree(self.folder / run)
        child.log.unlink()
        return ""


@contextlib.contextmanager
def laid_out(folder: Path) -> Iterator[None]:
    """Write the toys' data to a folder, which also gets a cache of its own."""
    toys.lay_out(folder)
    before = os.environ.get("ZOO_CACHE")
    os.environ["ZOO_CACHE"] = str(folder / "cache")
    start(folder / "first.log", print).wait()  # the process that all are forked from takes seconds to start
    try:
        yield
    finally:
        os.environ.pop("ZOO_CACHE")
        if before is not None:
            os.environ["ZOO_CACHE"] = before


def killed(folder: Path, *, runs: int) -> Figure:
    """Kill each run at up to three random moments, then let it finish."""
    draw = random.Random(1)
    broken: list[str] = []
    kills = 0
    with laid_out(folder):
        for name, share in zip(toys.TOYS, _shares(runs, len(toys.TOYS)), strict=True):
            toy = Toy(folder, name)
            for number in range(share):
                run = f"{name}-{number}"
                for _ in range(draw.randint(1, 3)):
                    child = toy.begin(run)
                    time.sleep(draw.uniform(0, toy.seconds))
                    child.send(signal.SIGKILL)
                    kills += child.wait() == -signal.SIGKILL
                broken += filter(None, [toy.finish(run)])
    return counted(
        "rnn, lstm and resnet-lite killed by SIGKILL at random moments and resumed until they finish",
        runs,
        broken,
        "runs were bit-identical",
        f"{kills} kills",
    )


def _killed_and_finished(
    folder: Path, names: Collection[str], kills: int, draw: random.Random, *, epochs: int = 2
) -> tuple[int, list[str]]:
    """Kill runs of each toy at random moments, and let them finish; return the kills, and what differs."""
    killed_ones, broken = 0, list[str]()
    for name, share in zip(names, _shares(kills, len(names)), strict=True):
        toy, run = Toy(folder, name, epochs=epochs), f"{name}-killed"
        for _ in range(share):
            child = toy.begin(run)
            time.sleep(draw.uniform(0, toy.seconds))
            child.send(signal.SIGKILL)
            killed_ones += child.wait() == -signal.SIGKILL
            broken += filter(None, [toy.finish(run)])
    return killed_ones, broken


def combinations(folder: Path, *, kills: int, names: Sequence[str] = tuple(toys.COMBINATIONS)) -> Figure:
    """Kill a run of each combination of options at a random moment, and let it finish."""
    with laid_out(folder):
        for name in ("lstm", "resnet-lite"):  # whose weights some begin from
            Toy(folder, name)
        killed_ones, broken = _killed_and_finished(folder, names, kills, random.Random(5))
    return counted(
        f"{len(names)} combinations of models and options, killed at random moments and resumed",
        kills,
        broken,
        "runs were bit-identical",
        f"{killed_ones} kills",
    )


def shards(folder: Path, *, kills: int, images: int) -> Figure:
    """Kill runs on tar files at random moments, in one process and in two, and let them finish."""
    with laid_out(folder):
        toys.write_shards(folder / "shards", images)
        killed_ones, broken = _killed_and_finished(folder, toys.SHARDS, kills, random.Random(7), epochs=1)
    return counted(
        f"runs on {images:,} images in tar files, in one process and in two, killed at random moments",
        kills,
        broken,
        "runs were bit-identical",
        f"{killed_ones} kills",
    )


def phases(folder: Path, *, kills: int) -> Figure:
    """Kill a run right at or before named calls that change the disk, and again while it is restored."""
    draw = random.Random(6)
    broken: list[str] = []
    with laid_out(folder):
        toy = Toy(folder, "lstm")
        child = start(folder / "calls.log", _killed_at, str(folder), toy.name, "calls", 0)
        assert child.wait() == 0, child.output
        calls = child.output.partition("calls: ")[2].splitlines()[0].split("; ")
        shutil.rmtree(folder / "calls")
        places: dict[str, list[int]] = {}
        for number, call in enumerate(calls, 1):
            places.setdefault(call, []).append(number)
        order = draw.sample([*places], len(places))
        for number in range(kills):
            run, phase = f"phase-{number}", order[number % len(order)]
            for at in (draw.choice(places[phase]), draw.randint(1, 40)):  # the second while it is restored
                log = folder / f"{run}.log"
                child = start(log, _killed_at, str(folder), toy.name, run, at)
                code = child.wait()
                if code not in (0, -signal.SIGKILL):  # 0 if the restored run had less to do
                    broken.append(f"{run} ({phase}) ended with {code}: {child.output[-300:]}")
            wrong = toy.finish(run)
            broken += [f"{phase}: {wrong}"] if wrong else []
    return counted(
        "a run killed in a named phase of writing, killed again while it restores its state, and "
        "then resumed",
        kills,
        broken,
        "runs were bit-identical",
        f"{min(kills, len(order))} of {len(order)} phases were covered, such as `{order[0]}`",
    )


def _killed_at(folder: str, name: str, run: str, at: int) -> None:
    """Train a toy; the call number `at` that changes the disk does half of its work and kills the process."""
    disk = Disk(at, "kill")
    os.chdir(folder)
    sys.argv = ["zoo", *toys.train(name, run, *OFTEN)]
    with failing(disk):
        try:
            zoo.cli.main()
        finally:
            print("calls:", "; ".join(disk.calls), flush=True)


def every_step(folder: Path, *, toy_names: tuple[str, ...] = tuple(toys.TOYS), every: int = 1) -> Figure:
    """Stop a run of three epochs after each of its steps, and resume it in another process."""
    broken: list[str] = []
    tried = 0
    with laid_out(folder):
        for name in toy_names:
            toy = Toy(folder, name, epochs=3)
            steps = toy.expected["checkpoint"]["state"]["position"]["steps"]
            for step in range(1, steps, every):
                tried += 1
                run = f"{name}-step-{step}"
                child = start(folder / f"{run}.log", _stop_after, str(folder), toy.name, run, step, 3)
                code = child.wait()
                broken += [f"{run} ended with {code}: {child.output}"] if code != 130 else []
                broken += filter(None, [toy.finish(run)])
    return counted(
        "a 3-epoch run resumed after every step, each time in a new process",
        tried,
        broken,
        "resumed runs were bit-identical",
    )


def _stop_after(folder: str, name: str, run: str, step: int, epochs: int) -> None:
    """Train a toy as the command does, and ask it to stop after a step."""
    done = 0
    original = zoo.runs.lifecycle.fit

    def counting(*arguments: Any, host: Host, **named: Any) -> TrainState:
        def count(progress: Progress) -> None:
            nonlocal done
            done += progress.is_step
            host.report(progress)
            if progress.is_step and done == step:
                signal.raise_signal(signal.SIGINT)

        return original(*arguments, host=replace(host, report=count), **named)

    zoo.runs.lifecycle.fit = counting
    os.chdir(folder)
    sys.argv = ["zoo", *toys.train(name, run, epochs=epochs)]
    zoo.cli.main()


def stopped(folder: Path, *, moments: int, twice: int) -> Figure:
    """Send SIGTERM and SIGINT at random moments, some twice; check the exit code and what is left."""
    draw = random.Random(2)
    broken: list[str] = []
    slowest = 0.0
    cases = [(signal.SIGTERM, False), (signal.SIGINT, False)] * moments
    cases += [(signal.SIGINT, True), (signal.SIGTERM, True)] * twice
    with laid_out(folder):
        made = [Toy(folder, name) for name in toys.TOYS]
        for number, (which, again) in enumerate(cases):
            toy = made[number % len(made)]
            latest = toy.seconds
            for attempt in range(20):  # a run that ends before the signal is repeated, with an earlier one
                run = f"stop-{number}-{attempt}"
                child = toy.begin(run)
                child.begun()
                time.sleep(draw.uniform(0, latest))
                sent = time.perf_counter()
                child.send(which)
                if again:
                    time.sleep(draw.uniform(0, 0.05))
                    child.send(which)
                code = child.wait()
                if code != 0:
                    break
                latest *= 0.8
                shutil.rmtree(folder / run)
            slowest = max(slowest, time.perf_counter() - sent)
            right = code == 128 + which or (again and which == signal.SIGTERM and code == -which)
            if not right:
                broken.append(f"{run} ended with {code}: {child.output[-300:]}")
            elif "Traceback" in child.output:
                broken.append(f"{run} shows a traceback: {child.output[-600:]}")
            elif child.left_processes():
                broken.append(f"{run} left a process behind")
            broken += filter(None, [toy.finish(run)])
    if slowest > 5:
        broken.append(f"{slowest:.1f} s until saved")
    return counted(
        "SIGTERM and SIGINT at random moments: exit code 143 or 130, no remaining process, "
        "bit-identical after resuming",
        len(cases),
        broken,
        "stops passed",
        f"{twice * 2} of them with two signals; each process exited within {slowest:.2f} s",
    )


def saves(folder: Path, *, kills: int) -> Figure:
    """Kill a process that does nothing but save; read what it left."""
    draw = random.Random(3)
    broken: list[str] = []
    swept = 0
    for number in range(kills):
        path = folder / f"saves-{number}"
        child = start(folder / "saves.log", _save_on, str(path))
        while not (path / "checkpoint.previous.safetensors").exists():
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.15))
        child.send(signal.SIGKILL)
        child.wait()
        swept += len(toys.leftovers(path))
        try:
            state = _big_state()
            with warnings_as_errors(), RunDirectory(path, IDENTITY, resume=True) as store:
                store.restore(state, device="cpu")
            values = {float(value) for part in state.model.parameters() for value in part.detach().unique()}
            if values != {float(state.epoch)}:
                broken.append(f"{path.name} is torn: {values} at {state.epoch}")
            if toys.leftovers(path):
                broken.append(f"{path.name} left {toys.leftovers(path)}")
        except Exception as error:
            broken.append(f"{path.name}: {error}")
        shutil.rmtree(path)
    return counted(
        "a process killed while it repeatedly saves 4 MB",
        kills,
        broken,
        "times, the newest checkpoint was intact and all temporary files were removed",
        f"{swept} temporary files of killed processes were removed",
    )


def _big_state() -> TrainState:
    model = nn.Sequential(nn.Linear(700, 700, bias=False), nn.Linear(700, 700, bias=False))
    return TrainState.begin(model, TrainConfig(), precision="fp32", device="cpu")


def _save_on(path: str) -> None:
    state = _big_state()
    with RunDirectory(Path(path), IDENTITY, resume=True) as store, torch.no_grad():
        while state.epoch < 10_000:  # ends in any case
            state.epoch += 1
            for part in state.model.parameters():
                part.fill_(float(state.epoch))
            state.history = [epoch_row(number) for number in range(1, state.epoch + 1)]
            store.save(state)


def disk_full(folder: Path, *, levels: int) -> Figure:
    """Resume on a full disk: one error, the old checkpoint intact, and bit-equal once there is space again.

    The disk is a small tmpfs where a process may mount one; otherwise the size of each file is limited.
    """
    broken: list[str] = []
    refused = 0
    with laid_out(folder):
        toy = Toy(folder, "lstm")
        small_disks = small_disk.available(folder)
        for level in range(levels):
            run = f"disk-{level}"
            _stopped_early(toy, run)
            path = folder / run
            before = toys.steps(path)
            room = 3 * (path / "checkpoint.safetensors").stat().st_size * level // max(levels - 1, 1)
            target = _on_a_small_disk if small_disks else _limited
            child = start(folder / f"{run}.log", target, str(folder), toy.name, run, room)
            code, output = child.wait(), child.output
            if small_disks and (folder / f"{run}-after").exists():
                shutil.rmtree(path)
                (folder / f"{run}-after").rename(path)
            elif small_disks:
                broken.append(f"{run} left nothing: {output[-300:]}")
            refused += code != 0
            errors = [line for line in output.splitlines() if line.startswith("zoo:")]
            reason = "No space left on device" if small_disks else "File too large"
            if "Traceback" in output or code not in (0, 1) or (code == 1 and len(errors) != 1):
                broken.append(f"{run} ended with {code}: {output[-500:]}")
            elif code == 1 and (f"cannot be written: {reason}" not in output or "free" not in output):
                broken.append(f"{run}: {output[-300:]}")
            elif toys.steps(path) < before:
                broken.append(f"{run} lost its last checkpoint")
            broken += filter(None, [toy.finish(run)])
    return counted(
        "a disk that fills up (a small tmpfs), with increasing sizes"
        if small_disks
        else "files with a size limit (RLIMIT_FSIZE), with increasing limits",
        levels,
        broken,
        "sizes: at most one error, no lost checkpoint, bit-identical after resuming",
        f"the run failed for {refused} of them",
    )


def _stopped_early(toy: Toy, run: str) -> None:
    child = start(toy.folder / f"{run}-stop.log", _stop_after, str(toy.folder), toy.name, run, 8, 2)
    assert child.wait() == 130, child.output


def _on_a_small_disk(folder: str, name: str, run: str, room: int) -> None:
    place = Path(folder, run)
    held = sum(-(-path.stat().st_size // small_disk.PAGE) + 1 for path in (place, *place.iterdir()))
    small_disk.mount(place, held * small_disk.PAGE + room)
    try:
        run_zoo(folder, toys.train(name, run, *OFTEN))
    finally:
        shutil.copytree(place, f"{place}-after")  # other processes do not see the disk


def _limited(folder: str, name: str, run: str, room: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500 + room // 3, resource.RLIM_INFINITY))
    run_zoo(folder, toys.train(name, run, *OFTEN))


def not_finite(folder: Path, *, steps: int) -> Figure:
    """Put a NaN into the loss, a gradient or a weight; the run must end in that step and write none."""
    broken: list[str] = []
    with laid_out(folder):
        toy = Toy(folder, "lstm")
        for where in ("loss", "gradient", "weight"):
            for step in range(3, 3 + 3 * steps, 3):
                run = f"nan-{where}-{step}"
                child = start(folder / f"{run}.log", _poisoned, str(folder), toy.name, run, where, step)
                code, output = child.wait(), child.output
                if code != 3 or f"forward passes: {step}\n" not in output or "Traceback" in output:
                    broken.append(f"{run} ended with {code}: {output[-300:]}")
                if "learning rate" not in output:
                    broken.append(f"{run} names no learning rate: {output[-300:]}")
                broken += [
                    f"{path} holds a NaN"
                    for path in (folder / run).glob("*.safetensors")
                    if not all(part.isfinite().all() for part in safetensors.torch.load_file(path).values())
                ]
                broken += filter(None, [toy.finish(run)])
    return counted(
        "a NaN in the loss, a gradient or a weight",
        3 * steps,
        broken,
        "runs stopped at that step with exit code 3, wrote no NaN to a file, and were bit-identical "
        "when resumed without the NaN",
    )


def _poisoned(folder: str, name: str, run: str, where: str, step: int) -> None:
    original = zoo.runs.lifecycle.fit
    calls = 0

    def poisoning(model: nn.Module, *arguments: Any, **named: Any) -> TrainState:
        def before(module: nn.Module, inputs: Any) -> None:
            nonlocal calls
            calls += module.training
            if module.training and calls == step and where == "weight":
                with torch.no_grad():
                    next(module.parameters())[0] = float("nan")  # of <unk>, which no batch has

        def after(module: nn.Module, inputs: Any, output: Any) -> Any:
            if module.training and calls == step and where == "loss":
                return output[0] * float("nan"), *output[1:]
            return None

        def gradient(value: torch.Tensor) -> torch.Tensor:
            return value * float("nan") if calls == step and where == "gradient" else value

        model.register_forward_pre_hook(before)
        model.register_forward_hook(after)
        next(model.parameters()).register_hook(gradient)
        return original(model, *arguments, **named)

    zoo.runs.lifecycle.fit = poisoning
    os.chdir(folder)
    sys.argv = ["zoo", *toys.train(name, run, *OFTEN)]
    try:
        zoo.cli.main()
    finally:
        print("forward passes:", calls, flush=True)


def owners(folder: Path, *, rounds: int, processes: int = 8) -> Figure:
    """Start one run directory from several processes at once; kill the one that owns it, and start again."""
    broken: list[str] = []
    for number in range(rounds):
        path = folder / f"owned-{number}"
        go = folder / f"go-{number}"
        logs = [folder / f"owner-{number}-{rank}.log" for rank in range(processes)]
        children = [start(log, _own, str(path), str(go)) for log in logs]
        go.touch()
        deadline = time.monotonic() + 30
        while sum(not child.process.is_alive() for child in children) < processes - 1:
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        running = [child for child in children if child.process.is_alive()]
        pids = {child.pid for child in running}
        refused = [child for child in children if child not in running]
        for child in running:
            child.send(signal.SIGKILL)
        codes = [child.wait() for child in refused]
        for child in running:
            child.wait()
        if len(running) != 1 or codes != [1] * (processes - 1):
            broken.append(f"round {number}: {len(running)} own it, the others ended with {codes}")
        broken += [
            f"round {number}: {child.output}"
            for child in refused
            if not any(f"is in use by process {pid} on " in child.output for pid in pids)
        ]
        go.unlink()
        child = start(folder / f"heir-{number}.log", _own, str(path), "")
        if child.wait() != 0:
            broken.append(f"round {number}: the killed owner has no successor: {child.output}")
        shutil.rmtree(path)
        for log in (*logs, child.log):
            log.unlink()
    return counted(
        f"{processes} processes start a run in one directory",
        rounds,
        broken,
        f"times, one process trained, the other {processes - 1} reported an error with the ID of this "
        "process, and a new process could start after this process was killed",
    )


def _own(path: str, go: str) -> None:
    while go and not Path(go).exists():
        time.sleep(0.001)
    try:
        with RunDirectory(Path(path), IDENTITY, resume=True) as store:
            store.restore(_big_state(), device="cpu")
            if go:
                time.sleep(60)
    except RunError as error:
        print(error, flush=True)
        sys.exit(1)


def remade(folder: Path, *, rounds: int) -> Figure:
    """Delete, move or copy the directory of a run, or remove its lock, and start another owner in it."""
    draw = random.Random(4)
    broken: list[str] = []
    for number in range(rounds):
        path, how = folder / f"remade-{number}", ("deleted", "moved", "copied", "unlocked")[number % 4]
        first = start(folder / "first.log", _save_marked, str(path), "first")
        while "saved 2\n" not in first.output and first.process.is_alive():
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.03))
        _take_away(path, how)
        second = start(folder / "second.log", _save_marked, str(path), "second")
        code = first.wait()
        saved = first.output.count("saved")
        while second.output.count("saved") < (3 if how in ("deleted", "moved") else saved + 3):
            if not second.process.is_alive():
                break
            time.sleep(0.002)
        second.send(signal.SIGKILL)
        second.wait()
        if code != 1 or "during the run" not in first.output:
            broken.append(f"{path.name} ({how}): its first owner ended with {code}: {first.output[-300:]}")
        owners = {"deleted": {path: second}, "moved": {path: second, path.with_suffix(".moved"): first}}
        for place, child in owners.get(how, {path: second}).items():
            broken += filter(None, [_not_its_own(place, child)])
        for place in (path, path.with_suffix(".moved"), first.log, second.log):
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    return counted(
        "a run directory deleted, moved, copied or unlocked during a run, and then used by another run",
        rounds,
        broken,
        "times, the first run stopped, all checkpoints survived, and the files of the two runs "
        "stayed separate",
    )


# What marks the rows of an owner
_CLOCKS = {"first": {"seconds": 1.0, "rate": 1.0}, "second": {"seconds": 2.0, "rate": 2.0}}


def _take_away(path: Path, how: str) -> None:
    """Take a run directory from its owner."""
    if how == "deleted":
        while path.exists():  # the owner still writes to it
            shutil.rmtree(path, ignore_errors=True)
    elif how == "moved":
        path.rename(path.with_suffix(".moved"))
    elif how == "copied":
        path.rename(path.with_suffix(".moved"))
        # Like `cp`, go on without a file that its owner is just renaming
        with contextlib.suppress(shutil.Error):
            shutil.copytree(path.with_suffix(".moved"), path, ignore=shutil.ignore_patterns(".*"))
    else:
        (path / ".lock").unlink()


def _not_its_own(path: Path, owner: Child) -> str:
    """Return what is wrong with a directory that only its owner wrote to since it took it."""
    who, epochs = owner.output.split()[0], owner.output.count("saved")
    state = _big_state()
    with warnings_as_errors(), RunDirectory(path, IDENTITY, resume=True) as store:
        store.restore(state, device="cpu")
    rows = [row["clock"] for row in toys.rows(path / "metrics.jsonl")]
    count = rows.count(_CLOCKS[who])
    if rows != [row["clock"] for row in state.history] or rows[-1] != _CLOCKS[who] or count < epochs:
        return f"{path.name}: the last row is not of {who}, or {count} are, but it saved {epochs}"
    return f"{path.name} has {toys.leftovers(path)}" if toys.leftovers(path) else ""


def _save_marked(path: str, who: str) -> None:
    """Save again and again, each epoch marked with its owner; try again while somebody else is the owner."""
    print(who, flush=True)
    state, deadline = _big_state(), time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with RunDirectory(Path(path), IDENTITY, resume=True) as store:
                store.restore(state, device="cpu")
                while time.monotonic() < deadline:
                    state.epoch += 1
                    state.history = [*state.history, epoch_row(state.epoch) | {"clock": _CLOCKS[who]}]
                    store.save(state)
                    print("saved", state.epoch, flush=True)
        except RunError as error:
            if "is in use by" not in str(error):
                print(error, flush=True)
                sys.exit(1)


def cost(folder: Path, *, saves: int) -> Figure:
    """Time a save of an LSTM of two layers of 512 units with Adam's state, as a share of a minute."""
    registry = Registry.discover()
    model = registry.architecture("charrnn/lstm").load()(vocab_size=56, hidden_size=512, num_layers=2)
    config = TrainConfig(optimizer="adam")
    state = TrainState.begin(model, config, precision="fp32", device="cpu")
    for part in model.parameters():
        part.grad = torch.ones_like(part)
    update_weights(state, config, 1e-3, Readings())
    times: list[float] = []
    with RunDirectory(folder / "cost", IDENTITY, resume=True) as store:
        for _ in range(saves):
            begun = time.perf_counter()
            store.save(state)
            times.append(time.perf_counter() - begun)
    size = (folder / "cost" / "checkpoint.safetensors").stat().st_size
    median = sorted(times)[len(times) // 2]
    return Figure(
        "saving a 2×512 LSTM every 60 s",
        saves,
        saves,
        "saves succeeded",
        f"{size / 1e6:.0f} MB in at most {max(times) * 1e3:.0f} ms; the median is {median * 1e3:.0f} ms, "
        f"or {100 * median / 60:.2f}% of a minute",
    )


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]
