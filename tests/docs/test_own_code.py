"""The pages for code outside zoo: what they show runs, block after block."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.docs.pages import ROOT, blocks
from zoo.registry.registry import Registry
from zoo.registry.weights_files import locate_weights
from zoo_convnet.resnet import ResNet


@pytest.mark.slow  # they train for some seconds
@pytest.mark.parametrize("page", ["own-loop.md", "plain-safetensors.md"])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights, _ = locate_weights(Registry.discover(), "cifar10-resnet20")
    shutil.copy(weights, "model.safetensors")
    names: dict[str, Any] = {"ResNet": ResNet}
    python = [block for block in blocks(ROOT / "docs" / "how-to" / page) if block.language == "python"]
    assert len(python) == 3
    for block in python:
        exec(block.text, names)
