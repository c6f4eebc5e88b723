from zoo.testing import contract


@contract("charrnn")
def test_contract(check):
    check()
