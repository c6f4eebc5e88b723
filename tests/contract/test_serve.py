"""The contract of zoo_serve."""

from zoo.testing import contract


@contract("serve", thorough=True)
def test_contract(check):
    check()
