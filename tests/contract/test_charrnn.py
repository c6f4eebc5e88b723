from zoo.testing import contract


@contract("charrnn", thorough=True)
def test_contract(check):
    check()
