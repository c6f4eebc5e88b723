from zoo.testing import contract


@contract("images")
def test_contract(check):
    check()
