from zoo.testing import contract


@contract("cam", thorough=True)
def test_contract(check):
    check()
