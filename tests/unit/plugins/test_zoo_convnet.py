"""The image classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import ResNet34_Weights, resnet34

from zoo import Registry
from zoo.errors import DataError, SpecError
from zoo.interfaces import FitsInputs, LoadsPretrained
from zoo.models.building import build_model, model_arguments
from zoo_convnet.airbench import Airbench
from zoo_convnet.batch_norm import BatchNorm
from zoo_convnet.camnet import CAMNet
from zoo_convnet.convnet import ConvNet
from zoo_convnet.layers import ConvLayer, LayerStyle, Norm
from zoo_convnet.resnet import ResNet, Shortcut
from zoo_convnet.resnet34_cam import ResNet34CAM
from zoo_convnet.resnet_lite import ResNetLite

CIFAR: dict[str, Any] = {"in_channels": 3, "image_size": 32, "num_classes": 10}


def build(name: str, dims: Mapping[str, int] = CIFAR, **options: Any) -> nn.Module:
    registry = Registry.discover()
    entry = registry.architecture(name)
    return build_model(entry, model_arguments(entry, registry.task("classification"), dims, options), seed=0)


def test_each_stage_halves_the_image_and_widens_it() -> None:
    model = ResNetLite(**CIFAR).eval()
    x = model.stem(torch.zeros(1, 3, 32, 32))
    shapes = [x.shape] + [(x := stage(x)).shape for stage in model.stages]
    assert [tuple(shape[1:]) for shape in shapes] == [
        (10, 32, 32), (20, 16, 16), (40, 8, 8), (80, 4, 4), (160, 2, 2),
    ]  # fmt: skip


def test_a_residual_layer_of_zeros_passes_its_input_on() -> None:
    residual = ResNetLite(**CIFAR).eval().get_submodule("stages.0.1")
    nn.init.zeros_(residual.get_parameter("layer.conv.weight"))
    x = torch.randn(2, 20, 16, 16)
    assert torch.equal(residual(x), x)


def test_without_skip_a_residual_layer_of_zeros_passes_nothing_on() -> None:
    deep, plain = (ResNetLite(**CIFAR, extra=6, skip=skip) for skip in (True, False))
    assert len([name for name in deep.state_dict() if name.endswith("layer.conv.weight")]) == 24
    plain.load_state_dict(deep.state_dict())
    residual = plain.eval().get_submodule("stages.0.1")
    nn.init.zeros_(residual.get_parameter("layer.conv.weight"))
    assert not residual(torch.randn(2, 20, 16, 16)).any()


def test_a_block_whose_second_normalization_is_zero_passes_its_shortcut_on() -> None:
    block = ResNet(**CIFAR).eval().get_submodule("stages.1.0")
    nn.init.zeros_(block.get_parameter("norm2.weight"))
    x = torch.rand(2, 16, 8, 8)
    out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])  # the new channels are on both sides, and zero
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_the_shortcut_of_option_b_is_a_convolution() -> None:
    assert sum(parameter.numel() for parameter in build("resnet20", shortcut="conv").parameters()) == 272_474
    assert not any(isinstance(m, Shortcut) for m in build("resnet20", shortcut="conv").modules())


def test_a_depth_that_is_no_resnet_s_is_refused() -> None:
    with pytest.raises(ValueError, match=r"depth must be of the form 6n \+ 2, such as .* \(got 18\)"):
        ResNet(**CIFAR, depth=18)


@pytest.mark.parametrize(
    ("name", "least"), [("convnet", 8), ("resnet-lite", 16), ("resnet20", 4), ("airbench", 9)]
)
def test_images_too_small_to_be_halved_are_refused(name: str, least: int) -> None:
    dims = {"in_channels": 3, "image_size": least, "num_classes": 4}
    assert build(name, dims).eval()(torch.zeros(1, 3, least, least)).shape == (1, 4)
    with pytest.raises(SpecError, match=rf"image_size must be at least {least} to be halved \d times"):
        build(name, dims | {"image_size": least - 1})


def test_a_camnet_s_logits_are_the_means_of_its_maps() -> None:
    model = CAMNet(**CIFAR).eval()
    maps: list[Tensor] = []

    def keep(module: nn.Module, given: Any, out: Tensor) -> None:
        maps.append(out)

    model.head.register_forward_hook(keep)
    logits = model(torch.randn(2, 3, 32, 32))
    assert maps[0].shape == (2, 10, 8, 8)
    torch.testing.assert_close(logits, maps[0].mean((2, 3)))


def test_an_airbench_group_begins_by_passing_its_input_on() -> None:
    conv = Airbench(**CIFAR).get_submodule("groups.0.conv1")
    x = torch.randn(1, 24, 8, 8)
    torch.testing.assert_close(conv(x)[:, :24], x)


@pytest.mark.parametrize(("channels", "filters"), [(3, 24), (1, 8)])
def test_airbench_s_first_layer_whitens_patches_like_those_it_was_shown(channels: int, filters: int) -> None:
    smooth = nn.functional.interpolate(torch.randn(64, channels, 8, 8), (32, 32), mode="bilinear")
    given = smooth + 0.2 * torch.randn(64, channels, 32, 32)
    dims: dict[str, Any] = {**CIFAR, "in_channels": channels}
    model = Airbench(**dims)
    untouched = model.stem.weight[filters:].clone()
    model.fit_inputs(given)
    out = nn.functional.conv2d(given, model.stem.weight)[:, :filters]
    half = filters // 2
    torch.testing.assert_close(out[:, :half], -out[:, half:])
    values = out[:, :half].transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(values), torch.eye(half), rtol=0, atol=0.05)
    assert torch.equal(model.stem.weight[filters:], untouched)
    assert not model.stem.weight.requires_grad


def test_airbench_with_few_filters_keeps_the_directions_of_most_variance() -> None:
    given = torch.randn(8, 3, 16, 16).cumsum(3)
    model = Airbench(**CIFAR, widths=[4, 8, 8, 8])
    model.fit_inputs(given)
    whole = Airbench(**CIFAR)
    whole.fit_inputs(given)
    torch.testing.assert_close(model.stem.weight[:2], whole.stem.weight[:2])


@pytest.mark.parametrize("order", ["conv-bn-relu", "conv-relu-bn"])
@pytest.mark.parametrize(("activation", "function"), [("relu", torch.relu), ("gelu", nn.functional.gelu)])
def test_a_layer_does_what_its_style_says(order: Any, activation: Any, function: Any) -> None:
    layer = ConvLayer(3, 5, LayerStyle(order=order, activation=activation))
    nn.init.normal_(layer.get_parameter("norm.bias"))
    x = torch.randn(4, 3, 8, 8)
    conv = nn.functional.conv2d(x, layer.conv.weight, padding=1)
    first, second = (layer.norm, function) if order == "conv-bn-relu" else (function, layer.norm)
    torch.testing.assert_close(layer(x), second(first(conv)))


def test_without_normalization_convolutions_have_a_bias() -> None:
    def parameters(norm: Norm) -> set[str]:
        return {name for name, _ in ConvNet(**CIFAR, norm=norm).named_parameters()}

    assert "stages.0.0.conv.bias" in parameters("none")
    assert "stages.0.0.conv.bias" not in parameters("batchnorm")


def test_batch_norm_from_scratch_is_torch_s() -> None:
    ours, theirs = BatchNorm(5), nn.BatchNorm2d(5)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    with torch.no_grad():
        for parameter in (ours.weight, ours.bias):
            parameter.copy_(torch.randn(5))
    theirs.load_state_dict(ours.state_dict())
    for step in range(20):
        x = 3 * torch.randn(6, 5, 7, 9, generator=torch.Generator().manual_seed(step)) + 1
        mine, yours = (x.clone().requires_grad_() for _ in range(2))
        a, b = ours(mine), theirs(yours)
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
        weights = torch.randn(a.shape, generator=torch.Generator().manual_seed(step))
        (a * weights).sum().backward()
        (b * weights).sum().backward()
        torch.testing.assert_close(mine.grad, yours.grad, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-4, rtol=1e-6)
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, theirs.get_buffer(name), atol=1e-6, rtol=1e-6)
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=1e-6)


def test_batch_norm_from_scratch_survives_what_the_lesson_s_does_not() -> None:
    norm = BatchNorm(2)
    assert torch.isfinite(norm(torch.ones(4, 2, 3, 3))).all()  # a constant channel
    with pytest.raises(ValueError, match="at least 2 values per channel"):
        norm(torch.ones(1, 2, 1, 1))
    assert norm(torch.ones(2, 2, 2, 2).bfloat16()).dtype == torch.bfloat16
    assert torch.autograd.gradcheck(BatchNorm(2).double(), torch.randn(3, 2, 2, 2).double().requires_grad_())


@pytest.mark.parametrize("norm", ["batchnorm", "scratch"])
def test_either_batch_norm_reads_the_other_s_weights(norm: str) -> None:
    trained = build("convnet-bn", norm=norm)
    images = torch.randn(8, 3, 32, 32)
    trained(images)
    other = build("convnet-bn", norm="scratch" if norm == "batchnorm" else "batchnorm")
    other.load_state_dict(trained.state_dict())
    torch.testing.assert_close(other.eval()(images), trained.eval()(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "convnet-bn", "resnet-lite", "resnet20", "camnet"])
def test_dropout_acts_in_training_only(name: str) -> None:
    model = build(name, dropout=0.5)
    images = torch.randn(4, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where torchvision's weights would be, in an empty cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    path = tmp_path / "hub" / "checkpoints" / "resnet34-b627a593.pth"
    path.parent.mkdir(parents=True)
    return path


def test_pretrained_weights_are_loaded_into_the_backbone_on_request(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {name: torch.full_like(value, 7) for name, value in resnet34().state_dict().items()}
    monkeypatch.setattr(ResNet34_Weights, "get_state_dict", lambda self, **options: published)
    monkeypatch.setattr("zoo_convnet.resnet34_cam.hashes_of", lambda paths: ["b627a593" + 56 * "0"])
    cached.touch()
    plain, pretrained = build("resnet34-cam"), build("resnet34-cam", pretrained="IMAGENET1K_V1")
    assert isinstance(plain, ResNet34CAM)
    assert isinstance(pretrained, ResNet34CAM)
    before = pretrained.head.weight.detach().clone()
    for model in (plain, pretrained):
        assert not (model.features.get_parameter("conv1.weight") == 7).any(), "not when it is built"
    assert plain.load_pretrained() == {}
    assert not (plain.features.get_parameter("conv1.weight") == 7).any()
    origin = pretrained.load_pretrained()
    assert origin == {
        "architecture": "torchvision/resnet34",
        "dataset": "IMAGENET1K_V1",
        "sha256": "b627a593" + 56 * "0",
    }
    assert all((value == 7).all() for value in pretrained.features.state_dict().values())
    assert torch.equal(pretrained.head.weight, before)


def test_optional_abilities_are_protocols() -> None:
    assert isinstance(build("airbench"), FitsInputs)
    assert isinstance(build("resnet34-cam"), LoadsPretrained)
    assert not isinstance(build("convnet"), FitsInputs | LoadsPretrained)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 and no more"])
def test_pretrained_weights_that_are_missing_or_unreadable_are_named(content: bytes, cached: Path) -> None:
    model = build("resnet34-cam", pretrained="IMAGENET1K_V1")
    assert isinstance(model, LoadsPretrained)
    with pytest.raises(DataError, match=r"IMAGENET1K_V1 is not cached at .*, and ZOO_OFFLINE disables"):
        model.load_pretrained()
    cached.write_bytes(content)
    with pytest.raises(DataError, match=f"IMAGENET1K_V1 cannot be read from {cached}: ") as caught:
        model.load_pretrained()
    assert caught.value.hint is not None
    assert "delete the file and try again, or download it from https://" in caught.value.hint


def test_pretrained_weights_that_were_changed_are_refused(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {name: torch.zeros_like(value) for name, value in resnet34().state_dict().items()}
    monkeypatch.setattr(ResNet34_Weights, "get_state_dict", lambda self, **options: published)
    cached.write_bytes(b"other bytes")
    model = build("resnet34-cam", pretrained="IMAGENET1K_V1")
    assert isinstance(model, LoadsPretrained)
    with pytest.raises(DataError, match="ValueError: its sha256 is "):
        model.load_pretrained()


def test_pretrained_weights_require_color() -> None:
    with pytest.raises(
        SpecError, match=r"pretrained=IMAGENET1K_V1 requires images with 3 channels \(got 1\)"
    ):
        build("resnet34-cam", CIFAR | {"in_channels": 1}, pretrained="IMAGENET1K_V1")
