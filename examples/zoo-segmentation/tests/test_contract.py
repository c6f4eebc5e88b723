from zoo.testing import contract


@contract("segmentation")
def test_contract(check):
    check()
