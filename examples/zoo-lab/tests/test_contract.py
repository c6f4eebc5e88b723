from zoo.testing import contract


@contract("lab")
def test_contract(check):
    check()
