from zoo.testing import contract


@contract("convnet")
def test_contract(check):
    check()
