from zoo.testing import contract


@contract("diagnose", thorough=True)
def test_contract(check):
    check()
