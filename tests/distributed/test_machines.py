"""A run on two machines: two network namespaces of this one, each with an address of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.distributed.commands import LSTM
from tests.reliability import toys

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not shutil.which("ip") or os.geteuid() != 0, reason="needs root, to make network namespaces with ip"
    ),
]

ADDRESSES = ("10.213.7.1", "10.213.7.2")


class Machine:
    """A network namespace."""

    def __init__(self, number: int) -> None:
        self.name = f"zoo{os.getpid()}-{number}"
        self.link, self.address = f"z{os.getpid()}v{number}", ADDRESSES[number]

    def run(self, *words: str) -> None:
        """Run `ip` in it."""
        ip("-n", self.name, *words)

    def start(self, place: Path, directory: str) -> subprocess.Popen[str]:
        """Start torchrun, with one process."""
        launch = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-id=zoo"]
        launch += ["--rdzv-backend=c10d", f"--rdzv-endpoint={ADDRESSES[0]}:29517"]
        host = str(self.address == ADDRESSES[0]).lower()  # both have this machine's name
        launch += [f"--rdzv-conf=is_host={host}", f"--local-addr={self.address}", "-m", "--"]
        words = ["zoo", *toys.train(LSTM, directory, "--threads", "1", "--save-every", "1", epochs=6)]
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, sys.executable, *launch, *words],
            cwd=place,
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": self.link, "ZOO_PATIENCE": "5"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def machines() -> Generator[tuple[Machine, Machine]]:
    both = Machine(0), Machine(1)
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


def ended(going: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = going.communicate(timeout=300)
    return going.returncode, errors


def test_a_run_whose_second_machine_is_cut_off_ends_in_words_and_goes_on_bit_for_bit(
    place: Path, machines: tuple[Machine, Machine]
) -> None:
    _, second = machines
    for code, errors in [ended(going) for going in [machine.start(place, "whole") for machine in machines]]:
        assert code == 0, errors
    going = [machine.start(place, "cut") for machine in machines]
    while not (place / "cut/checkpoint.previous.safetensors").exists():
        assert going[0].poll() is None, ended(going[0])
        time.sleep(0.02)
    second.run("link", "set", second.link, "down")
    for code, errors in map(ended, going):
        assert code != 0
        assert "another process of this run has ended, or cannot be reached" in errors
    second.run("link", "set", second.link, "up")
    for code, errors in [ended(going) for going in [machine.start(place, "cut") for machine in machines]]:
        assert code == 0, errors
    assert toys.outcome(place / "cut") == toys.outcome(place / "whole")
