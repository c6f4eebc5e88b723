"""A captured state restores to itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo.config.train_config import TrainConfig
from zoo.errors import Diverged, WeightsError
from zoo.files.container import read_container, write_container
from zoo.interfaces import Step
from zoo.models import weights
from zoo.training.readings import Readings
from zoo.training.saved import SavedState
from zoo.training.state import TrainState
from zoo.training.step import update_weights


class Net(nn.Module):
    """Parameters, buffers, and one weight under two names."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, width)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x)))


def begin(config: TrainConfig, *, width: int = 4, seed: int = 0) -> TrainState:
    torch.manual_seed(seed)
    return TrainState.begin(Net(width), config, precision="fp32", device="cpu")


def advance(state: TrainState, config: TrainConfig, steps: int) -> None:
    for number in range(steps):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(number))
        loss = state.model(x).square().mean()
        loss.backward()
        carried = (torch.full((2,), float(number)), [torch.ones(1, dtype=torch.bfloat16), None])
        state.account(Step(loss, {"loss": loss.detach() * 8}, 8, carried))
        update_weights(state, config, config.lr, Readings())


def row(state: TrainState, **losses: float) -> dict[str, Any]:
    """Return the row of the epoch that ends now."""
    clock = {"seconds": 1.0, "rate": 8.0}
    measured = {split: {"loss": loss} for split, loss in losses.items()}
    return {"epoch": state.epoch + 1, "steps": state.steps, "clock": clock, **measured}


GROUPS = TrainConfig(norm_bias_lr_scale=2.0, layer_decay=0.5, optimizer="sgd", weight_decay=0.01)


@pytest.mark.parametrize("name", ["first.weight", "norm.weight", "norm.bias", "last.bias"])
def test_a_value_that_is_not_finite_is_noticed_in_every_parameter_group(name: str) -> None:
    for what in ("a gradient", "a weight"):
        state = begin(GROUPS)
        assert len(state.optimizer.param_groups) == 4
        advance(state, GROUPS, 1)
        state.model(torch.ones(8, 4)).mean().backward()
        parameter = state.model.get_parameter(name)
        spoilt = parameter.grad if what == "a gradient" else parameter.data
        assert spoilt is not None
        spoilt[0] = float("nan")
        before = parameter.detach().clone()
        message = rf"^training diverged in epoch 1, batch 1: {what} is not finite at a learning rate of 0.1"
        with pytest.raises(Diverged, match=message):
            update_weights(state, GROUPS, 0.1, Readings())
        assert what == "a weight" or torch.equal(parameter, before)


def test_a_gradient_that_overflows_in_fp16_leaves_the_weights_as_they_are() -> None:
    config = GROUPS.replace({"momentum": 0.0})
    state = begin(config)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    state.scaler.scale(state.model(torch.full((8, 4), 1e30)).square().mean()).backward()
    update_weights(state, config, 0.1, Readings())
    assert all(torch.equal(*pair) for pair in zip(state.model.parameters(), before, strict=True))
    assert (state.steps, state.scaler.get_scale()) == (1, 512.0)


def test_gradients_are_clipped_by_their_norm_over_all_groups() -> None:
    config = GROUPS.replace({"clip_grad_norm": 0.1, "weight_decay": 0.0, "momentum": 0.0})
    state = begin(config)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    scales = {id(p): group["scale"] for group in state.optimizer.param_groups for p in group["params"]}
    state.model(100 * torch.randn(8, 4)).square().sum().backward()
    update_weights(state, config, 1.0, Readings())
    steps = [
        (parameter.detach() - old) / scales[id(parameter)]
        for parameter, old in zip(state.model.parameters(), before, strict=True)
    ]
    assert torch.cat([step.flatten() for step in steps]).norm() == pytest.approx(0.1, rel=1e-4)


def through_a_file(state: TrainState, path: Path) -> tuple[dict[str, Tensor], SavedState]:
    tensors, data = state.capture()
    write_container(path, weights.pack(tensors), {"state": msgspec.json.encode(data).decode()})
    container = read_container(path)
    saved = msgspec.json.decode(container.metadata["state"], type=SavedState)
    return weights.unpack(container.tensors.values()), saved


def equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Tensor):
        return ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, tuple | list):
        return type(ours) is type(theirs) and all(map(equal, ours, theirs))
    return ours == theirs


def test_two_weights_of_equal_values_are_both_captured() -> None:
    state = begin(TrainConfig(optimizer="sgd"))
    with torch.no_grad():
        state.model.get_parameter("first.bias").copy_(state.model.get_parameter("last.bias"))
    tensors, _ = state.capture()
    assert {"model/first.bias", "model/last.bias"} <= set(tensors)


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda tensors: tensors.pop("optimizer/0/exp_avg"), "optimizer/0/exp_avg is missing"),
        (
            lambda tensors: tensors.update({"optimizer/99/step": torch.tensor(1.0)}),
            "unexpected optimizer/99/step",
        ),
        (lambda tensors: tensors.update({"optimizer/0/step": torch.tensor(-1.0)}), "took -1.0 steps"),
        (lambda tensors: tensors.update({"sums/x": torch.tensor(1.0)}), "unexpected sums/x"),
        (
            lambda tensors: tensors.update({"model/norm.bias": torch.zeros(5)}),
            r"is torch.float32 \[5\]",
        ),
    ],
)
def test_forged_tensors_are_refused_before_anything_changes(forge: Any, message: str) -> None:
    config = TrainConfig(optimizer="adam")
    state = begin(config)
    advance(state, config, 1)
    state.end_epoch(row(state, train=1.0), config)
    tensors, saved = state.capture()
    forge(tensors)
    restored = begin(config, seed=9)
    before = {name: tensor.clone() for name, tensor in restored.model.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        restored.restore(tensors, saved, device="cpu")
    assert equal(dict(restored.model.state_dict()), before)


@pytest.mark.parametrize(
    ("forged", "message"),
    [
        ({"position": {"epoch": -1}}, "`int` >= 0"),
        ({"position": {"epoch": 2**53}}, "one row for each of the"),
        ({"position": {"steps": True}}, "Expected `int`, got `bool`"),
        ({"position": {"averaged_from": 1}}, "must not exceed steps=0"),
        ({"position": {"batch": 1}}, "count and carried are not consistent with batch"),
        ({"carried": [1]}, "count and carried are not consistent with batch"),
        ({"carried": [2**63]}, "Expected `int` <="),
        ({"carried": ["a"]}, "Invalid enum value 'a'"),
        ({"carried": [[]]}, "got `array`"),
        ({"scaler": {}}, "missing required field"),
        ({"x": 1}, "unknown field"),
    ],
)
def test_forged_data_is_refused(forged: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(forged, SavedState, strict=True)


def test_the_average_follows_its_formula() -> None:
    config = TrainConfig(optimizer="sgd", lr=0.1, ema_decay=0.3)
    state = begin(config)

    def values() -> list[Tensor]:
        return [
            state.model.get_parameter("first.weight").detach().clone(),
            state.model.get_buffer("norm.running_mean").clone(),
        ]

    expected = values()
    for step in range(1, 6):
        advance(state, config, 1)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, values(), strict=True)]
        assert state.average is not None
        torch.testing.assert_close(state.average.get_parameter("first.weight"), expected[0])
        torch.testing.assert_close(state.average.get_buffer("norm.running_mean"), expected[1])
    assert state.average is not None
    assert torch.equal(
        state.average.get_buffer("norm.num_batches_tracked"),
        state.model.get_buffer("norm.num_batches_tracked"),
    )
    assert not any(parameter.requires_grad for parameter in state.average.parameters())
    assert state.best is state.average
    assert begin(TrainConfig()).best is not None


def epochs(state: TrainState, config: TrainConfig, losses: Sequence[float]) -> None:
    """Train epochs of one step with the given validation losses."""
    for loss in losses:
        advance(state, config, 1)
        state.end_epoch(row(state, train=loss, val=loss), config)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([5, 4, 3, 2, 1], None),
        ([5, 4, 4.5, 4.4], None),
        ([5, 4, 4.5, 4.4, 4.3], 5),
        ([5, 4, 4.5, 3.9, 3.95, 3.92, 4.3], 7),
        ([5, 4, 4.5, 4.4, 4.3, 1, 9], 5),
    ],
    ids=["improving", "too-early", "stuck", "late", "never-ends"],
)
def test_averaging_starts_once_validation_has_not_improved_for_nonmono_epochs(
    losses: list[float], expected: int | None
) -> None:
    config = TrainConfig(optimizer="sgd", nonmono=2)
    state = begin(config)
    epochs(state, config, losses)
    assert (state.averaged_from or None) == expected
    assert (state.average is None) == (expected is None)


def test_a_triggered_average_weighs_all_later_steps_equally(tmp_path: Path) -> None:
    config = TrainConfig(optimizer="sgd", momentum=0.0, lr=0.1, nonmono=1)
    state = begin(config)
    epochs(state, config, [1, 2, 3])
    assert state.average is not None
    assert state.best is state.average
    seen: list[Tensor] = []
    for _ in range(4):
        advance(state, config, 1)
        seen.append(state.model.get_parameter("first.weight").detach().clone())
        torch.testing.assert_close(state.average.get_parameter("first.weight"), torch.stack(seen).mean(0))
    restored = begin(config, seed=99)
    restored.restore(*through_a_file(state, tmp_path / "x.safetensors"), device="cpu")
    advance(state, config, 1)
    advance(restored, config, 1)
    assert restored.average is not None
    assert torch.equal(
        restored.average.get_parameter("first.weight"), state.average.get_parameter("first.weight")
    )


def test_steps_that_no_fused_kernel_counts_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a run that was not stopped: a GPU would be waited for at each weight."""
    monkeypatch.setattr("zoo.training.state.infinite_buffers", lambda model: frozenset())
    config = configured(optimizer="adamw")
    before = TrainState.begin(nn.Linear(4, 4), config, precision="fp32", device="cpu")
    advance(before, config, 1)
    after = TrainState.begin(nn.Linear(4, 4, device="meta"), config, precision="fp32", device="meta")
    after.restore(*before.capture(), device="meta")
    slots = [*after.optimizer.state.values()]
    assert {(each["step"].device.type, each["exp_avg"].device.type) for each in slots} == {("cpu", "meta")}
