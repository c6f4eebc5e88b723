from zoo.testing import contract


@contract("torchvision/shufflenet_v2_x0_5")
def test_contract(check):
    check()
