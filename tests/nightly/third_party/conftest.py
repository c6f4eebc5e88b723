"""Makes `languages` importable, and installs examples as their users do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def pip_install(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that pip-installs examples into a folder, and returns the folder."""

    def install(*names: str) -> Path:
        target = tmp_path_factory.mktemp("site")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        offline = ["--no-deps", "--no-build-isolation", "--no-index"]
        sources = [str(EXAMPLES / name) for name in names]
        done = subprocess.run(
            [*pip, *offline, "--target", str(target), *sources], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return target

    return install
