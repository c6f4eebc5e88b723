"""Dynamic evaluation: each token is scored before the model learns from it, by the step of the paper."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.core.conftest import FakeText
from zoo.errors import DataError, Diverged, OptionError
from zoo.evaluation.dynamic import Dynamic, evaluate_dynamic
from zoo.interfaces import SPLITS
from zoo.models.building import build_model
from zoo.models.precision import pick_device
from zoo.registry.registry import Registry
from zoo_text.language_modelling import LanguageModelling
from zoo_text.plugin import LANGUAGE_MODELLING

TASK = LanguageModelling(LANGUAGE_MODELLING)
SIZE = 8
GPU = os.environ.get("ZOO_TEST_DEVICE") or pick_device(None)


def lstm(registry: Registry, name: str = "lstm", **arguments: Any) -> nn.Module:
    options = {"vocab_size": SIZE, "embedding_dim": 6, "hidden_size": 12, **arguments}
    return build_model(registry.architecture(name), options, seed=0)


def letters(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.uint8)


def with_test(data: FakeText, tokens: Tensor) -> FakeText:
    return FakeText({"train": data.split("train"), "val": data.split("val"), "test": tokens}, SIZE)


def losses(model: nn.Module, data: FakeText, dynamic: Dynamic) -> list[float]:
    """Return the mean loss so far, after each segment."""
    reported: list[float] = []
    evaluate_dynamic(
        model, TASK, data, "test", dynamic, report=lambda done, total, loss: reported.append(loss)
    )
    return reported


def one_lane(model: nn.Module, data: FakeText) -> float:
    """Return the loss of the whole test split in one pass, without adaptation."""
    tokens = data.split("test").long()
    with torch.no_grad():
        logits, _ = copy.deepcopy(model).eval()(tokens[:-1, None])
    return float(nn.functional.cross_entropy(logits[:, 0], tokens[1:]))


@pytest.mark.parametrize("segment", [1, 7, 20, 39, 100])
def test_without_adaptation_it_is_static_evaluation_in_one_lane(
    registry: Registry, text: Callable[..., FakeText], segment: int
) -> None:
    model, data = lstm(registry), text()
    metrics, count = evaluate_dynamic(model, TASK, data, "test", Dynamic(lr=0, segment=segment))
    assert count == len(data.split("test")) - 1
    assert metrics["loss"] == pytest.approx(one_lane(model, data), rel=1e-5)
    assert metrics["bits_per_char"] == pytest.approx(metrics["loss"] / math.log(2))


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "awd-lstm"])
def test_an_unknown_pattern_is_learned_while_it_is_read(
    registry: Registry, text: Callable[..., FakeText], name: str
) -> None:
    model = lstm(registry, name)
    data = with_test(text(), letters(2, 3, 5, 2, 7, 4).repeat(200))
    metrics, _ = evaluate_dynamic(model, TASK, data, "test", Dynamic(lr=3e-3))
    assert metrics["loss"] < 0.6 * one_lane(model, data)


@pytest.mark.parametrize("segment", [1, 5])
def test_a_token_is_predicted_before_the_model_learns_from_it(
    registry: Registry, text: Callable[..., FakeText], segment: int
) -> None:
    model, tokens = lstm(registry), text().split("test")[: 1 + 6 * segment].clone()
    dynamic = Dynamic(lr=1e-2, segment=segment)
    before = losses(model, with_test(text(), tokens), dynamic)
    tokens[-1] = 2 + (tokens[-1] - 1) % (SIZE - 2)
    after = losses(model, with_test(text(), tokens), dynamic)
    assert len(before) == 6
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_a_step_is_that_of_the_paper() -> None:
    table = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    class Bigrams(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding.from_pretrained(table, freeze=False)

        def forward(self, tokens: Tensor, state: None = None) -> tuple[Tensor, None]:
            return self.table(tokens), None

    def gradient(weight: Tensor, tokens: Tensor) -> Tensor:
        """Of the mean loss: (softmax - one-hot) / count, in the row of each token read."""
        found = torch.zeros_like(weight)
        for here, there in zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True):
            found[here] += weight[here].softmax(0) / (len(tokens) - 1)
            found[here, there] -= 1 / (len(tokens) - 1)
        return found

    def loss(weight: Tensor, tokens: Tensor) -> float:
        return -float(weight[tokens[:-1]].log_softmax(1)[torch.arange(len(tokens) - 1), tokens[1:]].sum())

    train, test = letters(2, 3, 2, 4, 5, 6, 3, 2, 6), letters(3, 2, 4, 7, 2, 6, 6, 3, 2)
    data = FakeText({"train": train, "val": train, "test": test}, SIZE)
    trained = table.double()
    parts = train[:5].long(), train[4:].long()
    rms = torch.stack([gradient(trained, part) ** 2 for part in parts]).mean(0).sqrt()
    pull = (0.3 * rms / rms.mean()).clamp(max=1)
    floor = rms.clamp(min=0.3 * rms.mean())
    assert (pull == 1).any()  # the clamp and the floor both matter here
    assert (rms < floor).any()

    expected, weight = 0.0, trained
    for start in (0, 4):
        part = test[start : start + 5].long()
        expected += loss(weight, part)
        weight = weight + pull * (trained - weight) - 0.05 * gradient(weight, part) / floor
    two, _ = evaluate_dynamic(Bigrams(), TASK, data, "test", Dynamic(lr=0.05, decay=0.3, segment=4))
    assert two["loss"] == pytest.approx(expected / 8, rel=1e-6)

    longer = FakeText({"train": train, "val": train, "test": torch.cat([test, letters(5, 3, 4, 4)])}, SIZE)
    expected += loss(weight, letters(2, 5, 3, 4, 4).long())
    three, count = evaluate_dynamic(Bigrams(), TASK, longer, "test", Dynamic(lr=0.05, decay=0.3, segment=4))
    assert count == 12
    assert three["loss"] == pytest.approx(expected / 12, rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_and_the_random_state_do_not_change(
    registry: Registry, text: Callable[..., FakeText], training: bool
) -> None:
    model = lstm(registry, dropout=0.5).train(training)
    out = model.get_submodule("out").requires_grad_(False)
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with torch.no_grad():
        first, second = (evaluate_dynamic(model, TASK, text(), "test", Dynamic()) for _ in range(2))
    assert first == second
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training is training
    assert [parameter.grad for parameter in model.parameters()] == [None] * len([*model.parameters()])
    assert {p.requires_grad for p in out.parameters()} == {False}
    assert torch.equal(torch.get_rng_state(), random)


def test_progress_is_reported_after_each_segment(registry: Registry, text: Callable[..., FakeText]) -> None:
    reports: list[tuple[float, ...]] = []
    metrics, _ = evaluate_dynamic(
        lstm(registry), TASK, text(), "test", Dynamic(), report=lambda *progress: reports.append(progress)
    )
    assert [(done, total) for done, total, _ in reports] == [(20, 40), (39, 39)]
    assert reports[-1][2] == metrics["loss"]


def test_only_the_first_200_segments_of_the_training_split_set_the_rates(
    registry: Registry, text: Callable[..., FakeText]
) -> None:
    model, data = lstm(registry), text(400)

    def loss(changed: int | None = None) -> float:
        train = data.split("train").clone()
        if changed is not None:
            train[changed] = 2 + (train[changed] - 1) % (SIZE - 2)
        splits: dict[Any, Tensor] = {"train": train, "val": data.split("val"), "test": data.split("test")}
        return evaluate_dynamic(model, TASK, FakeText(splits, SIZE), "test", Dynamic(lr=1e-2, segment=1))[0][
            "loss"
        ]

    usual = loss()
    assert loss(changed=201) == usual
    assert loss(changed=200) != usual, "the last token that is predicted"
    assert loss(changed=0) != usual


def test_a_diverging_evaluation_is_stopped(registry: Registry, text: Callable[..., FakeText]) -> None:
    with pytest.raises(Diverged, match=r"diverged within \d+ tokens: the loss is (nan|inf)") as caught:
        evaluate_dynamic(lstm(registry), TASK, text(), "test", Dynamic(lr=1e38, segment=2))
    assert caught.value.hint == "try a --dynamic-lr below 1e+38"


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split_is_refused(registry: Registry, text: Callable[..., FakeText], split: str) -> None:
    splits: dict[Any, Tensor] = {name: text().split(name) for name in SPLITS}
    splits[split] = letters()
    with pytest.raises(DataError, match=f"the {split} split is empty"):
        evaluate_dynamic(lstm(registry), TASK, FakeText(splits, SIZE), "test", Dynamic())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, "dynamic lr must be between 0 (no adaptation) and 1e38 (got -1.0)"),
        ({"lr": math.inf}, "dynamic lr must be between 0 (no adaptation) and 1e38 (got inf)"),
        ({"lr": math.nan}, "dynamic lr must be between 0 (no adaptation) and 1e38 (got nan)"),
        ({"decay": 1.5}, "dynamic decay must be between 0 and 1 (got 1.5)"),
        ({"decay": math.nan}, "dynamic decay must be between 0 and 1 (got nan)"),
        ({"segment": 0}, "dynamic segment must be at least 1 (got 0)"),
    ],
)
def test_a_value_out_of_range_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Dynamic(**settings)
    assert str(caught.value) == message


@pytest.mark.gpu
@pytest.mark.skipif(GPU == "cpu", reason="there is no GPU")
@pytest.mark.parametrize("name", ["lstm", "awd-lstm"])
def test_a_gpu_gives_the_same_loss(registry: Registry, text: Callable[..., FakeText], name: str) -> None:
    model = lstm(registry, name)
    here, _ = evaluate_dynamic(model, TASK, text(), "test", Dynamic())
    there, _ = evaluate_dynamic(model.to(GPU), TASK, text(), "test", Dynamic(), device=GPU)
    assert here["loss"] == pytest.approx(there["loss"], rel=1e-3)


def test_a_model_without_gradients_cannot_adapt(text: Callable[..., FakeText]) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.ones(()))

        def forward(self, tokens: Tensor, state: None = None) -> tuple[Tensor, None]:
            return 0 * self.unused.expand(*tokens.shape, SIZE), None

    with pytest.raises(DataError, match="every gradient on the training split is zero"):
        evaluate_dynamic(Constant(), TASK, text(), "test", Dynamic())
    metrics, _ = evaluate_dynamic(Constant(), TASK, text(), "test", Dynamic(lr=0))
    assert metrics["loss"] == pytest.approx(math.log(SIZE))
