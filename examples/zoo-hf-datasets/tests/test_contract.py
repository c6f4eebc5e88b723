from zoo.testing import contract


@contract("hf")
def test_contract(check):
    check()
