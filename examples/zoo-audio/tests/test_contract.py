from zoo.testing import contract


@contract("audio")
def test_contract(check):
    check()
