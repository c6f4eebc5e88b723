from zoo.testing import contract


@contract("forecast")
def test_contract(check):
    check()
