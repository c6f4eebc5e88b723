"""The learning-rate finder: what it suggests, and that it changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo.config.train_config import TrainConfig
from zoo.console.reports import Progress
from zoo.errors import Diverged, ZooError
from zoo.interfaces import Dataset, Task
from zoo.models.building import build_model
from zoo.runs.trial_training import trial
from zoo.tools.lr_find.lr_finder import Curve, RangeTest, Report, Suggestions, range_test, suggest
from zoo.training.host import Host
from zoo.training.loop import fit
from zoo.training.trial_steps import TrialSteps
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

IMAGES = Classification(CLASSIFICATION)
TEXT = LanguageModeling(LANGUAGE_MODELING)
SGD = configured(optimizer="sgd", batch_size=6, precision="fp32")
FULL, QUICK = RangeTest(), RangeTest(1e-4, 1.0, 20)


class Linear(nn.Module):
    """A classifier that records the size of every batch."""

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


def find(
    model: nn.Module,
    task: Task,
    data: Dataset,
    config: TrainConfig,
    test: RangeTest = FULL,
    *,
    seed: int = 0,
    report: Report = lambda step, lr, loss: None,
) -> Curve:
    """Run a range test on a model."""
    return range_test(TrialSteps(model, task, data, config, seed=seed), test, report=report)


def everything(folder: Path) -> dict[str, str]:
    """Return what a range test could change of the process and on the disk."""
    return {
        "random": hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        "threads": str(torch.get_num_threads()),
        "files": str([(path.name, path.read_bytes()) for path in sorted(folder.rglob("*"))]),
    }


@pytest.mark.parametrize("ends", [None, KeyboardInterrupt, ZeroDivisionError])
def test_nothing_changes(
    ends: type[BaseException] | None, registry: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fox.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 40)
    before = everything(tmp_path)
    small: dict[str, Any] = {
        "data": {"paths": "fox.txt"},
        "model": {"hidden_size": 8, "dropout": 0.3},
        "batch_size": 8,
        "threads": 2,
    }
    with (
        pytest.raises(ends) if ends else contextlib.nullcontext(),
        trial("gru", "files", registry=registry, progress=False, **small) as (
            each,
            _,
        ),
    ):
        each.step(0.1)
        assert torch.get_num_threads() == 2
        if ends:
            raise ends
    assert everything(tmp_path) == before


def test_the_first_loss_is_that_of_training_and_rates_grow_evenly(images: Any) -> None:
    data, reports, steps = images(40), list[Progress](), list[int]()
    curve = find(Linear(), IMAGES, data, SGD, QUICK, seed=3, report=lambda step, lr, loss: steps.append(step))
    fit(Linear(), IMAGES, data, SGD, seed=3, host=Host(report=reports.append))
    assert curve.losses[0] == reports[0].loss
    assert [lr for lr, _ in curve.points] == pytest.approx([10 ** (-4 + 4 * n / 19) for n in range(20)])
    assert steps == [*range(1, 21)]


def test_a_model_in_evaluation_mode_is_tested_in_training_mode(text: Any, registry: Any) -> None:
    options = {"vocab_size": 8, "hidden_size": 8, "dropout": 0.5, "num_layers": 2}
    one, other = (build_model(registry.architecture("gru"), options, seed=0) for _ in range(2))
    config, reports = configured(batch_size=6, precision="fp32", bptt=8), list[Progress]()
    fit(other, TEXT, text(), config, host=Host(report=reports.append))
    assert find(one.eval(), TEXT, text(), config, QUICK).losses[0] == reports[0].loss


def test_the_curve_is_the_moving_average_of_the_losses(images: Any) -> None:
    curve = find(Linear(), IMAGES, images(40), SGD, QUICK)
    for step, (_, smoothed) in enumerate(curve.points):
        weights = [0.98 ** (step - n) for n in range(step + 1)]
        expected = sum(w * loss for w, loss in zip(weights, curve.losses, strict=False)) / sum(weights)
        assert smoothed == pytest.approx(expected)
    assert suggest(curve.points, share=0.5) == curve.suggestions


class Carrier(nn.Module):
    """A language model that records how many tokens its hidden state has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 8)
        nn.init.zeros_(self.table.weight)
        read: list[int] = []
        self.read = read

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.read.append(0 if state is None else int(state))
        return self.table(tokens), (torch.zeros(()) if state is None else state) + len(tokens)


def test_state_is_carried_and_a_long_test_continues_into_the_next_epochs(text: Any) -> None:
    model = Carrier()
    find(
        model,
        TEXT,
        text(101),
        configured(batch_size=4, precision="fp32", bptt=8),
        RangeTest(1e-4, 0.1, 10),
    )
    assert model.read == [0, 8, 16, 24, 0, 8, 16, 24, 0, 8]  # 25 tokens a lane: 4 batches an epoch


def test_a_step_takes_as_many_batches_as_it_accumulates(images: Any) -> None:
    model = Linear()
    halves = find(model, IMAGES, images(20), SGD.replace({"grad_accum_steps": 2, "batch_size": 8}), QUICK)
    assert model.seen() == [8, 8, 4] * 10
    whole = find(Linear(), IMAGES, images(20), SGD.replace({"batch_size": 16}), QUICK)
    assert halves.losses == pytest.approx(whole.losses, rel=1e-4, abs=1e-6)


def test_every_training_option_counts_except_the_rate_and_the_averages(images: Any) -> None:
    def losses(**changes: Any) -> tuple[float, ...]:
        return find(Linear(), IMAGES, images(40), SGD.replace(changes), QUICK).losses

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
    curve = find(Linear(), IMAGES, images(40), SGD.replace({"weight_decay": 0.1}), RangeTest(1e-5, 1e3, 400))
    smoothed = [loss for _, loss in curve.points]
    assert curve.diverged
    assert smoothed[-1] > 4 * min(smoothed) >= smoothed[-2] > 3 * min(smoothed)
    assert not find(Linear(), IMAGES, images(40), SGD, QUICK).diverged


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
    curve = find(Fails(15), IMAGES, images(40), SGD, RangeTest(1e-3, 1.0, 20))
    assert curve.diverged
    assert len(curve.points) == len(curve.losses) == 15


def test_divergence_in_the_first_steps_suggests_nothing(images: Any) -> None:
    with pytest.raises(
        Diverged, match=r"^the loss diverged after only 9 steps, at a learning rate of 0.018(?m:$)"
    ) as caught:
        find(Fails(9), IMAGES, images(40), SGD, RangeTest(1e-3, 1.0, 20))
    assert caught.value.hint == "set --start below 0.001, or --steps above 20"
    with pytest.raises(Diverged, match=r"^the loss is not finite at the first step, before any update(?m:$)"):
        find(Fails(0), IMAGES, images(40), SGD)


def test_a_loss_that_hardly_falls_suggests_nothing() -> None:
    for length in (0, 10):
        curve = [(0.1 * 1.1**n, 2.0 - 0.1 * n if n < length else 2.0 + 0.1 * n) for n in range(50)]
        message = "^the loss hardly decreases between learning rates 0.1 and 11(?m:$)"
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
        minimum=rates[40],
    )


def test_the_first_tenth_of_a_curve_is_ignored() -> None:
    losses = [9.0, 8.0, 7.0, 6.0, 5.0, *(3.0 - 0.1 * n for n in range(26)), *range(3, 22)]
    rates = [10 ** (-6 + n / 10) for n in range(50)]
    curve = suggest([*zip(rates, losses, strict=True)])
    assert curve.valley == rates[5 + 17]  # the valley is from 5 to 30
    assert rates[5] < curve.steep < rates[30]


def test_the_suggestions_are_marked_in_the_figure() -> None:
    points = tuple((10.0**-n, float(n)) for n in range(6, 0, -1))
    curve = Curve(
        suggestions=Suggestions(steep=0.02, valley=0.01, minimum=0.1),
        points=points,
        losses=tuple(loss for _, loss in points),
        diverged=False,
        title="net on data",
        unit="m²",
    )
    figure = curve.plot()
    (axes,) = figure.axes
    assert axes.get_ylabel() == "loss (m²)"
    assert {"valley 0.01", "steep 0.02", "minimum 0.1"} <= {line.get_label() for line in axes.lines}
    assert figure.texts[0].get_text() == "net on data"
    assert curve._repr_png_().startswith(b"\x89PNG")
