"""Promises about downloads by many processes at once."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.nightly.reliability import server
from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.processes import start
from tests.nightly.reliability.toys import leftovers
from zoo.errors import DataError
from zoo.files.atomic import sweep
from zoo.files.downloads import data_file

CONTENT = bytes(range(256)) * 4_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def fetched(folder: Path, *, rounds: int, processes: int = 16) -> Figure:
    """Download one file to one cache from several processes, one of them killed, with and without locks."""
    draw = random.Random(7)
    broken: list[str] = []
    most, swept = 0, 0
    with _downloads_allowed(folder / "cache"), server.serving({"/file": server.gives(CONTENT)}) as served:
        for number in range(2 * rounds):
            locks = number % 2 == 0
            failures, transfers, left = _round(folder, served, draw, processes=processes, locks=locks)
            case = f"round {number}, {'with' if locks else 'without'} locks"
            broken += [f"{case}: {failure}" for failure in failures[:1]]
            most = max(most, transfers) if locks else most
            swept += left
    return counted(
        f"{processes} processes download one file, one of them killed at a random moment",
        2 * rounds,
        broken,
        "rounds ended with one intact file and no error; locks were disabled in half of the rounds",
        f"maximum number of transfers with locks: {most}; {swept} temporary files of killed processes "
        "were removed",
    )


def _round(
    folder: Path, served: tuple[str, list[str]], draw: random.Random, *, processes: int, locks: bool
) -> tuple[list[str], int, int]:
    """Return what went wrong, the number of transfers, and of temporary files that were left behind."""
    home, requests = served
    requests.clear()
    go, cache = folder / "go", folder / "cache" / "downloads"
    logs = [folder / f"{number}.log" for number in range(processes)]
    children = [start(log, _fetch, f"{home}/file", str(go), locks) for log in logs]
    go.touch()
    time.sleep(draw.uniform(0, 0.3))
    victim = draw.randrange(processes)
    children[victim].send(signal.SIGKILL)
    codes = [child.wait() for child in children]
    failures = [
        f"ended with {code}: {child.output[-300:]}"
        for number, (child, code) in enumerate(zip(children, codes, strict=True))
        if code != 0 and number != victim
    ]
    swept = len(leftovers(cache))
    sweep(cache)
    left = [path.name for path in cache.iterdir() if path.name != ".file.bin.lock"]
    if left != ["file.bin"] or (cache / "file.bin").read_bytes() != CONTENT:
        failures.append(f"the cache holds {left}")
    if len(requests) > processes:
        failures.append(f"{len(requests)} transfers")
    shutil.rmtree(cache)
    go.unlink()
    for log in logs:
        log.unlink(missing_ok=True)
    return failures, len(requests), swept


@contextlib.contextmanager
def _downloads_allowed(cache: Path) -> Generator[None]:
    """Download to `cache`, and trust the server of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(cache))
        patch.setenv("REQUESTS_CA_BUNDLE", str(server.CERTIFICATE))
        for name in ("ZOO_OFFLINE", "ZOO_DATA"):
            patch.delenv(name, raising=False)
        yield


def _no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def _fetch(url: str, go: str, locks: bool) -> None:
    if not locks:
        fcntl.flock = _no_locks
    while not Path(go).exists():
        time.sleep(0.001)
    try:
        found = data_file("file.bin", url=url, sha256=SHA256)
        assert hashlib.sha256(found.read_bytes()).hexdigest() == SHA256
    except DataError as error:
        print(error, flush=True)
        sys.exit(1)
