from zoo.testing import contract


@contract("timm/resnet10t")
def test_contract(check):
    check()
