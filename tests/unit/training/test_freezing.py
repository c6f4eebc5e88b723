"""Freezing parts of a model, and layer-wise learning rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.config.train_config import TrainConfig
from zoo.errors import OptionError
from zoo.training.freezing import freeze, train_mode, without
from zoo.training.loop import fit
from zoo.training.optimizers import make_optimizer
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.stages = nn.Sequential(
            nn.Conv2d(4, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False))
        )
        self.dropout = nn.Dropout(0.5)
        self.scale = nn.Parameter(torch.ones(1))
        self.out = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.dropout(self.stages(self.stem(images)).mean((2, 3)))) * self.scale


def frozen(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["stem"], {"stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"}),
        (["stages.1", "out.bias"], {"stages.1.0.weight", "stages.1.0.bias", "out.bias"}),
        (["*.bias"], {"stem.0.bias", "stem.1.bias", "stages.0.bias", "stages.1.0.bias", "out.bias"}),
        ([], set()),
    ],
)
def test_patterns_name_modules_or_parameters(patterns: list[str], expected: set[str]) -> None:
    model = Net()
    freeze(model, patterns)
    assert frozen(model) == expected


def test_parameters_that_an_architecture_froze_stay_frozen(images: Any) -> None:
    model = Net()
    model.stem.requires_grad_(False)
    model.order = nn.Parameter(torch.arange(3), requires_grad=False)
    weight = model.get_parameter("stem.0.weight")
    before = weight.clone()
    fit(model, Classification(CLASSIFICATION), images(), TrainConfig(batch_size=8, lr=0.1))
    assert torch.equal(weight, before)
    assert not weight.requires_grad


def test_a_tied_parameter_matches_by_any_of_its_names() -> None:
    model = nn.ModuleDict({"first": nn.Linear(2, 2), "last": nn.Linear(2, 2)})
    model["last"].weight = model["first"].weight
    freeze(model, ["last.weight"])
    assert not model["first"].weight.requires_grad


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match="freeze=stag matches no parameter") as caught:
        freeze(Net(), ["stem", "stag"])
    assert caught.value.hint == "top-level names: scale, stem, stages, out"


def test_only_frozen_modules_with_buffers_leave_training_mode() -> None:
    model = Net().eval()
    train_mode(model, ["stages"])
    still = {name for name, module in model.named_modules() if not module.training}
    assert still == {"stages.1.1"}  # a BatchNorm without parameters, only statistics
    train_mode(model, ["*.weight"])  # the bias of BatchNorm is trained, and so are its statistics
    assert all(module.training for module in model.modules())
    train_mode(model, ["stem.*.weight", "stem.*.bias"])
    assert [name for name, module in model.named_modules() if not module.training] == ["stem.1"]


def test_a_frozen_module_leaves_its_children_in_training_mode() -> None:
    model = Net()
    model.place = nn.Parameter(torch.zeros(1))
    model.register_buffer("place_ids", torch.zeros(1))
    train_mode(model, ["place", "place_ids", "scale"])
    assert [name for name, module in model.named_modules() if not module.training] == [""]


def test_training_does_not_change_what_is_frozen(images: Any) -> None:
    model = Net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = TrainConfig(
        epochs=2, batch_size=8, lr=0.1, weight_decay=0.1, freeze=("stem", "stages.1"), ema_decay=0.5
    )
    fit(model, Classification(CLASSIFICATION), images(), config)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"stages.0.weight", "stages.0.bias", "scale", "out.weight", "out.bias"}


@pytest.mark.parametrize(("epochs", "moved"), [(1, False), (2, True)])
def test_what_is_frozen_for_an_epoch_is_trained_after_it(images: Any, epochs: int, moved: bool) -> None:
    model = Net()
    model.stages[0].bias.requires_grad_(False)  # by the architecture itself
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = TrainConfig(epochs=epochs, batch_size=8, lr=0.1, freeze=("stem", "stages"), freeze_epochs=1)
    fit(model, Classification(CLASSIFICATION), images(), config)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {"out.weight", "out.bias"} <= changed
    assert ("stem.0.weight" in changed, "stem.1.running_mean" in changed) == (moved, moved)
    assert "stages.0.bias" not in changed


@pytest.mark.parametrize(
    ("fresh", "names"),
    [
        (["out.weight", "out.bias"], ["stem", "stages", "scale"]),
        (["stages.1.0.bias", "out.bias"], ["stem", "stages.0", "stages.1.0.weight", "out.weight", "scale"]),
    ],
)
def test_the_largest_parts_without_a_new_tensor_are_named(fresh: list[str], names: list[str]) -> None:
    assert sorted(without(Net(), fresh)) == sorted(names)


def test_layer_decay_lowers_the_rate_towards_the_input() -> None:
    model = Net()
    groups = make_optimizer(model, TrainConfig(layer_decay=0.5)).param_groups
    scales = {id(parameter): group["scale"] for group in groups for parameter in group["params"]}
    names = {name: scales[id(parameter)] for name, parameter in model.named_parameters()}
    assert names == {
        "stem.0.weight": 1 / 16, "stem.0.bias": 1 / 16, "stem.1.weight": 1 / 8, "stem.1.bias": 1 / 8,
        "stages.0.weight": 1 / 4, "stages.0.bias": 1 / 4,
        "stages.1.0.weight": 1 / 2, "stages.1.0.bias": 1 / 2,
        "out.weight": 1, "out.bias": 1, "scale": 1,
    }  # fmt: skip


def test_a_step_moves_each_layer_at_its_own_rate(images: Any) -> None:
    model = Net()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    config = TrainConfig(optimizer="adam", lr=1e-3, schedule="constant", layer_decay=0.1, batch_size=20)
    fit(model, Classification(CLASSIFICATION), images(20), config)  # one step: Adam's first is lr long
    moved = {name: (p.detach() - before[name]).abs().max().item() for name, p in model.named_parameters()}
    assert moved["out.bias"] == pytest.approx(1e-3, rel=1e-3)
    assert moved["stages.1.0.weight"] == pytest.approx(1e-4, rel=1e-2)
    assert moved["stem.1.weight"] == pytest.approx(1e-6, rel=0.1)
