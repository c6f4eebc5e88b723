"""The contract of zoo_sweep."""

from zoo.testing import contract


@contract("sweep", thorough=True)
def test_contract(check):
    check()
