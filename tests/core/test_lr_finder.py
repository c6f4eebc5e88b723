"""The learning-rate finder: what it suggests, and that it leaves nothing changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.config.training import TextFields, TrainConfig
from zoo.errors import Diverged, OptionError
from zoo.models.building import build_model
from zoo.registry.recipe import Recipe
from zoo.tasks.classification import Classification
from zoo.training.clock import Progress
from zoo.training.loop import fit
from zoo.training.lr_finder import Suggestions, Sweep, find_lr, find_lr_for, suggest

IMAGES = Classification()
TEXT = LanguageModelling()
SGD = TrainConfig(optimizer="sgd", batch_size=6, precision="fp32")
QUICK = Sweep(1e-4, 1.0, 20)
needs_data = pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs the real data in $ZOO_DATA")


class Linear(nn.Module):
    """A classifier that keeps how many images it saw in each pass, the same list in every copy."""

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
    """Return what a sweep could change, hashed."""

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


def keep_going(share: float, lr: float, loss: float) -> None:
    pass


def interrupt(share: float, lr: float, loss: float) -> None:
    if share > 0.4:
        raise KeyboardInterrupt


def fail(share: float, lr: float, loss: float) -> None:
    if share > 0.4:
        raise ZeroDivisionError


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["text", "images"])
@pytest.mark.parametrize(
    ("report", "sweep", "ends"),
    [
        (keep_going, QUICK, None),
        (keep_going, Sweep(1e20, 1e30, 10), Diverged),
        (interrupt, QUICK, KeyboardInterrupt),
        (fail, QUICK, ZeroDivisionError),
    ],
    ids=["whole", "diverged", "interrupted", "failed"],
)
def test_nothing_is_left_changed(
    text: Any, images: Any, registry: Any, tmp_path: Path, monkeypatch: Any, kind: str, training: bool,
    report: Any, sweep: Sweep, ends: Any,
) -> None:  # fmt: skip
    if kind == "text":
        options = {"vocab_size": 8, "hidden_size": 8, "dropout": 0.3, "num_layers": 2}
        made = build_model(registry.architecture("gru"), options, seed=0)
        task, data, config = (
            TEXT,
            text(),
            TrainConfig(batch_size=6, precision="fp32", text=TextFields(bptt=8, bptt_jitter=True)),
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
        find_lr(model, task, data, config, sweep, report=report)
    assert everything(model, tmp_path) == before


def test_its_first_loss_is_that_of_training_and_its_rates_grow_evenly(images: Any) -> None:
    data, told, shares = images(40), list[Progress](), list[float]()
    found = find_lr(Linear(), IMAGES, data, SGD, QUICK, seed=3, report=lambda share, *_: shares.append(share))
    fit(Linear(), IMAGES, data, SGD, seed=3, report=told.append)
    assert found.losses[0] == told[0].loss
    assert [lr for lr, _ in found.curve] == pytest.approx([10 ** (-4 + 4 * n / 19) for n in range(20)])
    assert shares == pytest.approx([(n + 1) / 20 for n in range(20)])


def test_a_model_in_evaluation_mode_is_swept_in_training_mode(text: Any, registry: Any) -> None:
    options = {"vocab_size": 8, "hidden_size": 8, "dropout": 0.5, "num_layers": 2}
    one, other = (build_model(registry.architecture("gru"), options, seed=0) for _ in range(2))
    config, told = TrainConfig(batch_size=6, precision="fp32", text=TextFields(bptt=8)), list[Progress]()
    fit(other, TEXT, text(), config, report=told.append)
    assert find_lr(one.eval(), TEXT, text(), config, QUICK).losses[0] == told[0].loss


def test_a_sweep_repeats_by_its_seed(images: Any) -> None:
    def swept(seed: int) -> tuple[float, ...]:
        return find_lr(Linear(), IMAGES, images(40), SGD, QUICK, seed=seed).losses

    assert swept(0) == swept(0) != swept(1)


def test_the_curve_is_the_moving_average_of_the_losses(images: Any) -> None:
    found = find_lr(Linear(), IMAGES, images(40), SGD, QUICK)
    for step, (_, smoothed) in enumerate(found.curve):
        weights = [0.98 ** (step - n) for n in range(step + 1)]
        expected = sum(w * loss for w, loss in zip(weights, found.losses, strict=False)) / sum(weights)
        assert smoothed == pytest.approx(expected)
    assert suggest(found.curve) == found.suggestions


class Carrier(nn.Module):
    """A language model that notes whether it begins, counts on, or begins again."""

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


def test_state_is_carried_and_a_long_sweep_goes_on_into_the_next_epochs(text: Any) -> None:
    model = Carrier()
    find_lr(
        model,
        TEXT,
        text(101),
        TrainConfig(batch_size=4, precision="fp32", text=TextFields(bptt=8)),
        Sweep(1e-4, 0.1, 10),
    )
    assert model.read == [0, 8, 16, 24, 0, 8, 16, 24, 0, 8]  # 25 tokens a lane: 4 batches an epoch


def test_a_step_is_of_as_many_batches_as_it_accumulates(images: Any) -> None:
    model = Linear()
    halves = find_lr(model, IMAGES, images(20), SGD.replace({"grad_accum_steps": 2, "batch_size": 8}), QUICK)
    assert model.seen() == [8, 8, 4] * 10
    whole = find_lr(Linear(), IMAGES, images(20), SGD.replace({"batch_size": 16}), QUICK)
    assert halves.losses == pytest.approx(whole.losses, rel=1e-4)


def test_the_recipe_is_obeyed_but_for_its_rate_and_its_averages(images: Any) -> None:
    def swept(**changes: Any) -> tuple[float, ...]:
        return find_lr(Linear(), IMAGES, images(40), SGD.replace(changes), QUICK).losses

    usual = swept()
    unheard = {"lr": 3.0, "schedule": "constant", "warmup_epochs": 1.0, "epochs": 7, "ema_decay": 0.9}
    assert swept(**unheard) == swept(nonmono=2) == usual
    for change in (
        {"optimizer": "adam"}, {"optimizer": "adamw"}, {"momentum": 0.0}, {"weight_decay": 0.1},
        {"clip_grad_norm": 1e-3}, {"precision": "bf16"}, {"label_smoothing": 0.3}, {"augment": ["flip"]},
        {"freeze": ["out.bias"]},
    ):  # fmt: skip
        assert swept(**change) != usual, change


def test_it_stops_at_four_times_the_lowest_loss(images: Any) -> None:
    found = find_lr(Linear(), IMAGES, images(40), SGD.replace({"weight_decay": 0.1}), Sweep(1e-5, 1e3, 400))
    smoothed = [loss for _, loss in found.curve]
    assert found.diverged
    assert smoothed[-1] > 4 * min(smoothed) >= smoothed[-2] > 3 * min(smoothed)
    assert not find_lr(Linear(), IMAGES, images(40), SGD, QUICK).diverged


class Fails(nn.Module):
    """A classifier whose logits are no numbers from the n-th pass on."""

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
    found = find_lr(Fails(15), IMAGES, images(40), SGD, Sweep(1e-3, 1.0, 20))
    assert found.diverged
    assert len(found.curve) == len(found.losses) == 15


def test_divergence_in_the_first_steps_suggests_nothing(images: Any) -> None:
    with pytest.raises(
        Diverged, match=r"diverged after 9 steps, at a learning rate of 0.018: too few"
    ) as caught:
        find_lr(Fails(9), IMAGES, images(40), SGD, Sweep(1e-3, 1.0, 20))
    assert caught.value.hint == "try a --start below 0.001, or more --steps than 20"
    with pytest.raises(Diverged, match="not finite at the first step, before any learning rate has acted"):
        find_lr(Fails(0), IMAGES, images(40), SGD)


def test_a_loss_that_does_not_fall_for_long_suggests_nothing() -> None:
    def told(length: int) -> str:
        curve = [(0.1 * 1.1**n, 2.0 - 0.1 * n if n < length else 2.0 + 0.1 * n) for n in range(50)]
        with pytest.raises(OptionError) as caught:
            suggest(curve)
        assert "--start and --stop" in str(caught.value.hint)
        return str(caught.value)

    assert told(0) == told(10) == "the loss falls along no fifth of the sweep from 0.1 to 11"


def test_suggestions_of_a_curve_whose_features_are_known() -> None:
    losses = [3.0] * 5 + [-9.0, 3.0]  # noise before the valley is not the lowest
    for n in range(7, 50):
        if n == 20:
            change = 0.05  # a bump that is no end of the valley
        elif n <= 10 or n > 40:
            change = 1.0 if n > 40 else 0.01
        else:
            change = -0.5 if 32 <= n <= 36 else -0.1
        losses.append(losses[-1] + change)
    rates = [10 ** (-6 + n / 10) for n in range(50)]
    assert suggest([*zip(rates, losses, strict=True)]) == Suggestions(
        steep=rates[33],  # the middle of 31 to 36
        valley=rates[
            6 + 23
        ],  # it begins 5 before 11, the first that is lower than 5 before it, and ends at 40
        minimum=rates[40] / 10,
    )


def test_the_first_tenth_of_a_curve_suggests_nothing() -> None:
    losses = [9.0, 8.0, 7.0, 6.0, 5.0, *(3.0 - 0.1 * n for n in range(26)), *range(3, 22)]
    rates = [10 ** (-6 + n / 10) for n in range(50)]
    found = suggest([*zip(rates, losses, strict=True)])
    assert found.valley == rates[5 + 17]  # it goes from 5 to 30
    assert rates[5] < found.steep < rates[30]


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ({"start": 0.0}, "start is 0; it is a learning rate above 0"),
        ({"start": float("nan")}, "start is nan"),
        ({"start": -1.0}, "start is -1"),
        ({"start": 1.0, "stop": 1.0}, "stop is 1; it is a learning rate above start, 1"),
        ({"stop": float("inf")}, "stop is inf"),
        ({"steps": 9}, "steps is 9; a suggestion takes 10 or more"),
        ({"steps": 10**11}, "steps is 100000000000; a suggestion takes 10 or more, 100,000 at most"),
        ({"stop": 1e308}, "stop is 1e.308; it is a learning rate above start, 1e-06, and at most"),
    ],
)
def test_a_sweep_without_sense_is_refused(sweep: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Sweep(**sweep)


def test_what_a_device_cannot_give_is_refused(images: Any) -> None:
    with pytest.raises(OptionError, match="precision fp16 is for GPUs"):
        find_lr(Linear(), IMAGES, images(40), SGD.replace({"precision": "fp16"}))


@needs_data
def test_rates_for_a_gru_on_nietzsche_are_those_people_use(registry: Any) -> None:
    recipe = Recipe(architecture="gru", dataset="nietzsche", model={"hidden_size": 64})
    found = find_lr_for(recipe, registry, Sweep(steps=60))
    assert 1e-3 < found.suggestions.valley < 3e-2  # the recipe's is 6e-3
    assert 1e-4 < found.suggestions.steep < 3e-1
    assert 1e-4 < found.suggestions.minimum < 3e-1


@needs_data
def test_rates_for_a_residual_network_on_cifar10_are_those_of_plain_sgd(registry: Any) -> None:
    recipe = Recipe(
        architecture="resnet-lite", dataset="cifar10", model={"widths": [4, 8]}, train={"augment": []}
    )
    found = find_lr_for(recipe, registry, Sweep(1e-4, 10.0, 40))
    assert found.diverged
    assert 5e-4 < found.suggestions.valley < 0.5
    assert 5e-4 < found.suggestions.minimum < 0.5
    assert 1e-4 < found.suggestions.steep < 0.5  # the noisiest of the three
