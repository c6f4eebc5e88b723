"""Check a plugin in a separate process.

A check fails if it hangs, uses too much memory or ends the process, and the other checks still run. This does
not protect against a malicious plugin, which could change the checks themselves.
"""

from __future__ import annotations

import gc
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from zoo.console.terminal import warnings_as_lines
from zoo.distributed.parent import end_with
from zoo.errors import ZooError, told
from zoo.testing._case import message
from zoo.testing._outcomes import Outcome
from zoo.testing._suite import Message, messages

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
        running, before = None, len(done)
        with _started(asked | {"done": done}) as (process, reading, printed):
            try:
                for found in _read(process, reading):
                    running = found["outcome"] if found["what"] == "checking" else None
                    if found["what"] == "outcome":
                        done.append(found["outcome"])
                    yield found
            except _Stopped as stopped:
                why = f"{stopped}{_last_of(printed)}"
            except ZooError:
                yield from _noticed(printed)
                raise
            else:
                yield from _noticed(printed)
                return
        if running is not None or len(done) == before:
            done.append(_failed(running or _loading(target), why))
            yield {"what": "outcome", "outcome": done[-1]}
            if running is None:  # it would end there again
                return


def _loading(target: str) -> Outcome:
    """Return the outcome of a target that ends the process before any check."""
    name = Path(target).stem.replace("_", "-") if target.endswith(".py") else target.partition("/")[0]
    return Outcome(name=f"{name}-loads", outcome="failed", plugin=name, entry=name, kind="plugin")


def _failed(running: Outcome, why: str) -> Outcome:
    """Return the outcome of the check that was running, with the reason unless it was expected to fail."""
    if running.outcome == "xfailed":
        return running
    reason = message(
        expected="a response from the process that runs the checks",
        got=why,
        usually="a model or data too large for the kit (check a smaller version), or an infinite loop"
        if why.startswith(("more than", "no response"))
        else "os._exit, or a crash in compiled code",
    )
    return replace(running, reason=reason)


@contextmanager
def _started(asked: Mapping[str, Any]) -> Generator[tuple[subprocess.Popen[bytes], int, IO[bytes]]]:
    """Start the process; yield it, a descriptor for reading its messages, and its output."""
    with ExitStack() as stack:
        printed = stack.enter_context(tempfile.TemporaryFile())
        reading, writing = os.pipe()
        stack.callback(os.close, reading)
        asked = {**asked, "descriptor": writing, "parent": os.getpid()}
        path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-c", "from zoo.testing._isolation import main; main()"],
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
            process.stdin.write(json.dumps(asked, default=asdict).encode())
        yield process, reading, printed


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    with suppress(ProcessLookupError):  # what it has started
        os.killpg(process.pid, signal.SIGKILL)


def _read(process: subprocess.Popen[bytes], descriptor: int) -> Iterator[Message]:
    """Yield the messages of a process until it is done.

    Raises the ZooError that it reports, and _Stopped if it ends, or takes too long or too much memory.
    """
    content, since, seconds = b"", time.monotonic(), SECONDS
    while True:
        line, newline, rest = content.partition(b"\n")
        if newline:
            found = _message_in(line)
            if found["what"] == "done":
                return
            content, since = rest, time.monotonic()
            weights = "outcome" in found and found["outcome"].kind == "weights"
            seconds = _SECONDS_OF_WEIGHTS if weights else SECONDS
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


def _message_in(line: bytes) -> Message:
    """Return the message in a line. Raises the ZooError that it reports, and _Stopped if it is none."""
    try:
        found: Message = json.loads(line)
    except ValueError:
        raise _Stopped(f"unexpected output: {line[:80]!r}") from None
    if found["what"] == "refused":
        raise told(found["class"], found["message"], found["hint"])
    if "outcome" in found:
        found["outcome"] = Outcome(**found["outcome"])
    return found


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


def main() -> None:
    """Run the checks requested on stdin, a line of JSON, in the new process.

    Each message is a line of JSON on a descriptor of its own, so that a plugin's output is not mistaken for
    one.
    """
    asked = json.load(sys.stdin)
    end_with(asked["parent"])
    done = [Outcome(**outcome) for outcome in asked["done"]]
    with warnings_as_lines(printed=False):
        found = messages(asked["target"], thorough=asked["thorough"], strict=asked["strict"], done=done)
        for each in _with_refusal(found):
            os.write(asked["descriptor"], json.dumps(each, default=asdict).encode() + b"\n")
            gc.collect()  # models that refer to themselves, or all models would count against the next check
            gc.freeze()  # what is left, which would be searched again each time
    os._exit(0)  # whatever a plugin wants to do at the end, or waits for in a thread


def _with_refusal(found: Iterator[Message]) -> Iterator[Message]:
    """Yield messages, and `refused` with the error that they raise."""
    try:
        yield from found
    except ZooError as error:
        yield {"what": "refused", "class": type(error).__name__, "message": str(error), "hint": error.hint}
