"""Class activation maps against what they must equal: logits, each other, other libraries."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zoo import OptionError, Registry
from zoo.analysis.analyzer_run import make_analyzer
from zoo.interfaces import Batch, Subject
from zoo.models.building import build_model, model_arguments
from zoo.plugin import SpecError

REGISTRY = Registry.discover()
DIMS = {"in_channels": 3, "image_size": 32, "num_classes": 10}
PREPROCESS = {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": [str(n) for n in range(10)]}
FAMILY = [entry.spec.name for entry in REGISTRY.entries("analyzer") if entry.plugin.name == "cam"]
ARCHITECTURES = ["convnet", "convnet-bn", "resnet-lite", "resnet20", "airbench", "camnet"]


def model_of(name: str, *, trained: bool = True, **options: Any) -> nn.Module:
    """Return a network in evaluation mode whose BatchNorm statistics have been updated."""
    entry = REGISTRY.architecture(name)
    arguments = model_arguments(entry, REGISTRY.task("classification"), DIMS, options)
    model = build_model(entry, arguments, seed=0)
    if trained:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for _ in range(3):
                model(images(32, seed=7))
    return model.eval()


def images(count: int, *, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 8, 8, generator=draws)
    smooth = nn.functional.interpolate(coarse, (32, 32), mode="bilinear")
    return (smooth + 0.3 * torch.randn(count, 3, 32, 32, generator=draws)).to(
        memory_format=torch.channels_last
    )


class Maps(NamedTuple):
    """What every class activation map comes with."""

    maps: Tensor
    classes: Tensor
    logits: Tensor
    details: Mapping[str, Any]


def look(
    analyzer: str,
    architecture: str,
    model: nn.Module,
    given: Tensor,
    *,
    classes: Any = ("predicted",),
    layer: str | None = None,
    **options: Any,
) -> Maps:
    landmarks: dict[str, str] = {**REGISTRY.architecture(architecture).spec.landmarks}
    if layer:
        landmarks["features"] = layer
    subject = Subject(task="classification", landmarks=landmarks, preprocess=PREPROCESS, classes=classes)
    batch = Batch(given, torch.full((len(given),), -1), 0, 1, 0)
    found = make_analyzer(REGISTRY.analyzer(analyzer), options).analyze(model, [batch], subject=subject)
    assert found.maps is not None
    assert found.classes is not None
    assert found.logits is not None
    return Maps(found.maps, found.classes, found.logits, found.details)


def scaled(maps: Tensor) -> Tensor:
    """Divided by the largest value of each map."""
    return maps / maps.amax((-2, -1), keepdim=True).clamp(min=1e-12)


@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_the_mean_of_cam_and_the_bias_are_the_logit(name: str) -> None:
    model, given = model_of(name), images(4)
    found = look("cam", name, model, given, classes=tuple(range(10)), rectify=False)
    with torch.no_grad():
        logits = model(given)
    assert found.maps.shape == (4, 10, 8, 8)
    bias = model.get_parameter("out.bias")
    torch.testing.assert_close(found.maps.mean((2, 3)) + bias, logits, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(found.logits, logits)


def test_the_mean_of_a_class_map_is_the_logit() -> None:
    model, given = model_of("camnet"), images(4)
    found = look("cam", "camnet", model, given, classes=tuple(range(10)), rectify=False)
    with torch.no_grad():
        torch.testing.assert_close(found.maps.mean((2, 3)), model(given), rtol=0, atol=1e-5)


def test_cam_is_refused_if_an_activation_stands_between_the_maps_and_their_mean() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 10)

        def forward(self, given: Tensor) -> Tensor:
            return self.head(self.conv(given).relu().mean((2, 3)))

    torch.manual_seed(0)
    subject = Subject(
        task="classification",
        landmarks={"features": "conv", "mean_head": "head"},
        preprocess=PREPROCESS,
    )
    batch = Batch(images(2), torch.full((2,), -1), 0, 1, 0)
    with pytest.raises(SpecError, match="logits from the means of layer conv, so its class") as caught:
        make_analyzer(REGISTRY.analyzer("cam"), {}).analyze(Net().eval(), [batch], subject=subject)
    assert "including its last activation" in str(caught.value.hint)


@pytest.mark.parametrize("other", ["grad-cam", "hires-cam"])
def test_behind_a_mean_gradients_say_what_cam_says(other: str) -> None:
    model, given = model_of("resnet20"), images(4)
    plain = look("cam", "resnet20", model, given, classes=(1, 2, 3), rectify=False)
    found = look(other, "resnet20", model, given, classes=(1, 2, 3), rectify=False)
    places = 8 * 8
    torch.testing.assert_close(found.maps * places, plain.maps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FAMILY)
def test_maps_are_of_the_predicted_class_unless_others_are_asked_about(name: str) -> None:
    model, given = model_of("resnet20"), images(3)
    with torch.no_grad():
        predicted = model(given).argmax(1)
    found = look(name, "resnet20", model, given)
    assert torch.equal(found.classes, predicted[:, None])
    asked = look(name, "resnet20", model, given, classes=(4, int(predicted[0])))
    assert asked.classes.tolist() == [[4, int(predicted[0])]] * 3
    torch.testing.assert_close(asked.maps[0, 1], found.maps[0, 0])
    assert (found.maps >= 0).all()
    if name != "eigen-cam":
        assert not torch.equal(asked.maps[:, 0], asked.maps[:, 1])


@pytest.mark.parametrize("name", FAMILY)
def test_flips_average_with_the_mirrored_image(name: str) -> None:
    model, given = model_of("resnet20"), images(2)
    found = look(name, "resnet20", model, given, classes=(3,), flips=True)
    plain = look(name, "resnet20", model, given, classes=(3,))
    mirrored = look(name, "resnet20", model, given.flip(3), classes=(3,))
    torch.testing.assert_close(found.maps, (plain.maps + mirrored.maps.flip(3)) / 2)
    assert found.classes.tolist() == [[3], [3]]


@pytest.mark.parametrize("name", ["grad-cam", "layer-cam", "score-cam"])
def test_another_layer_gives_maps_of_its_size(name: str) -> None:
    found = look(name, "resnet20", model_of("resnet20"), images(1), layer="stages.1")
    assert found.maps.shape == (1, 1, 16, 16)
    assert found.details == {"layer": "stages.1"}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("out", r"its output has shape \(1, 10\)"),
        ("stages", r"its output has shape \(1, 256, 1, 1\)"),
    ],
)
def test_a_layer_without_feature_maps_is_refused(layer: str, words: str) -> None:
    model = model_of("resnet20", depth=8)
    given = images(1)[:, :, :4, :4] if layer == "stages" else images(1)
    model_ = model if layer == "out" else model_of("resnet20", width=64)
    with pytest.raises(OptionError, match=words):
        look("grad-cam", "resnet20", model_, given, layer=layer)


def test_a_layer_that_outputs_no_tensor_is_refused() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()
            self.unused = nn.Identity()
            self.out = nn.Linear(3, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.pair(x)[0].mean((2, 3)))

    with pytest.raises(
        OptionError,
        match="layer pair has no feature maps: expected a tensor, but the module returned a tuple",
    ):
        look("grad-cam", "resnet20", Net(), images(1), layer="pair")
    with pytest.raises(
        OptionError,
        match="layer unused has no feature maps: expected a tensor, but the module returned nothing",
    ):
        look("grad-cam", "resnet20", Net(), images(1), layer="unused")


def test_score_cam_does_not_depend_on_its_batch_size() -> None:
    model, given = model_of("resnet20"), images(2)
    one = look("score-cam", "resnet20", model, given, batch_size=7)
    torch.testing.assert_close(one.maps, look("score-cam", "resnet20", model, given).maps)


def test_eigen_cam_finds_the_pattern_that_features_share_the_right_way_up() -> None:
    pattern = torch.tensor([[0.0, 1.0, 0.0], [2.0, 5.0, 1.0], [0.0, 3.0, 0.0]])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.Conv2d(1, 3, 1, bias=False)
            self.stages.weight.data = torch.tensor([2.0, -0.5, 1.0]).view(3, 1, 1, 1)
            self.out = nn.Linear(3, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.stages(x).mean((2, 3)))

    maps = look("eigen-cam", "resnet20", Net(), pattern[None, None]).maps
    torch.testing.assert_close(scaled(maps)[0, 0], pattern / 5)


def test_a_layer_that_the_logits_do_not_depend_on_is_refused() -> None:
    class Net(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.how = how
            self.stages = nn.Conv2d(3, 4, 1)
            self.out = nn.Linear(4, 10)

        def forward(self, x: Tensor) -> Tensor:
            with torch.set_grad_enabled(self.how != "no_grad" and torch.is_grad_enabled()):
                features = self.stages(x)
            if self.how == "aside":
                features = features.detach()
            return self.out(features.mean((2, 3)))

    for how in ("no_grad", "aside"):
        with pytest.raises(OptionError, match="does not depend on this layer, or the model disables"):
            look("grad-cam", "resnet20", Net(how), images(1))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.nightly] * (name not in ("cam", "grad-cam"))) for name in FAMILY],
)
def test_models_in_half_precision_are_looked_into(name: str) -> None:
    model, given = model_of("resnet20").bfloat16(), images(2).bfloat16()
    found = look(name, "resnet20", model, given, classes=(3,))
    exact = look(name, "resnet20", model_of("resnet20"), images(2), classes=(3,))
    assert found.maps.dtype == torch.float32
    torch.testing.assert_close(scaled(found.maps), scaled(exact.maps), rtol=0, atol=0.35)


# Against other libraries: the same model, layer and classes.


def of_each(kinds: list[str], architectures: list[str]) -> list[Any]:
    """Return all pairs; by day each kind on the last architecture, and the first kind on the others."""
    pairs = [(kind, architecture) for kind in kinds for architecture in architectures]
    return [
        pytest.param(
            *pair, marks=[pytest.mark.nightly] * (pair[0] != kinds[0] and pair[1] != architectures[-1])
        )
        for pair in pairs
    ]


def theirs(kind: str, model: nn.Module, layer: nn.Module, given: Tensor, classes: list[int]) -> np.ndarray:
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    names = {
        "grad-cam": "GradCAM",
        "grad-cam++": "GradCAMPlusPlus",
        "hires-cam": "HiResCAM",
        "layer-cam": "LayerCAM",
        "score-cam": "ScoreCAM",
        "eigen-cam": "EigenCAM",
    }
    with getattr(library, names[kind])(model, [layer]) as cam:
        return cam(input_tensor=given, targets=[ClassifierOutputTarget(number) for number in classes])


def as_they_scale(maps: Tensor, size: int) -> np.ndarray:
    from pytorch_grad_cam.utils.image import scale_cam_image

    return np.asarray(scale_cam_image(np.asarray(scale_cam_image(maps.numpy(), (size, size)))))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "architecture"),
    of_each(["grad-cam", "grad-cam++", "hires-cam", "layer-cam", "score-cam"], ARCHITECTURES),
)
def test_maps_equal_those_of_pytorch_grad_cam(kind: str, architecture: str) -> None:
    count = 2 if kind == "score-cam" else 16
    narrow = kind == "score-cam" and architecture == "airbench"
    options: dict[str, Any] = {"widths": [8, 16, 32, 32]} if narrow else {}
    model, given = model_of(architecture, **options), images(count)
    classes = [number % 10 for number in range(count)]
    ours = torch.stack(
        [
            look(kind, architecture, model, given[i : i + 1], classes=(c,)).maps[0, 0]
            for i, c in enumerate(classes)
        ]
    )
    layer = model.get_submodule(REGISTRY.architecture(architecture).spec.landmarks["features"])
    with contextlib.redirect_stderr(io.StringIO()):
        expected = theirs(kind, model, layer, given, classes)
    np.testing.assert_allclose(as_they_scale(ours, 32), expected, rtol=0, atol=1e-4)


class Tokens(nn.Module):
    """A convolution whose maps are turned into (B, h, w, C), or into tokens after a class token."""

    def __init__(self, *, flat: bool) -> None:
        super().__init__()
        self.grid = nn.Conv2d(3, 6, 4, stride=4)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 10)
        self.flat = flat

    def forward(self, given: Tensor) -> Tensor:
        maps = self.grid(given).permute(0, 2, 3, 1)  # (B, 8, 8, 6)
        if self.flat:
            maps = torch.cat([torch.ones_like(maps[:, :1, 0]), maps.flatten(1, 2)], 1)  # (B, 65, 6)
        tokens = self.norm(maps)
        return self.head((tokens[:, 1:] if self.flat else tokens.flatten(1, 2)).mean(1))


@pytest.mark.parametrize("name", [name for name in FAMILY if name != "cam"])
@pytest.mark.parametrize("flat", [True, False])
def test_tokens_are_read_as_maps(name: str, flat: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Tokens(flat=flat).eval()
    given = images(2)
    batch = Batch(given, torch.full((2,), -1), 0, 1, 0)
    options = {"rectify": False}
    with torch.no_grad():
        maps = model.norm(model.grid(given).permute(0, 2, 3, 1)) @ model.head.weight[3]  # (B, 8, 8)
    subject = Subject(
        task="classification", landmarks={"tokens": "norm"}, preprocess=PREPROCESS, classes=(3,)
    )
    found = make_analyzer(REGISTRY.analyzer(name), options).analyze(model, [batch], subject=subject)
    assert found.maps is not None
    assert found.maps.shape == (2, 1, 8, 8)
    if name in ("grad-cam", "hires-cam"):
        torch.testing.assert_close(found.maps[:, 0] * 64, maps, rtol=1e-4, atol=1e-5)
