"""Promises about a zoo's folder: publishers that are killed, and two publishers at the same time."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import zoo
from tests.keys import Keys, made
from tests.nightly.reliability.faults import Disk, failing
from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.processes import start
from tests.nightly.reliability.toys import leftovers
from zoo.errors import ZooError
from zoo.files import signatures
from zoo.files.canonical import canonical_json
from zoo.files.cards import KEY, read_weights
from zoo.files.container import write_container
from zoo.files.hashes import sha256_of
from zoo.registry.zoo_index import ZooIndex, read_index, signature_file


def killed(folder: Path, *, kills: int, sign: bool = False) -> Figure:
    """Kill a publisher at or before each call that changes the disk; then let another one publish."""
    draw = random.Random(8)
    broken: list[str] = []
    team, run = folder / "team", trained(folder)
    keys = made(folder) if sign else None
    key = str(keys.ada) if keys else ""
    child = start(folder / "calls.log", _publish_until, str(run), str(team), "calls", key, 0)
    assert child.wait() == 0, child.output
    calls = child.output.partition("calls: ")[2].splitlines()[0].split("; ")
    ids, ended = {"calls"}, 0
    for number in range(kills):
        id_ = draw.choice(["net", f"net-{number}"])
        change(run, number + 1)
        at = number % len(calls) + 1 if number < len(calls) else draw.randint(1, len(calls))
        log = folder / f"{number}.log"
        child = start(log, _publish_until, str(run), str(team), id_, key, at)
        code = child.wait()
        before, case = ids, f"kill {number} at {calls[at - 1]}"
        ended += code == 0
        if code not in (0, -signal.SIGKILL):
            broken.append(f"{case}: ended with {code}: {child.output[-300:]}")
        wrong = _not_whole(team, before) or _not_signed(team, keys)
        ids = before | {*_index(team).versions}
        child = start(log, _publish_until, str(run), str(team), id_, key, 0)
        if child.wait() != 0:
            wrong = f"the next publisher failed: {child.output[-300:]}"
        ids |= {id_}
        wrong = wrong or _not_whole(team, ids) or _sums(team) or _not_signed(team, keys)
        if left := leftovers(team):
            wrong = f"temporary files were left: {left}"
        broken += [f"{case}: {wrong}"] if wrong else []
    who, what = (
        ("a publisher who signs,", "the index, its signature") if sign else ("a publisher", "the index")
    )
    return counted(
        f"{who} killed at a call that changes the disk, followed by another publisher",
        kills,
        broken,
        f"times, {what} and all that it names were intact at once, and `sha256sum -c` after the next one",
        f"{len(dict.fromkeys(calls))} different calls, such as `{calls[-1]}`; {ended} ended before it",
    )


def pairs(folder: Path, *, rounds: int) -> Figure:
    """Let two publishers write to one zoo at the same moment."""
    broken: list[str] = []
    team, run = folder / "team", trained(folder)
    runs = [run, Path(shutil.copytree(run, folder / "other"))]
    ids: set[str] = set()
    refused = 0
    for number in range(rounds):
        for place, each in enumerate(runs):
            change(each, 2 * number + place + 1)
        go, logs = folder / "go", [folder / f"{number}-{place}.log" for place in range(2)]
        children = [
            start(log, _publish_at, str(each), str(team), f"net-{number}-{place}", str(go))
            for place, (log, each) in enumerate(zip(logs, runs, strict=True))
        ]
        time.sleep(0.5)
        go.touch()
        codes = [child.wait() for child in children]
        ids |= {f"net-{number}-{place}" for place in range(2) if codes[place] == 0}
        wrong = _not_whole(team, ids) or _sums(team)
        for code, child in zip(codes, children, strict=True):
            refused += code == 1
            if code and not (code == 1 and "is in use by process" in child.output):
                wrong = f"ended with {code}: {child.output[-300:]}"
        if codes == [1, 1]:
            wrong = "both were refused"
        broken += [f"round {number}: {wrong}"] if wrong else []
        go.unlink()
    return counted(
        "two publishers write to one zoo at the same moment",
        rounds,
        broken,
        "times, what each reported as published is in the index, and `sha256sum -c` passed",
        f"{refused} publishers were refused because the other was writing",
    )


def trained(folder: Path) -> Path:
    run = folder / "net"
    zoo.train(
        *("resnet-lite", "shapes"),
        model={"widths": [4, 8]},
        data={"train_size": 64, "val_size": 16, "test_size": 16},
        epochs=1,
        batch_size=32,
        run=run,
        progress=False,
    )
    return run


def change(run: Path, number: int) -> None:
    """Give the best weights of a run other bytes."""
    card, content = read_weights(run / "best.safetensors")
    fields = card.to_dict()
    fields["environment"]["seconds"] = float(number)
    write_container(run / "best.safetensors", [*content.tensors.values()], {KEY: canonical_json(fields)})


def _publish_until(run: str, team: str, name: str, key: str, at: int) -> None:
    """Publish; the call number `at` that changes the disk does half of its work and kills the process."""
    disk = Disk(at, "kill")
    with failing(disk):
        zoo.publish([run], team, name=name, sign=key, progress=False)
    print("calls:", "; ".join(disk.calls), flush=True)


def _publish_at(run: str, team: str, name: str, go: str) -> None:
    while not Path(go).exists():
        time.sleep(0.001)
    try:
        zoo.publish([run], team, name=name, progress=False)
    except ZooError as error:
        print(error, flush=True)
        sys.exit(1)


def _index(team: Path) -> ZooIndex:
    return read_index((team / "registry.toml").read_bytes(), team / "registry.toml")


def _not_whole(team: Path, ids: set[str]) -> str:
    """Return what is wrong with the index or a file that it names; empty if nothing is."""
    index = _index(team)
    if lost := ids - index.versions.keys():
        return f"the index has lost {lost}"
    for id_, version in index.all():
        if sha256_of(team / version.spec.file) != version.spec.sha256:
            return f"the file of {id_} does not match the index"
    return ""


def _not_signed(team: Path, keys: Keys | None) -> str:
    """Return whether the index has no good signature; empty if it has one, or need not."""
    if keys is None:
        return ""
    content, allowed = (team / "registry.toml").read_bytes(), keys.signers.read_bytes()
    stored = (team / signature_file(content)).read_bytes()
    by = signatures.signers_of(content, stored, signatures.INDEX, allowed)
    return "" if any(signer.principal for signer in by) else "the index has no good signature"


def _sums(team: Path) -> str:
    """Return what plain `sha256sum` finds wrong."""
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=team,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""
