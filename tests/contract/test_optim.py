from zoo.testing import contract


@contract("optim", thorough=True)
def test_contract(check):
    check()
