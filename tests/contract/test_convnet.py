from zoo.testing import contract


@contract("convnet", thorough=True)
def test_contract(check):
    check()
