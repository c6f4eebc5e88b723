"""Lion and Muon against their formulas, the schedule, and how they are chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from tests.configs import configured
from zoo import OptionError, Recipe, Registry, TrainConfig
from zoo.config.layers import YOU, Layers
from zoo.registry.methods import with_checked_methods
from zoo.training.optimizers import make_optimizer
from zoo_optim.lion import Lion
from zoo_optim.muon import hidden_matrices
from zoo_optim.plateau import plateau
from zoo_optim.warmup_stable_decay import warmup_stable_decay


@pytest.fixture
def usual(registry: Registry) -> TrainConfig:
    """Zoo's defaults for classification, which can name every optimizer."""
    return registry.default_config("classification")


class Net(nn.Module):
    """An embedding, a convolution, two hidden matrices, a bias and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.conv = nn.Conv1d(4, 4, 3)
        self.gru = nn.GRU(4, 3)
        self.head = nn.Linear(3, 5)


def test_lion_moves_by_the_sign_of_its_momentum() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = Lion([{"params": [weight]}], lr=0.1, momentum=0.9, weight_decay=0.5, beta2=0.99)
    weight.grad = torch.tensor([2.0, -4.0])
    optimizer.step()
    decayed = 1 - 0.1 * 0.5
    assert weight.tolist() == pytest.approx([decayed - 0.1, decayed + 0.1])
    assert optimizer.state[weight]["momentum"].tolist() == pytest.approx([0.02, -0.04])
    weight.grad = torch.tensor([-0.1, 0.0])  # 0.9 * 0.02 - 0.1 * 0.1 is still above 0
    optimizer.step()
    assert weight[0].item() == pytest.approx((decayed - 0.1) * decayed - 0.1)


def test_muon_takes_the_matrices_between_the_embedding_and_the_head() -> None:
    model = Net()
    assert hidden_matrices(model) == {model.gru.weight_ih_l0, model.gru.weight_hh_l0}


def test_muon_makes_steps_orthogonal_and_leaves_the_rest_to_adamw(usual: TrainConfig) -> None:
    model = Net()
    config = usual.replace({"optimizer": "muon", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(model, config)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    step = (before["gru.weight_hh_l0"] - model.gru.weight_hh_l0) / (0.1 * 0.2 * 9**0.5)
    # Five iterations bring singular values near 1, not to 1
    assert torch.linalg.svdvals(step).tolist() == pytest.approx([1, 1, 1], abs=0.35)
    moved = (before["embedding.weight"] - model.embedding.weight).abs()
    assert moved.flatten().tolist() == pytest.approx([0.1] * 20, rel=1e-4)


def test_muon_reads_filters_as_matrices_and_keeps_their_size(usual: TrainConfig) -> None:
    conv = nn.Conv2d(3, 4, 3, bias=False)
    model = nn.Sequential(conv, nn.Flatten(), nn.Linear(4, 2))
    options = {"filters": True, "ns_steps": 9}
    config = usual.replace({"optimizer": "muon", "lr": 0.1, "momentum": 0.5, "optimizer_options": options})
    optimizer = make_optimizer(model, config)
    filters = conv.weight
    sized = (filters / filters.norm() * 4**0.5).detach().clone()
    gradient = filters.grad = torch.randn_like(filters)
    optimizer.step()
    step = ((sized - filters) / 0.1).flatten(1)
    assert torch.linalg.svdvals(step).tolist() == pytest.approx([1] * 4, abs=0.35)
    # A full rank keeps the directions of the gradient
    left, _, right = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    assert torch.diagonal(left.T @ step @ right.T).min() > 0.65


def test_muon_without_a_matrix_names_the_option_for_filters(usual: TrainConfig) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(OptionError, match="requires hidden matrices") as caught:
        make_optimizer(model, usual.replace({"optimizer": "muon"}))
    assert "filters=true" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("options", "progress", "expected"),
    [
        ({"warmup": 0.1}, 0.05, 0.5),
        ({"warmup": 0.1, "decay": 0.2}, 0.5, 1.0),
        ({"decay": 0.2, "shape": "linear"}, 0.95, 0.25),
        ({"decay": 0.4}, 0.7, 0.5),
        ({"decay": 0.2}, 1.0, 0.0),
        ({"warmup": 0.0, "decay": 0.0}, 1.0, 1.0),
    ],
)
def test_warmup_stable_decay_has_its_known_values(
    options: dict[str, float], progress: float, expected: float
) -> None:
    assert warmup_stable_decay(progress, **options) == pytest.approx(expected)  # type: ignore[arg-type]


def test_another_optimizer_brings_the_options_that_suit_it(registry: Registry) -> None:
    def trained(**train: object) -> TrainConfig:
        return registry.training_config(
            Recipe(architecture="resnet20", dataset="shapes", train=train)  # type: ignore[arg-type]
        )

    assert trained().lr != 3e-4
    assert (trained(optimizer="lion").optimizer, trained(optimizer="lion").lr) == ("lion", 3e-4)
    assert trained(optimizer="lion", lr=0.01).lr == 0.01
    assert trained(optimizer="adamw").lr == 0.001


def test_the_options_of_an_optimizer_go_with_it(usual: TrainConfig) -> None:
    config = usual.replace({"optimizer": "lion", "optimizer_options": {"beta2": 0.9}})
    assert config.replace({"lr": 1.0}).optimizer_options == {"beta2": 0.9}
    assert config.replace({"optimizer": "sgd"}).optimizer_options == {}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"optimizer": "lion", "optimizer_options": {"lr": 0.9}}, "lr is a training option"),
        ({"optimizer": "lion", "optimizer_options": {"beta2": 1}}, "beta2 must be less than 1"),
        ({"optimizer": "nadam", "momentum": 0.5}, "the optimizer optim/nadam ignores it"),
        ({"schedule": "warmup-stable-decay", "warmup_epochs": 2.0}, "has no effect"),
    ],
)
def test_an_option_without_effect_is_refused(
    said: dict[str, object], message: str, usual: TrainConfig
) -> None:
    with pytest.raises(OptionError, match=message):
        with_checked_methods(Layers(usual).give(YOU, said))


def test_a_training_option_that_an_optimizer_ignores_is_recorded_as_0(usual: TrainConfig) -> None:
    config = with_checked_methods(Layers(usual).suggest("here", {"optimizer": "nadam"})).config()
    assert config.momentum == 0
    again = with_checked_methods(Layers(usual).give(YOU, config.to_dict())).config()
    assert again == config, "as when the run is resumed"


def test_rates_of_modules_and_decay_of_matrices(usual: TrainConfig) -> None:
    model = Net()
    config = usual.replace(
        {"weight_decay": 0.1, "decay_matrices_only": True, "lr_scales": {"head": 10, "gru": 0.5}}
    )
    groups = make_optimizer(model, config).param_groups
    found = {id(p): (g["scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    expected = {
        "embedding.weight": (1.0, 0.1),
        "conv.weight": (1.0, 0.1),
        "conv.bias": (1.0, 0.0),
        "gru.weight_hh_l0": (0.5, 0.1),
        "gru.bias_hh_l0": (0.5, 0.0),
        "head.weight": (10.0, 0.1),
        "head.bias": (10.0, 0.0),
    }
    assert {name: found[id(model.get_parameter(name))] for name in expected} == expected


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match="lr_scales=tail matches no parameter"):
        make_optimizer(Net(), configured(lr_scales={"tail": 2.0}))


def test_plateau_lowers_the_rate_after_epochs_without_an_improvement() -> None:
    def rates(values: list[float], **options: Any) -> list[float]:
        rows = [{"val/loss": value, "val/accuracy": value} for value in values]
        usual: Any = {"position": 9.0, "warmup_epochs": 0.0, "factor": 0.5, "wait": 1}
        return [plateau(0.5, history=rows[:count], **(usual | options)) for count in range(len(rows) + 1)]

    assert rates([3.0, 2.0, 2.5, 2.0, 1.0, 1.5, 1.5]) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert rates([0.3, 0.2, 0.4], best="highest", metric="val/accuracy", wait=0) == [1, 1, 0.5, 0.5]
    assert rates([], position=0.5, warmup_epochs=2.0) == [0.25]
    with pytest.raises(OptionError, match="no epoch has the metric 'val/f1'"):
        rates([1.0], metric="val/f1")


def test_a_resumed_run_continues_at_the_rate_of_its_plateau(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "data": {"size": 16, "train_size": 32, "val_size": 16, "test_size": 0},
        "model": {"widths": [4]},
        "schedule": "plateau",
        "schedule_options": {"wait": 0, "factor": 0.5, "metric": "val/accuracy", "best": "highest"},
        "epochs": 4,
        "progress": False,
    }
    whole = zoo.train("mlp", "shapes", run=tmp_path / "whole", **options)
    zoo.train("mlp", "shapes", run=tmp_path / "parts", stop_after=2, **options)
    parts = zoo.train("mlp", "shapes", run=tmp_path / "parts", resume=True, **options)
    rates = [[row["lr"] for row in run.steps] for run in (whole, parts)]
    assert rates[0] == rates[1]
    assert len({*rates[0]}) > 1
