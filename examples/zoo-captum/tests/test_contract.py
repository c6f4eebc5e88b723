from zoo.testing import contract


@contract("captum")
def test_contract(check):
    check()
