"""A run on two machines: two network namespaces of this one, each with an address of its own.

Also at two addresses of the loopback interface, which needs no rights: a machine that is stopped answers as
little as one that is cut off.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from tests.nightly.distributed.commands import LSTM, workers
from tests.nightly.reliability import toys

pytestmark = pytest.mark.timeout(900)

LATE = "another process of this run has not responded for 5 seconds"
# What it is if the system gives up the connection before that
GONE = "another process of this run has ended, or cannot be reached"


class Machine:
    """An address of the loopback interface."""

    prefix: Sequence[str] = ()
    addresses = ("127.0.0.1", "127.0.0.2")
    link = "lo"

    def __init__(self, number: int) -> None:
        self.address, self.first = self.addresses[number], self.addresses[0]
        self.going: list[subprocess.Popen[str]] = []

    def start(self, place: Path, directory: str) -> subprocess.Popen[str]:
        """Start torchrun, with one process."""
        launch = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-id=zoo"]
        launch += ["--rdzv-backend=c10d", f"--rdzv-endpoint={self.first}:29517"]
        host = str(self.address == self.first).lower()  # both have this machine's name
        launch += [f"--rdzv-conf=is_host={host}", f"--local-addr={self.address}", "-m", "--"]
        words = ["zoo", *toys.train(LSTM, directory, "--threads", "1", "--save-every", "1", epochs=6)]
        going = subprocess.Popen(
            [*self.prefix, sys.executable, *launch, *words],
            cwd=place,
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": self.link, "ZOO_PATIENCE": "5"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.going.append(going)
        return going

    def cut_off(self) -> None:
        """Let it answer no more."""
        for pid in (self.going[-1].pid, *workers(self.going[-1])):
            os.kill(pid, signal.SIGSTOP)

    def restore(self) -> None:
        """End what was cut off."""
        for pid in (self.going[-1].pid, *workers(self.going[-1])):
            os.kill(pid, signal.SIGKILL)


class Namespace(Machine):
    """A network namespace."""

    addresses = ("10.213.7.1", "10.213.7.2")

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = f"zoo{os.getpid()}-{number}"
        self.link = f"z{os.getpid()}v{number}"
        self.prefix = ("ip", "netns", "exec", self.name)

    def cut_off(self) -> None:
        """Take its network away."""
        self.run("link", "set", self.link, "down")

    def restore(self) -> None:
        """Give its network back."""
        self.run("link", "set", self.link, "up")

    def run(self, *words: str) -> None:
        """Run `ip` in it."""
        ip("-n", self.name, *words)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def namespaces() -> Generator[tuple[Machine, Machine]]:
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("needs root, to make network namespaces with ip")
    both = Namespace(0), Namespace(1)
    try:
        for machine in both:
            ip("netns", "add", machine.name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine has no network namespaces: {error.stderr.decode()}")
    try:
        first, second = both
        ip("link", "add", first.link, "type", "veth", "peer", "name", second.link)
        for machine in both:
            ip("link", "set", machine.link, "netns", machine.name)
            machine.run("address", "add", f"{machine.address}/24", "dev", machine.link)
            machine.run("link", "set", machine.link, "up")
            machine.run("link", "set", "lo", "up")
            # torchrun waits for as long as the system takes to give up a connection: a quarter of an hour
            setting = Path("/proc/sys/net/ipv4/tcp_retries2")
            subprocess.run(
                ["ip", "netns", "exec", machine.name, "sh", "-c", f"echo 3 > {setting}"], check=True
            )
        yield both
    finally:
        for machine in both:
            ip("netns", "delete", machine.name)


@pytest.fixture
def loopbacks() -> tuple[Machine, Machine]:
    return Machine(0), Machine(1)


def ended(going: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = going.communicate(timeout=300)
    return going.returncode, errors


@pytest.mark.parametrize("kind", ["namespaces", "loopbacks"])
def test_a_run_whose_second_machine_is_cut_off_ends_in_words_and_goes_on_bit_for_bit(
    kind: str, place: Path, request: pytest.FixtureRequest
) -> None:
    machines: tuple[Machine, Machine] = request.getfixturevalue(kind)
    whole, cut = f"whole-{kind}", f"cut-{kind}"
    for code, errors in [ended(going) for going in [machine.start(place, whole) for machine in machines]]:
        assert code == 0, errors
    going = [machine.start(place, cut) for machine in machines]
    while not (place / cut / "checkpoint.previous.safetensors").exists():
        assert going[0].poll() is None, ended(going[0])
        time.sleep(0.02)
    machines[1].cut_off()
    if kind == "loopbacks":
        code, errors = ended(going.pop(0))
        assert code != 0
        assert LATE in errors
        machines[1].restore()
        ended(going.pop())
    for code, errors in map(ended, going):
        assert code != 0
        assert LATE in errors or GONE in errors, errors
    if kind == "namespaces":
        machines[1].restore()
    for code, errors in [ended(going) for going in [machine.start(place, cut) for machine in machines]]:
        assert code == 0, errors
    assert toys.outcome(place / cut) == toys.outcome(place / whole)
