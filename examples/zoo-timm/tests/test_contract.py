from zoo.testing import contract


@contract("timm/test_resnet")
def test_contract(check):
    check()
