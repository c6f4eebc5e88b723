"""The learning-rate finder: what it suggests, and that it changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo.config.recipe import Recipe
from zoo.console.reports import Progress
from zoo.errors import Diverged, OptionError, ZooError
from zoo.models.building import build_model
from zoo.runs.lr_finder import RangeTest, Suggestions, find_lr, find_lr_for, suggest
from zoo.runs.resolving import resolve_recipe
from zoo.training.loop import fit
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.language_modelling import LanguageModelling
from zoo_text.plugin import LANGUAGE_MODELLING

IMAGES = Classification(CLASSIFICATION)
TEXT = LanguageModelling(LANGUAGE_MODELLING)
SGD = configured(optimizer="sgd", batch_size=6, precision="fp32")
QUICK = RangeTest(1e-4, 1.0, 20)
needs_data = pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs the real data in $ZOO_DATA")


class Linear(nn.Module):
    """A classifier that records the size of every batch, in one list for all copies."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3 * 8 * 8, 4)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        seen: list[int] = []
        self.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
        self.seen = lambda: seen

    def forward(self, images: Tensor) -> Tensor:
        return self.out(images.flatten(1))


def everything(model: nn.Module, folder: Path) -> dict[str, str]:
    """Return what a range test could change, hashed."""

    def digest(*tensors: Tensor) -> str:
        return hashlib.sha256(b"".join(t.detach().numpy().tobytes() for t in tensors)).hexdigest()

    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return {
        "model": digest(*model.state_dict().values()),
        "gradients": f"{len(gradients)} {digest(*gradients)}",
        "mode": str([module.training for module in model.modules()]),
        "frozen": str([parameter.requires_grad for parameter in model.parameters()]),
        "random": digest(torch.get_rng_state()),
        "threads": str(torch.get_num_threads()),
        "files": str([(path.name, path.read_bytes()) for path in sorted(folder.rglob("*"))]),
    }


def keep_going(fraction: float, lr: float, loss: float) -> None:
    pass


def interrupt(fraction: float, lr: float, loss: float) -> None:
    if fraction > 0.4:
        raise KeyboardInterrupt


def fail(fraction: float, lr: float, loss: float) -> None:
    if fraction > 0.4:
        raise ZeroDivisionError


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["text", "images"])
@pytest.mark.parametrize(
    ("report", "test", "ends"),
    [
        (keep_going, QUICK, None),
        (keep_going, RangeTest(1e20, 1e30, 10), Diverged),
        (interrupt, QUICK, KeyboardInterrupt),
        (fail, QUICK, ZeroDivisionError),
    ],
    ids=["whole", "diverged", "interrupted", "failed"],
)
def test_nothing_changes(
    text: Any, images: Any, registry: Any, tmp_path: Path, monkeypatch: Any, kind: str, training: bool,
    report: Any, test: RangeTest, ends: Any,
) -> None:  # fmt: skip
    if kind == "text":
        options = {"vocab_size": 8, "hidden_size": 8, "dropout": 0.3, "num_layers": 2}
        made = build_model(registry.architecture("gru"), options, seed=0)
        task, data, config = (
            TEXT,
            text(),
            configured(batch_size=6, precision="fp32", bptt=8, bptt_jitter=True),
        )
    else:
        options = {"in_channels": 3, "image_size": 8, "num_classes": 4, "widths": [4, 8]}
        made = build_model(registry.architecture("resnet-lite"), options, seed=0)
        task, data = IMAGES, images(40)
        config = SGD.replace({"batch_size": 20, "augment": ["crop", "flip"], "ema_decay": 0.9})
    model = made.train(training)
    first, *_ = model.parameters()
    first.requires_grad_(False)
    for parameter in list(model.parameters())[1:]:
        parameter.grad = torch.ones_like(parameter)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    before = everything(model, tmp_path)
    with pytest.raises(ends) if ends else contextlib.nullcontext():
        find_lr(model, task, data, config, test, report=report)
    assert everything(model, tmp_path) == before


def test_the_first_loss_is_that_of_training_and_rates_grow_evenly(images: Any) -> None:
    data, reports, steps = images(40), list[Progress](), list[int]()
    curve = find_lr(Linear(), IMAGES, data, SGD, QUICK, seed=3, report=lambda step, *_: steps.append(step))
    fit(Linear(), IMAGES, data, SGD, seed=3, report=reports.append)
    assert curve.losses[0] == reports[0].loss
    assert [lr for lr, _ in curve.points] == pytest.approx([10 ** (-4 + 4 * n / 19) for n in range(20)])
    assert steps == [*range(1, 21)]


def test_a_model_in_evaluation_mode_is_tested_in_training_mode(text: Any, registry: Any) -> None:
    options = {"vocab_size": 8, "hidden_size": 8, "dropout": 0.5, "num_layers": 2}
    one, other = (build_model(registry.architecture("gru"), options, seed=0) for _ in range(2))
    config, reports = configured(batch_size=6, precision="fp32", bptt=8), list[Progress]()
    fit(other, TEXT, text(), config, report=reports.append)
    assert find_lr(one.eval(), TEXT, text(), config, QUICK).losses[0] == reports[0].loss


def test_a_range_test_depends_on_its_seed(images: Any) -> None:
    def losses(seed: int) -> tuple[float, ...]:
        return find_lr(Linear(), IMAGES, images(40), SGD, QUICK, seed=seed).losses

    assert losses(0) == losses(0) != losses(1)


def test_the_curve_is_the_moving_average_of_the_losses(images: Any) -> None:
    curve = find_lr(Linear(), IMAGES, images(40), SGD, QUICK)
    for step, (_, smoothed) in enumerate(curve.points):
        weights = [0.98 ** (step - n) for n in range(step + 1)]
        expected = sum(w * loss for w, loss in zip(weights, curve.losses, strict=False)) / sum(weights)
        assert smoothed == pytest.approx(expected)
    assert suggest(curve.points) == curve.suggestions


class Carrier(nn.Module):
    """A language model that records how many tokens its hidden state has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 8)
        nn.init.zeros_(self.table.weight)
        read: list[int] = []
        self.note = read.append
        self.read = read

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.note(0 if state is None else int(state))
        return self.table(tokens), (torch.zeros(()) if state is None else state) + len(tokens)

    def __deepcopy__(self, memo: Any) -> Carrier:
        copy = Carrier()
        copy.note = self.note
        return copy


def test_state_is_carried_and_a_long_test_continues_into_the_next_epochs(text: Any) -> None:
    model = Carrier()
    find_lr(
        model,
        TEXT,
        text(101),
        configured(batch_size=4, precision="fp32", bptt=8),
        RangeTest(1e-4, 0.1, 10),
    )
    assert model.read == [0, 8, 16, 24, 0, 8, 16, 24, 0, 8]  # 25 tokens a lane: 4 batches an epoch


def test_a_step_takes_as_many_batches_as_it_accumulates(images: Any) -> None:
    model = Linear()
    halves = find_lr(model, IMAGES, images(20), SGD.replace({"grad_accum_steps": 2, "batch_size": 8}), QUICK)
    assert model.seen() == [8, 8, 4] * 10
    whole = find_lr(Linear(), IMAGES, images(20), SGD.replace({"batch_size": 16}), QUICK)
    assert halves.losses == pytest.approx(whole.losses, rel=1e-4, abs=1e-6)


def test_every_training_field_counts_except_the_rate_and_the_averages(images: Any) -> None:
    def losses(**changes: Any) -> tuple[float, ...]:
        return find_lr(Linear(), IMAGES, images(40), SGD.replace(changes), QUICK).losses

    usual = losses()
    ignored = {"lr": 3.0, "schedule": "constant", "warmup_epochs": 1.0, "epochs": 7, "ema_decay": 0.9}
    assert losses(**ignored) == losses(nonmono=2) == usual
    for change in (
        {"optimizer": "adam"}, {"optimizer": "adamw"}, {"momentum": 0.0}, {"weight_decay": 0.1},
        {"clip_grad_norm": 1e-3}, {"precision": "bf16"}, {"label_smoothing": 0.3}, {"augment": ["flip"]},
        {"freeze": ["out.bias"]},
    ):  # fmt: skip
        assert losses(**change) != usual, change


def test_it_stops_at_four_times_the_lowest_loss(images: Any) -> None:
    curve = find_lr(
        Linear(), IMAGES, images(40), SGD.replace({"weight_decay": 0.1}), RangeTest(1e-5, 1e3, 400)
    )
    smoothed = [loss for _, loss in curve.points]
    assert curve.diverged
    assert smoothed[-1] > 4 * min(smoothed) >= smoothed[-2] > 3 * min(smoothed)
    assert not find_lr(Linear(), IMAGES, images(40), SGD, QUICK).diverged


class Fails(nn.Module):
    """A classifier whose logits are NaN after some forward passes."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.out = nn.Linear(3 * 8 * 8, 4)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.at, self.passes = at, 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        logits = self.out(images.flatten(1) * 0.01)
        return logits * float("nan") if self.passes > self.at else logits


def test_it_stops_before_a_loss_that_is_not_finite(images: Any) -> None:
    curve = find_lr(Fails(15), IMAGES, images(40), SGD, RangeTest(1e-3, 1.0, 20))
    assert curve.diverged
    assert len(curve.points) == len(curve.losses) == 15


def test_divergence_in_the_first_steps_suggests_nothing(images: Any) -> None:
    with pytest.raises(
        Diverged, match=r"^the loss diverged after only 9 steps, at a learning rate of 0.018(?m:$)"
    ) as caught:
        find_lr(Fails(9), IMAGES, images(40), SGD, RangeTest(1e-3, 1.0, 20))
    assert caught.value.hint == "try a --start below 0.001, or more --steps than 20"
    with pytest.raises(Diverged, match=r"^the loss is not finite at the first step, before any update(?m:$)"):
        find_lr(Fails(0), IMAGES, images(40), SGD)


def test_a_loss_that_hardly_falls_suggests_nothing() -> None:
    for length in (0, 10):
        curve = [(0.1 * 1.1**n, 2.0 - 0.1 * n if n < length else 2.0 + 0.1 * n) for n in range(50)]
        message = "^the loss hardly falls between learning rates 0.1 and 11(?m:$)"
        with pytest.raises(ZooError, match=message) as caught:
            suggest(curve)
        assert "--start and --stop" in (caught.value.hint or "")


def test_suggestions_of_a_curve_whose_features_are_known() -> None:
    losses = [3.0] * 5 + [-9.0, 3.0]  # noise before the valley is not the minimum
    for n in range(7, 50):
        if n == 20:
            change = 0.05  # a bump that does not end the valley
        elif n <= 10 or n > 40:
            change = 1.0 if n > 40 else 0.01
        else:
            change = -0.5 if 32 <= n <= 36 else -0.1
        losses.append(losses[-1] + change)
    rates = [10 ** (-6 + n / 10) for n in range(50)]
    assert suggest([*zip(rates, losses, strict=True)]) == Suggestions(
        steep=rates[33],  # the middle of 31 to 36
        valley=rates[6 + 23],  # from 6, five before the first that is lower than five earlier, to 40
        minimum=rates[40] / 10,
    )


def test_the_first_tenth_of_a_curve_is_ignored() -> None:
    losses = [9.0, 8.0, 7.0, 6.0, 5.0, *(3.0 - 0.1 * n for n in range(26)), *range(3, 22)]
    rates = [10 ** (-6 + n / 10) for n in range(50)]
    curve = suggest([*zip(rates, losses, strict=True)])
    assert curve.valley == rates[5 + 17]  # the valley is from 5 to 30
    assert rates[5] < curve.steep < rates[30]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start": 0.0}, "start must be a learning rate above 0 (got 0.0)"),
        ({"start": float("nan")}, "start must be a learning rate above 0 (got nan)"),
        ({"start": -1.0}, "start must be a learning rate above 0 (got -1.0)"),
        ({"start": 1.0, "stop": 1.0}, "stop must be above start=1 and at most 1e+38 (got 1)"),
        ({"stop": float("inf")}, "stop must be finite (got inf)"),
        ({"stop": 1e308}, "stop must be above start=1e-06 and at most 1e+38 (got 1e+308)"),
        ({"steps": 9}, "steps must be between 10 and 100,000 (got 9)"),
        ({"steps": 10**11}, "steps must be between 10 and 100,000 (got 100000000000)"),
    ],
)
def test_a_range_without_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{re.escape(message)}(?m:$)"):
        RangeTest(**fields)


def test_a_precision_the_device_lacks_is_refused(images: Any) -> None:
    with pytest.raises(OptionError, match="precision fp16 requires a GPU"):
        find_lr(Linear(), IMAGES, images(40), SGD.replace({"precision": "fp16"}))


@needs_data
def test_rates_for_a_gru_on_nietzsche_are_usual_ones(registry: Any) -> None:
    recipe = Recipe(architecture="gru", dataset="nietzsche", model={"hidden_size": 64})
    curve = find_lr_for(resolve_recipe(recipe, registry), registry, RangeTest(steps=60))
    assert 1e-3 < curve.suggestions.valley < 3e-2  # the recipe's is 6e-3
    assert 1e-4 < curve.suggestions.steep < 3e-1
    assert 1e-4 < curve.suggestions.minimum < 3e-1


@needs_data
def test_rates_for_a_residual_network_on_cifar10_are_usual_ones(registry: Any) -> None:
    train = {"augment": [], "clip_grad_norm": 0.0}  # clipping keeps high rates from diverging
    recipe = Recipe(architecture="resnet-lite", dataset="cifar10", model={"widths": [4, 8]}, train=train)
    curve = find_lr_for(resolve_recipe(recipe, registry), registry, RangeTest(1e-4, 10.0, 40))
    assert curve.diverged
    assert 5e-4 < curve.suggestions.valley < 0.5
    assert 5e-4 < curve.suggestions.minimum < 0.5
    assert 1e-4 < curve.suggestions.steep < 0.5  # the noisiest of the three
