from zoo.testing import contract


@contract("diagnose")
def test_contract(check):
    check()
