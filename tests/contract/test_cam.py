from zoo.testing import contract


@contract("cam")
def test_contract(check):
    check()
