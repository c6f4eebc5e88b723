"""Check a plugin in a separate process.

A check fails if it hangs, uses too much memory or ends the process, and the other checks still run. This does
not protect against a malicious plugin, which could change the checks themselves.
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
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from zoo.testing._case import message
from zoo.testing._outcomes import Outcome
from zoo.testing._plugin_process import Message

# Seconds that a check may take, and one of weights, for which data may have to be made first
SECONDS, _SECONDS_OF_WEIGHTS = 180.0, 900.0
# Memory that the process may take; importing torch takes a tenth of it
MOST_BYTES = 4 << 30
_POLL = 0.1
# Seconds that a process may take to end after its last message
_TO_END = 5.0


class _Stopped(Exception):
    """The process exited, or was stopped, before it finished; the message describes how."""


def isolated(target: str, *, thorough: bool = False, strict: bool = False) -> Generator[Message]:
    """Yield the messages of a new process, and an outcome for each check that ended it."""
    done: list[Outcome] = []
    asked = {"target": target, "thorough": thorough, "strict": strict}
    while True:
        checking, before, why = None, len(done), ""
        with _started(asked, done) as (process, reading, printed):
            try:
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
                why = f"{stopped}{_last_of(printed)}"
        if checking is not None or len(done) == before:
            done.append(_failed(target, checking, why))
            yield {"what": "outcome", **asdict(done[-1])}
            if checking is None:  # it would end there again
                yield {"what": "done"}
                return


def _failed(target: str, checking: Message | None, why: str) -> Outcome:
    """Return the outcome of the check that was running, or of the plugin if none was."""
    if checking is None:
        name = Path(target).stem.replace("_", "-") if target.endswith(".py") else target.partition("/")[0]
        checking = {"name": f"{name}-loads", "plugin": name, "entry": name, "kind": "plugin"}
    about = {key: checking[key] for key in ("name", "plugin", "entry", "kind")}
    if (expected := checking.get("expected")) is not None:
        return Outcome(**about, outcome="xfailed", reason=expected)
    reason = message(
        expected="a response from the process that runs the checks",
        got=why,
        usually="a model or data too large for the kit (check a smaller version), or an infinite loop"
        if why.startswith(("more than", "no response"))
        else "os._exit, or a crash in compiled code",
    )
    return Outcome(**about, outcome="failed", reason=reason)


@contextmanager
def _started(
    asked: Mapping[str, Any], done: Sequence[Outcome]
) -> Generator[tuple[subprocess.Popen[bytes], int, IO[bytes]]]:
    """Start the process; yield it, a descriptor for reading its messages, and its output."""
    with ExitStack() as stack:
        printed = stack.enter_context(tempfile.TemporaryFile())
        reading, writing = os.pipe()
        stack.callback(os.close, reading)
        asked = {**asked, "done": [*map(asdict, done)], "descriptor": writing, "parent": os.getpid()}
        path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-c", "from zoo.testing._plugin_process import main; main()"],
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                env=os.environ | {"PYTHONPATH": path},
                pass_fds=[writing],
                start_new_session=True,
            )
        finally:
            os.close(writing)
        stack.callback(_end, process)
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(asked).encode())
        yield process, reading, printed


def _end(process: subprocess.Popen[bytes]) -> None:
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
            try:
                found: Message = json.loads(line)
            except ValueError:
                raise _Stopped(f"unexpected output: {line[:80]!r}") from None
            content, since = rest, time.monotonic()
            seconds = _SECONDS_OF_WEIGHTS if found.get("kind") == "weights" else SECONDS
            yield found
        elif time.monotonic() - since > seconds:
            raise _Stopped(f"no response for {seconds:.0f} s")
        elif _memory_of(process.pid) > MOST_BYTES:
            raise _Stopped(f"more than {MOST_BYTES / 2**30:.0f} GiB of memory")
        elif select.select([descriptor], [], [], _POLL)[0]:
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                raise _Stopped(_end_of(process))
            content += piece
        elif process.poll() is not None:  # a process that it started holds the pipe open
            raise _Stopped(_end_of(process))


def _end_of(process: subprocess.Popen[bytes]) -> str:
    """Describe how a process that sends no more messages ended."""
    try:
        code = process.wait(timeout=_TO_END)
    except subprocess.TimeoutExpired:
        return "a closed pipe"
    return f"a termination by signal {-code}" if code < 0 else f"an exit with code {code}"


def _memory_of(process: int) -> int:
    """Return the memory of a process in bytes; 0 if the system does not report it, as on macOS."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def _lines_of(printed: IO[bytes]) -> list[str]:
    """Return the printed lines."""
    printed.seek(0)
    return [line for line in printed.read().decode(errors="replace").splitlines() if line.strip()]


def _last_of(printed: IO[bytes]) -> str:
    """Return the last printed line, formatted to follow the end of a process; empty if there is none."""
    lines = _lines_of(printed)
    return f" ({lines[-1].strip():.200})" if lines else ""


def _noticed(printed: IO[bytes]) -> Iterator[Message]:
    """Yield a notice of the output, if there is any."""
    lines = _lines_of(printed)
    if lines:
        count = f"{len(lines)} lines were printed, starting with" if len(lines) > 1 else "a line was printed"
        yield {"what": "notice", "text": f"during the checks, {count}: {lines[0].strip():.200}"}
