"""The contract of zoo_stats."""

from zoo.testing import contract


@contract("stats", thorough=True)
def test_contract(check):
    check()
