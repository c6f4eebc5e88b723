"""Inputs of the commands that read images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with six images of other sizes than the model's, and one that is cut off."""
    folder = tmp_path_factory.mktemp("given") / "images"
    folder.mkdir()
    draws = np.random.default_rng(0)
    for number in range(6):
        pixels = draws.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:3000])
    return folder
