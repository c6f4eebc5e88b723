"""Promises about downloads by many processes at once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from tests.reliability import server
from tests.reliability.figure import Figure
from tests.reliability.processes import start
from tests.reliability.toys import leftovers
from zoo.errors import DataError
from zoo.files.atomic import sweep
from zoo.files.downloads import data_file

CONTENT = bytes(range(256)) * 4_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def fetched(folder: Path, *, rounds: int, processes: int = 16) -> Figure:
    """Have several processes fetch one file into one cache, one killed at random, with locks and without."""
    draw = random.Random(7)
    broken: list[str] = []
    most, swept = 0, 0
    environment = {
        "ZOO_CACHE": str(folder / "cache"),
        "REQUESTS_CA_BUNDLE": str(server.CERTIFICATE),
    }
    before = {name: os.environ.get(name) for name in (*environment, "ZOO_OFFLINE", "ZOO_DATA")}
    os.environ.update(environment)
    for name in ("ZOO_OFFLINE", "ZOO_DATA"):
        os.environ.pop(name, None)
    try:
        with server.serving({"/file": server.gives(CONTENT)}) as (home, asked):
            for number in range(2 * rounds):
                locks = number % 2 == 0
                asked.clear()
                go = folder / "go"
                logs = [folder / f"{each}.log" for each in range(processes)]
                children = [start(log, _fetch, f"{home}/file", str(go), locks) for log in logs]
                go.touch()
                time.sleep(draw.uniform(0, 0.3))
                victim = draw.randrange(processes)
                children[victim].send(signal.SIGKILL)
                codes = [child.wait() for child in children]
                told = f"round {number}, {'with' if locks else 'without'} locks"
                errors = [
                    f"{told}: ended with {code}: {child.told[-300:]}"
                    for each, (child, code) in enumerate(zip(children, codes, strict=True))
                    if code != 0 and each != victim
                ]
                swept += len(leftovers(folder / "cache"))
                sweep(folder / "cache")
                left = [path.name for path in (folder / "cache").iterdir() if path.name != ".file.bin.lock"]
                if left != ["file.bin"] or (folder / "cache/file.bin").read_bytes() != CONTENT:
                    errors.append(f"{told}: the cache holds {left}")
                if len(asked) > processes:
                    errors.append(f"{told}: {len(asked)} transfers")
                most = max(most, len(asked)) if locks else most
                broken += errors[:1]
                shutil.rmtree(folder / "cache")
                go.unlink()
                for log in logs:
                    log.unlink(missing_ok=True)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    return Figure(
        f"{processes} processes fetch one file, one killed at random",
        2 * rounds,
        2 * rounds - len(broken),
        "rounds with one good file and no error, half of them with locks that do nothing",
        f"with locks at most {most} transfers; {swept} temporaries of the dead swept",
        tuple(broken),
    )


def _fetch(url: str, go: str, locks: bool) -> None:
    if not locks:
        fcntl.flock = lambda *_: None
    while not Path(go).exists():
        time.sleep(0.001)
    try:
        found = data_file("file.bin", url=url, sha256=SHA256)
        assert hashlib.sha256(found.read_bytes()).hexdigest() == SHA256
    except DataError as error:
        print(error, flush=True)
        sys.exit(1)
