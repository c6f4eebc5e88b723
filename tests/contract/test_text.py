from zoo.testing import contract


@contract("text")
def test_contract(check):
    check()
