"""Memory that a step frees is there for the next one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")

# Prints how many pages the system fills for 64 MiB that are written, freed, and written again
AGAIN = """
import resource, torch
from zoo import Registry
from zoo.models.building import build_model
entry = Registry.discover().architecture("mlp")
build_model(entry, {"in_channels": 1, "image_size": 8, "num_classes": 2})
torch.ones(16 << 20).sum()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(16 << 20).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(**variables: str) -> int:
    environment = {
        name: value for name, value in os.environ.items() if "MALLOC" not in name and name != "GLIBC_TUNABLES"
    }
    done = subprocess.run(
        [sys.executable, "-c", AGAIN], env=environment | variables, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_freed_memory_is_used_again() -> None:
    assert pages() < 16


@pytest.mark.slow  # a process each, with torch
@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")],
)
def test_who_sets_up_glibc_keeps_their_own_ways(name: str, value: str) -> None:
    assert pages(**{name: value}) > 16


@pytest.mark.slow  # in a process
def test_other_variables_of_glibc_change_nothing() -> None:
    assert pages(MALLOC_ARENA_MAX="2") < 16
