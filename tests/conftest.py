"""What every test stands on: a clean environment, and `zoo` as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest


class RunZoo(Protocol):
    """`zoo ARGUMENTS` in a process of its own, in an empty folder."""

    def __call__(
        self,
        *arguments: str | Path,
        path: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(autouse=True, scope="session")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forbid fetching, use a cache of our own, and forget what the caller has set for zoo but $ZOO_DATA."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ZOO_PLUGINS", "ZOO_REGISTRY", "ZOO_STRICT"):
            patch.delenv(name, raising=False)
        patch.setenv("ZOO_OFFLINE", "1")
        patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run_zoo(tmp_path: Path) -> RunZoo:
    """Return a function that runs `python -m zoo` with `path` in front of the module search path."""
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()

    def run(
        *arguments: str | Path,
        path: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        search = {"PYTHONPATH": os.pathsep.join(map(str, path))} if path else {}
        return subprocess.run(
            [sys.executable, "-m", "zoo", *map(str, arguments)],
            cwd=cwd or elsewhere,
            env={**os.environ, **search, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
