"""The optimizers by name, against their formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo.training.optimizers import make_optimizer
from zoo.training.sgd import fused_sgd


def after(steps: int, **config: object) -> float:
    """Return a weight of 1 after some steps with a gradient of 0.5."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = make_optimizer(model, configured().replace({"lr": 0.1, "momentum": 0.0} | config))
    for _ in range(steps):
        model.weight.grad = torch.full((1, 1), 0.5)
        optimizer.step()
    return model.weight.item()


@pytest.mark.parametrize(
    ("config", "steps", "expected"),
    [
        ({"optimizer": "sgd"}, 2, 1 - 0.1 * 0.5 * 2),
        ({"optimizer": "sgd", "weight_decay": 0.2}, 1, 1 - 0.1 * (0.5 + 0.2)),
        # Nesterov: the buffer is 0.5, then 0.95; the step is gradient + 0.9 of the buffer
        ({"optimizer": "sgd", "momentum": 0.9}, 2, 1 - 0.1 * (0.5 + 0.45) - 0.1 * (0.5 + 0.9 * 0.95)),
        ({"optimizer": "adam"}, 3, 1 - 0.1 * 3),
        ({"optimizer": "adam", "weight_decay": 9.0}, 1, 1 - 0.1),
        ({"optimizer": "adamw", "weight_decay": 0.5}, 1, 1 * (1 - 0.1 * 0.5) - 0.1),
    ],
)
def test_a_step_follows_the_formula(config: dict[str, object], steps: int, expected: float) -> None:
    assert after(steps, **config) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_momentum_is_the_first_beta_of_adam(name: str) -> None:
    optimizer = make_optimizer(nn.Linear(1, 1), configured().replace({"optimizer": name, "momentum": 0.7}))
    assert optimizer.param_groups[0]["betas"] == (0.7, 0.999)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_frozen_parameter_is_left_out(name: str) -> None:
    model = nn.Linear(2, 3)
    model.bias.requires_grad_(False)
    optimizer = make_optimizer(model, configured().replace({"optimizer": name}))
    held: list[Tensor] = optimizer.param_groups[0]["params"]
    assert len(held) == 1
    assert held[0] is model.weight


def test_normalization_biases_have_their_own_rate_and_decay_as_much_per_step() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    model[1].weight.requires_grad_(False)
    config = configured().replace({"optimizer": "sgd", "weight_decay": 0.1, "norm_bias_lr_scale": 8.0})
    slow, fast = make_optimizer(model, config).param_groups
    assert {id(p) for p in slow["params"]} == {id(p) for i in (0, 3) for p in model[i].parameters()}
    assert [id(p) for p in fast["params"]] == [id(model[1].bias)]
    assert (slow["scale"], slow["weight_decay"]) == (1.0, 0.1)
    assert (fast["scale"], fast["weight_decay"]) == (8.0, 0.1 / 8)


def test_layer_decay_and_the_scale_of_biases_multiply() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    config = configured().replace({"layer_decay": 0.5, "norm_bias_lr_scale": 8.0})
    scales = {
        id(p): group["scale"] for group in make_optimizer(model, config).param_groups for p in group["params"]
    }
    assert [scales[id(p)] for p in model.parameters()] == [0.25, 0.25, 0.5, 4.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(8, 8)[:, :5],
        lambda: torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
        lambda: torch.ones(100, dtype=torch.bfloat16),
    ],
    ids=["a slice", "channels last", "bf16"],
)
def test_every_number_of_a_weight_takes_the_same_step(name: str, make: Callable[[], Tensor]) -> None:
    """Whatever its memory looks like."""
    model = nn.ParameterDict({"weight": nn.Parameter(make())})
    optimizer = make_optimizer(model, configured(optimizer=name, lr=0.1, momentum=0.9))
    for _ in range(3):
        (model["weight"] * torch.ones(())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert len(model["weight"].detach().unique()) == 1
    assert model["weight"].max().item() < 1


class OnApple(nn.Parameter):
    """A parameter that says to be on Apple's GPU."""

    device = torch.device("mps")


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_is_fused_on_apples_gpu_but_for_fp16_whose_steps_it_could_not_skip(name: str) -> None:
    model = nn.Module()
    model.weight = OnApple(torch.ones(2))
    fused = [
        make_optimizer(model, configured(optimizer=name, precision=precision)).defaults["fused"]
        for precision in ("fp32", "bf16", "fp16")
    ]
    assert fused == [True, True, None]


def _sgd(model: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
    """Return SGD as it is made on the CPU or, fused, on a GPU."""
    if fused:
        return fused_sgd([{"params": [*model.parameters()]}], lr=0.1, momentum=0.9, nesterov=True)
    return make_optimizer(model, configured(optimizer="sgd", lr=0.1, momentum=0.9))


@pytest.mark.parametrize("fused", [False, True])
def test_a_weight_may_get_its_first_gradient_late(fused: bool) -> None:
    model = nn.ParameterDict({"early": nn.Parameter(torch.ones(9)), "late": nn.Parameter(torch.ones(9))})
    optimizer = _sgd(model, fused=fused)
    for step in range(3):
        (model["early"] + (model["late"] if step else 0)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    after_three, after_two = (1 - 0.1 * sum((1.9, 2.71, 3.439)[:n]) for n in (3, 2))  # by Nesterov's formula
    assert model["early"].tolist() == pytest.approx([after_three] * 9)
    assert model["late"].tolist() == pytest.approx([after_two] * 9)


def test_momentum_begins_as_zeros_although_a_first_step_overflows() -> None:
    """With fp16, the scale of the loss starts high, so that first steps are skipped."""
    model = nn.Linear(50, 50, bias=False)
    optimizer = _sgd(model, fused=True)
    model.weight.grad = torch.ones(50, 50)
    optimizer.grad_scale, optimizer.found_inf = torch.ones(()), torch.ones(())  # pyright: ignore[reportAttributeAccessIssue]
    optimizer.step()
    assert not optimizer.state[model.weight]["momentum_buffer"].any()
