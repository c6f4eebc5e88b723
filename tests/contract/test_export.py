"""The contract of zoo_export."""

import pytest

from zoo.testing import contract

pytest.importorskip("onnx", reason="the extra `export` is not installed")


@contract("export", thorough=True)
def test_contract(check):
    check()
