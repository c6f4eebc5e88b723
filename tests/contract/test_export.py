"""The contract of zoo_export."""

import pytest

from zoo.testing import contract

pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytestmark = pytest.mark.slow  # the checks of an exporter start processes that import torch


@contract("export", thorough=True)
def test_contract(check):
    check()
