from zoo.testing import contract


@contract("regression")
def test_contract(check):
    check()
