"""A signal at any line of `main` ends the command in words, or comes too late to matter."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal, sys
import zoo.cli as cli

signals, at = [int(number) for number in sys.argv[1].split(",") if number], int(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["zoo", "list", "tasks", "--json"]
lines = 0

def trace(frame, event, _):
    global lines
    if frame.f_code is not cli.main.__code__:
        return None
    if event == "line":
        lines += 1
        if lines == at:
            for number in signals:
                os.kill(os.getpid(), number)
    return trace

sys.settrace(trace)
try:
    cli.main()
finally:
    print("lines:", lines, file=sys.stderr)
"""


def zoo(signals: list[signal.Signals], at: int) -> tuple[subprocess.CompletedProcess[str], str, int]:
    """Return how a command ended that got signals at a line of `main`, what it said, and the lines it ran."""
    given = [",".join(str(int(number)) for number in signals), str(at)]
    done = subprocess.run([sys.executable, "-c", CODE, *given], capture_output=True, text=True, check=False)
    said, _, rest = done.stderr.partition("lines: ")
    lines, _, more = rest.partition("\n")
    return done, said + more, int(lines or 0)


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([signal.SIGTERM], marks=pytest.mark.slow, id="one"),
        pytest.param([signal.SIGINT, signal.SIGTERM], id="two"),
    ],
)
def test_a_signal_at_any_line_of_main_ends_in_words(signals: list[signal.Signals]) -> None:
    _, _, lines = zoo([], -1)
    ended: list[int] = []
    for at in range(1, lines + 1):
        done, said, ran = zoo(signals, at)
        if not ran or (not ended and "Traceback" in said):
            continue  # it does not listen yet: a signal does what it does to any program
        assert "Traceback" not in said, f"at line {at}: {said}"
        assert done.returncode in (0, 130, 143), f"at line {at}: {said}"
        assert (done.returncode == 0) == done.stdout.startswith("["), f"at line {at}"
        ended.append(done.returncode)
    assert len(ended) > 8
    assert {*ended} == {0, 130 if len(signals) > 1 else 143}
