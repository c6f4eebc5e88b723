"""The contract of zoo_import."""

from zoo.testing import contract


@contract("import", thorough=True)
def test_contract(check):
    check()
