from zoo.testing import contract


@contract("text", thorough=True)
def test_contract(check):
    check()
