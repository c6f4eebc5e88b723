from zoo.testing import contract


@contract("bpe")
def test_contract(check):
    check()
