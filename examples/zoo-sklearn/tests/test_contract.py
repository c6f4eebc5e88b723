from zoo.testing import contract


@contract("sklearn")
def test_contract(check):
    check()
