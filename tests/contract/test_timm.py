"""The contract of zoo_timm, for a small convolutional network and a small Transformer."""

from __future__ import annotations

import pytest

from zoo.testing import contract

pytest.importorskip("timm")
pytestmark = pytest.mark.usefixtures("timm_models")


@contract("timm/test_resnet", thorough=True)
def test_resnet(check):
    check()


@contract("timm/test_vit", thorough=True)
def test_vit(check):
    check()
