"""What analyzers find inside a network, against a computation of its own for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError, ZooWarning
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import SpecError
from zoo_analyzers import filters
from zoo_analyzers.batch_statistics import BatchStatistics
from zoo_analyzers.feature_maps import FeatureMaps
from zoo_analyzers.filters import Filters
from zoo_analyzers.gradient_through_time import GradientThroughTime
from zoo_analyzers.hidden_units import HiddenUnits
from zoo_analyzers.residual_layers import ResidualLayers
from zoo_charrnn.gru import CharGRU
from zoo_charrnn.rnn import CharRNN
from zoo_convnet.convnet import ConvNet
from zoo_convnet.mlp import MLP
from zoo_convnet.resnet import ResNet
from zoo_convnet.resnet_lite import ResNetLite

VOCABULARY = ["<unk>", *"abcd"]
IMAGES = {"size": 16, "mean": [0.0] * 3, "std": [1.0] * 3, "classes": ["a", "b"]}
SIZES = {"in_channels": 3, "image_size": 16, "num_classes": 2}


def seeded(make: Any, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return make(**arguments).double().eval().requires_grad_(make in (CharGRU, CharRNN))


def text(length: int, *, streams: int = 2) -> list[Batch]:
    """Return a text in two batches, read as parallel streams."""
    tokens = torch.randint(0, 5, (length + 1, streams), generator=torch.Generator().manual_seed(1))
    half = length // 2
    return [
        Batch(tokens[:half], tokens[1 : half + 1], 0, 2, 0, fresh=True),
        Batch(tokens[half:-1], tokens[half + 1 :], 1, 2, 0),
    ]


def images(*sizes: int) -> list[Batch]:
    draws = torch.Generator().manual_seed(2)
    return [
        Batch(torch.rand(size, 3, 16, 16, generator=draws).double(), torch.zeros(size), 0, 1, 0)
        for size in sizes
    ]


def found(analyzer: Analyzer, model: nn.Module, batches: Sequence[Batch], **landmarks: str) -> Analysis:
    task = "classification" if batches[0].inputs.ndim == 4 else "language-modeling"
    preprocess = IMAGES if task == "classification" else {"vocabulary": VOCABULARY}
    return analyzer.analyze(
        model, batches, subject=Subject(task=task, landmarks=landmarks, preprocess=preprocess)
    )


def numbers(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().double().numpy()


def rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def test_hidden_units_are_described_by_the_tokens_before_them() -> None:
    model = seeded(CharGRU, vocab_size=5, embedding_dim=4, hidden_size=6)
    batches = text(40)
    tokens = torch.cat([batch.inputs for batch in batches])  # (T, B)
    hidden = numbers(model.gru(model.embedding(tokens))[0].transpose(0, 1).flatten(0, 1))  # (N, H)
    read = tokens.T.flatten().numpy()
    table = found(HiddenUnits(), model, batches, head="out").tables["units"]
    assert len(table) == 6
    for unit, row in enumerate(table):
        values = hidden[:, unit]
        within = sum(values[read == token].var() * (read == token).sum() for token in range(5))
        assert row["mean"] == pytest.approx(values.mean(), abs=1e-6)
        assert row["std"] == pytest.approx(values.std(), abs=1e-6)
        assert row["explained"] == pytest.approx(1 - within / len(values) / values.var(), abs=1e-5)
        centered = values - values.mean()
        product = (centered[1:] * centered[:-1]).sum() / (centered**2).sum()
        assert row["persistence"] == pytest.approx(product, abs=1e-5)
        means = [values[read == token].mean() for token in range(5)]
        assert row["highest"][0] == VOCABULARY[int(np.argmax(means))]
        assert row["lowest"][0] == VOCABULARY[int(np.argmin(means))]


@pytest.mark.parametrize("length", [2, 3, 40])
def test_hidden_units_of_a_short_text_come_with_a_warning_and_name_each_token_once(length: int) -> None:
    model = seeded(CharGRU, vocab_size=5, embedding_dim=4, hidden_size=6)
    with pytest.warns(ZooWarning, match=rf"^{2 * length} tokens are too few for .*; use at least 1,000"):
        rows = found(HiddenUnits(), model, text(length), head="out").tables["units"]
    for row in rows:
        named = [*row["highest"], *row["lowest"]]
        assert len({*named}) == len(named) > 0


def test_the_units_that_are_asked_for_are_shown() -> None:
    model = seeded(CharGRU, vocab_size=5, embedding_dim=4, hidden_size=6)
    shown = found(HiddenUnits(units=[4, 1]), model, text(40), head="out")
    assert [line.split(":")[0] for line in shown.text.splitlines()] == ["unit 4", "unit 1"]
    mean = sum(row["persistence"] for row in shown.tables["units"]) / 6
    assert shown.scores["mean_persistence"] == pytest.approx(mean)
    assert b"unit 4" in shown.figures["hidden-units.html"]()
    with pytest.raises(OptionError, match="there is no unit 6; the last unit is 5"):
        found(HiddenUnits(units=[6]), model, text(40), head="out")


def test_the_gradient_through_time_is_a_product_of_jacobians() -> None:
    model = seeded(CharRNN, vocab_size=5, embedding_dim=4, hidden_size=6)
    batches = text(9, streams=1)
    tokens = torch.cat([batch.inputs for batch in batches])[:, 0]
    target = int(torch.cat([batch.targets for batch in batches])[8, 0])
    weights = {name: numbers(weight) for name, weight in model.state_dict().items()}
    hidden = np.zeros((10, 6))
    for t, token in enumerate(tokens.tolist()):
        from_input = weights["rnn.weight_ih_l0"] @ weights["embedding.weight"][token]
        sums = from_input + weights["rnn.bias_ih_l0"] + weights["rnn.bias_hh_l0"]
        hidden[t + 1] = np.tanh(sums + weights["rnn.weight_hh_l0"] @ hidden[t])
    logits = weights["out.weight"] @ hidden[9] + weights["out.bias"]
    error = np.exp(logits) / np.exp(logits).sum()
    error[target] -= 1
    gradient, norms = weights["out.weight"].T @ error, list[float]()
    for t in range(9, 1, -1):  # the state before token t was read
        gradient = weights["rnn.weight_hh_l0"].T @ ((1 - hidden[t] ** 2) * gradient)
        norms.append(float(np.linalg.norm(gradient)))
    result = found(GradientThroughTime(steps=60), model, batches)
    assert [row["norm"] for row in result.tables["gradient"]] == pytest.approx(norms, rel=1e-5)
    assert [row["back"] for row in result.tables["gradient"]] == [*range(1, 9)]
    assert result.scores["factor"] == pytest.approx((norms[-1] / norms[0]) ** (1 / 7), rel=1e-5)


def padded(padding: Any, **_: int) -> nn.Module:
    pooled = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(3, 4, 5, padding=padding), pooled)


@pytest.mark.parametrize("make", [ConvNet, MLP, partial(padded, "same"), partial(padded, "valid")])
def test_a_filter_responds_as_reported_to_the_patch_that_is_drawn(
    make: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(filters, "filters_plot", lambda *parts, title: drawn.extend(parts))
    monkeypatch.setattr(filters.style, "png", lambda _: b"")
    model, batches = seeded(make, **SIZES), images(3, 2)
    result = found(Filters(examples=2), model, batches)
    result.figures["filters.png"]()
    weights, patches = drawn
    layer = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    pixels = torch.cat([batch.inputs for batch in batches])
    with torch.no_grad():
        responses = layer(pixels if isinstance(layer, nn.Conv2d) else pixels.flatten(1))
        assert layer.bias is not None
        biases = numbers(layer.bias)
    highest = responses.view(5, len(biases), -1).amax(2)  # (N, filters)
    for number, row in enumerate(result.tables["filters"]):
        assert row["highest"] == pytest.approx(float(highest[:, number].max()), abs=1e-5)
        assert row["input"] == f"input {int(highest[:, number].argmax())}"
        again = float((weights[number] * patches[number][0]).sum()) + biases[number]
        assert again == pytest.approx(row["highest"], abs=1e-4)


def test_the_first_layer_must_read_the_pixels() -> None:
    model = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(48, 2)).double()
    with pytest.raises(OptionError, match="does not read the pixels"):
        found(Filters(), model, images(2))


def test_feature_maps_are_those_of_each_stage() -> None:
    model, (batch,) = seeded(ConvNet, **SIZES, widths=[4, 8, 8]), images(3)
    result = found(FeatureMaps(channels=3, examples=2), model, [batch], features="stages")
    x = F.conv2d(batch.inputs, model.stem.weight, model.stem.bias, padding=2)
    stages = [x := stage(x) for stage in model.stages]
    rows = result.tables["channels"]
    assert {row["layer"] for row in rows} == {"stages.0", "stages.1"}
    assert {*result.figures} == {"feature-maps-1.png", "feature-maps-2.png"}
    for row in rows:
        maps = stages[int(row["layer"][-1])][int(row["input"][-1])]
        own = maps[row["channel"]]
        assert row["mean"] == pytest.approx(float(own.mean()), abs=1e-5)
        assert row["highest"] == pytest.approx(float(own.max()), abs=1e-5)
        assert sum(bool(other.max() > own.max()) for other in maps) < 3


@pytest.mark.parametrize("norm", ["batchnorm", "scratch"])
def test_batches_are_compared_with_the_running_statistics(norm: str) -> None:
    model = seeded(ConvNet, **SIZES, widths=[4, 8], norm=norm)
    layer = model.stages[0][0].norm
    layer.running_mean.uniform_(-1, 1)
    layer.running_var.uniform_(0.5, 2)
    batches = images(5, 4)
    pixels = torch.cat([batch.inputs for batch in batches])
    before = F.relu(model.stages[0][0].conv(model.stem(pixels)))
    whole = numbers(before).reshape(9, 8, -1)[:8].reshape(2, 4, 8, -1)  # two batches of four
    deviation = numbers((layer.running_var + 1e-5).sqrt())
    means = (whole.mean((1, 3)) - numbers(layer.running_mean)) / deviation
    stds = np.sqrt(whole.var((1, 3)) + 1e-5) / deviation
    with pytest.warns(ZooWarning, match="left out because they do not fill a batch of 4: 1"):
        (row,) = found(BatchStatistics(batch_size=4), model, batches).tables["layers"]
    assert (row["channels"], row["batches"]) == (8, 2)
    assert row["offset"] == pytest.approx(np.sqrt((means**2).mean()), abs=1e-5)
    assert row["noise"] == pytest.approx(np.sqrt(((means - means.mean(0)) ** 2).mean()), abs=1e-5)
    assert row["std"] == pytest.approx(stds.mean(), abs=1e-5)


def test_a_model_without_batchnorm_is_refused() -> None:
    with pytest.raises(SpecError, match="has no BatchNorm layers"):
        found(BatchStatistics(), seeded(MLP, **SIZES), images(2))


def test_the_noise_of_few_images_is_that_of_two_halves() -> None:
    model = seeded(ConvNet, **SIZES, widths=[4, 8])
    with pytest.warns(ZooWarning, match="7 images are fewer than two batches of 32; comparing two of 3"):
        few = found(BatchStatistics(), model, images(3, 4))
    with pytest.warns(ZooWarning, match="left out"):
        halves = found(BatchStatistics(batch_size=3), model, images(3, 4))
    assert few.tables == halves.tables
    assert few.details["batch_size"] == 3
    assert few.scores["noise"] > 0
    with pytest.raises(OptionError, match=r"at least two images \(got 1\)"):
        found(BatchStatistics(), model, images(1))


def test_what_a_residual_layer_adds_is_told_from_its_input() -> None:
    model, batches = seeded(ResNetLite, **SIZES, widths=[4, 8], extra=2), images(3, 2)
    x = model.stages[0][0](model.stem(torch.cat([batch.inputs for batch in batches])))
    rows = found(ResidualLayers(), model, batches).tables["layers"]
    assert [row["layer"] for row in rows] == ["stages.0.1", "stages.0.2"]
    for row, layer in zip(rows, model.stages[0][1:], strict=True):
        added = layer.layer(x)
        assert row["x"] == pytest.approx(rms(x), abs=1e-5)
        assert row["f"] == pytest.approx(rms(added), abs=1e-5)
        assert row["ratio"] == pytest.approx(rms(added) / rms(x), abs=1e-5)
        x = x + added


@pytest.mark.parametrize("shortcut", ["pad", "conv"])
def test_the_shortcut_of_a_block_that_halves_the_image_is_its_input(shortcut: str) -> None:
    model, (batch,) = seeded(ResNet, **SIZES, depth=8, width=4, shortcut=shortcut), images(3)
    x = F.relu(model.norm(model.conv(batch.inputs)))
    x = model.stages[0](x)
    block = model.stages[1][0]
    residual = block.norm2(block.conv2(F.relu(block.norm1(block.conv1(x)))))
    row = found(ResidualLayers(), model, [batch]).tables["layers"][1]
    assert row["layer"] == "stages.1.0"
    assert row["x"] == pytest.approx(rms(block.shortcut(x)), abs=1e-5)
    assert row["f"] == pytest.approx(rms(residual), abs=1e-5)


def test_a_model_without_residual_layers_is_refused() -> None:
    for model in (seeded(ConvNet, **SIZES), seeded(ResNetLite, **SIZES, skip=False)):
        with pytest.raises(SpecError, match="has no residual layers: it adds no two tensors"):
            found(ResidualLayers(), model, images(2))


class Gated(nn.Module):
    """A residual layer whose branch splits what it has computed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        value, gate = self.conv(x).chunk(2, dim=1)
        return value * gate.sigmoid() + x


def test_a_branch_may_split_what_it_has_computed() -> None:
    model, (batch,) = seeded(Gated), images(2)
    x = model.stem(batch.inputs)
    (row,) = found(ResidualLayers(), model, [batch]).tables["layers"]
    assert row["x"] == pytest.approx(rms(x), abs=1e-5)
    assert row["f"] == pytest.approx(rms(model(batch.inputs) - x), abs=1e-5)


class Halved(nn.Module):
    """A residual layer that adds half of its branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        return torch.add(x, self.conv(x), alpha=0.5)


def test_a_factor_in_the_addition_counts() -> None:
    model, (batch,) = seeded(Halved), images(2)
    x = model.stem(batch.inputs)
    (row,) = found(ResidualLayers(), model, [batch]).tables["layers"]
    assert row["x"] == pytest.approx(rms(x), abs=1e-5)
    assert row["f"] == pytest.approx(rms(model.conv(x)) / 2, abs=1e-5)
