"""The contract of zoo_serve."""

from zoo.testing import contract


@contract("serve")
def test_contract(check):
    check()
