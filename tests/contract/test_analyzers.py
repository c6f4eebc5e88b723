from zoo.testing import contract


@contract("analyzers", thorough=True)
def test_contract(check):
    check()
