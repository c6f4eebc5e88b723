"""The image classifiers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from zoo_convnet.resnet_lite import ResNetLite

CIFAR = {"in_channels": 3, "image_size": 32, "num_classes": 10}
RESNET2 = {"stem": "bn7", "widths": [16, 32, 64, 128, 256], "dropout": 0.2}


@pytest.mark.parametrize(("options", "expected"), [({}, 769_170), (RESNET2, 1_966_234)])
def test_the_lesson_s_sizes_give_the_lesson_s_parameters(options: dict[str, Any], expected: int) -> None:
    model = ResNetLite(**CIFAR, **options)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize("options", [{}, RESNET2])
@pytest.mark.parametrize("size", [16, 32, 33])
def test_images_become_logits_whatever_their_size(options: dict[str, Any], size: int) -> None:
    model = ResNetLite(**(CIFAR | {"image_size": size, "num_classes": 7}), **options).eval()
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_each_stage_halves_the_image_and_widens_it() -> None:
    model = ResNetLite(**CIFAR).eval()
    x = model.stem(torch.zeros(1, 3, 32, 32))
    shapes = [x.shape] + [(x := stage(x)).shape for stage in model.stages]
    assert [tuple(shape[1:]) for shape in shapes] == [
        (10, 32, 32), (20, 16, 16), (40, 8, 8), (80, 4, 4), (160, 2, 2),
    ]  # fmt: skip


def test_a_residual_layer_of_zeros_passes_its_input_on() -> None:
    residual = ResNetLite(**CIFAR).stages[0][1].eval()
    nn.init.zeros_(residual.layer.conv.weight)
    x = torch.randn(2, 20, 16, 16)
    assert torch.equal(residual(x), x)


def test_one_image_s_logits_do_not_depend_on_the_others_in_evaluation() -> None:
    model = ResNetLite(**CIFAR)
    images = torch.randn(6, 3, 32, 32)
    model(images)  # moves the running statistics
    model.eval()
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]), atol=1e-5, rtol=1e-4)


def test_dropout_acts_in_training_only() -> None:
    model = ResNetLite(**CIFAR, dropout=0.5)
    images = torch.randn(4, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))
