from zoo.testing import contract


@contract("gradcam")
def test_contract(check):
    check()
