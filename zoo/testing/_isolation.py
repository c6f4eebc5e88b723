"""Checking a plugin in a process of its own, which can neither change nor silence what is reported.

A check that hangs, takes too much memory or ends the process has failed, and the others still run.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from zoo.testing._case import message
from zoo.testing._checking import Message
from zoo.testing._outcomes import Outcome

__all__ = ["MOST_BYTES", "SECONDS", "isolated"]

# Seconds that a check may take, and one of weights, for which data may have to be made first
SECONDS, _SECONDS_OF_WEIGHTS = 180.0, 900.0
# Memory that the process may take; importing torch takes a tenth of it
MOST_BYTES = 4 << 30
_POLL = 0.1


class _Stopped(Exception):
    """The process has ended, or was ended, before it was done; the message says how."""


def isolated(target: str, *, strict: bool = False) -> Iterator[Message]:
    """Yield what `messages` yields in a new process, and an outcome for each check that ended the process."""
    done: list[Outcome] = []
    while True:
        checking: Message | None = None
        try:
            with _started(target, strict, done) as (process, reading, printed):
                for found in _read(process, reading):
                    if found["what"] == "checking":
                        checking = found
                    elif found["what"] == "outcome":
                        checking = None
                        done.append(Outcome(**{key: found[key] for key in Outcome.__slots__}))
                    elif found["what"] in ("done", "refused"):
                        yield from _noticed(printed)
                        yield found
                        return
                    yield found
        except _Stopped as stopped:
            done.append(_failed(target, checking, str(stopped)))
            yield {"what": "outcome", **asdict(done[-1])}
            if checking is None:  # it would end again
                yield {"what": "done"}
                return


def _failed(target: str, checking: Message | None, why: str) -> Outcome:
    """Return the outcome of the check that was running; of the plugin, if none was."""
    if checking is None:
        name = Path(target).stem.replace("_", "-") if target.endswith(".py") else target.partition("/")[0]
        checking = {"name": f"{name}-loads", "plugin": name, "entry": name, "kind": "plugin"}
    reason = message(
        expected="an answer from the process that is checked",
        got=why,
        usually="os._exit, a crash in compiled code, a loop without end, or a tensor that is far too large",
    )
    about = {key: checking[key] for key in ("name", "plugin", "entry", "kind")}
    return Outcome(**about, outcome="failed", reason=reason)


@contextmanager
def _started(
    target: str, strict: bool, done: Sequence[Outcome]
) -> Generator[tuple[subprocess.Popen[bytes], int, IO[bytes]]]:
    """Start the process; yield it, a descriptor to read its messages from, and what it prints."""
    reading, writing = os.pipe()
    path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)
    asked = {"target": target, "strict": strict, "done": [*map(asdict, done)], "descriptor": writing}
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from zoo.testing._checking import main; main()"],
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=printed,
            env=os.environ | {"PYTHONPATH": path},
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        try:
            assert process.stdin is not None
            with process.stdin:
                process.stdin.write(json.dumps(asked).encode())
            yield process, reading, printed
        finally:
            os.close(reading)
            process.kill()
            process.wait()
            with suppress(ProcessLookupError):  # what it has started
                os.killpg(process.pid, signal.SIGKILL)


def _read(process: subprocess.Popen[bytes], descriptor: int) -> Iterator[Message]:
    """Yield the messages of a process. Raises _Stopped if it ends, or takes too long or too much memory."""
    content, since, seconds = b"", time.monotonic(), SECONDS
    while True:
        line, newline, rest = content.partition(b"\n")
        if newline:
            found: Message = json.loads(line)
            content, since = rest, time.monotonic()
            seconds = _SECONDS_OF_WEIGHTS if found.get("kind") == "weights" else SECONDS
            yield found
            continue
        if time.monotonic() - since > seconds:
            raise _Stopped(f"no answer for {seconds:.0f} s")
        if _memory_of(process.pid) > MOST_BYTES:
            raise _Stopped(f"more than {MOST_BYTES / 2**30:.0f} GiB of memory")
        if select.select([descriptor], [], [], _POLL)[0]:
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                code = process.wait()
                raise _Stopped(f"its end by signal {-code}" if code < 0 else f"its end with exit code {code}")
            content += piece


def _memory_of(process: int) -> int:
    """Return the bytes of memory that a process takes; 0 where the system does not say, as on a Mac."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def _noticed(printed: IO[bytes]) -> Iterator[Message]:
    """Yield a notice of how much was printed, if anything was."""
    printed.seek(0)
    lines = [line for line in printed.read().decode(errors="replace").splitlines() if line.strip()]
    if lines:
        count = f"{len(lines):,} lines were" if len(lines) > 1 else "a line was"
        yield {"what": "notice", "text": f"while it was checked, {count} printed: {lines[0]}"}
