"""The built site, a server of it, and a browser."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sitegen.building import SITE
from sitegen.places import ROOT
from sitegen.serving import Served, serving

# What the site is made from
SOURCES = ("docs", "examples", "plugins", "sitegen", "zoo", "registry.toml", "zensical.toml")


@pytest.fixture(scope="session")
def site() -> Path:
    """Return the folder of the site, built again if a source has changed since."""
    pytest.importorskip("zensical", reason="the extra `docs` is not installed")
    built = SITE / "index.html"
    if not built.exists() or built.stat().st_mtime < _changed():
        done = subprocess.run(
            [sys.executable, "-m", "sitegen"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "No issues found" in done.stdout + done.stderr
    return SITE


@pytest.fixture
def served(site: Path) -> Iterator[Served]:
    with serving(site) as served:
        yield served


def _changed() -> float:
    files = [path for source in SOURCES for path in [ROOT / source, *(ROOT / source).rglob("*")]]
    return max(path.stat().st_mtime for path in files if path.is_file() and "__pycache__" not in path.parts)
