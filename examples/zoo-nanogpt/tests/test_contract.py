from zoo.testing import contract


@contract("nanogpt")
def test_contract(check):
    check()
