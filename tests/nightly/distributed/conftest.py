"""What the tests of several processes share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nightly.reliability import toys


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the data of the toys."""
    folder = tmp_path_factory.mktemp("toys")
    toys.lay_out(folder)
    return folder
