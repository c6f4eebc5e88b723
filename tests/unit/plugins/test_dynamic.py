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

from tests.fakes import FakeText
from zoo.analysis.analyzer_run import make_analyzer
from zoo.errors import DataError, Diverged, OptionError
from zoo.interfaces import Analysis, Reference, Subject
from zoo.models.building import build_model
from zoo.models.device import pick_device
from zoo.registry.registry import Registry
from zoo_analyzers import dynamic
from zoo_analyzers.dynamic import DynamicEvaluation as Dynamic
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

TASK = LanguageModeling(LANGUAGE_MODELING)
SIZE = 8
GPU = os.environ.get("ZOO_TEST_DEVICE") or pick_device(None)


def lstm(registry: Registry, name: str = "lstm", **arguments: Any) -> nn.Module:
    options = {"vocab_size": SIZE, "embedding_dim": 6, "hidden_size": 12, **arguments}
    return build_model(registry.architecture(name), options, seed=0)


def letters(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.uint8)


def with_test(data: FakeText, tokens: Tensor) -> FakeText:
    return FakeText({"train": data.split("train"), "val": data.split("val"), "test": tokens}, SIZE)


def analysis(model: nn.Module, data: FakeText, dynamic: Dynamic, *, lanes: int = 16) -> Analysis:
    """Return what dynamic evaluation finds of the test split."""
    train = Reference(batches=[*TASK.eval_batches(data, "train")])
    subject = Subject(task="language-modeling", landmarks={}, preprocess=data.preprocess, reference=train)
    batches = [*TASK.lane_batches(data.split("test"), lanes=lanes, steps=16)]
    return dynamic.analyze(model, batches, subject=subject)


def evaluate_dynamic(model: nn.Module, data: FakeText, dynamic: Dynamic) -> tuple[Any, int]:
    found = analysis(model, data, dynamic)
    return found.scores, found.details["tokens"]


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
    metrics, count = evaluate_dynamic(model, data, Dynamic(lr=0, segment=segment))
    assert count == len(data.split("test")) - 1
    assert metrics["loss"] == pytest.approx(one_lane(model, data), rel=1e-5)
    assert metrics["bits_per_char"] == pytest.approx(metrics["loss"] / math.log(2))


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "awd-lstm"])
def test_an_unknown_pattern_is_learned_while_it_is_read(
    registry: Registry, text: Callable[..., FakeText], name: str
) -> None:
    model = lstm(registry, name)
    data = with_test(text(), letters(2, 3, 5, 2, 7, 4).repeat(200))
    metrics, _ = evaluate_dynamic(model, data, Dynamic(lr=3e-3))
    assert metrics["loss"] < 0.6 * one_lane(model, data)


@pytest.mark.parametrize("segment", [1, 5])
def test_a_token_is_predicted_before_the_model_learns_from_it(
    registry: Registry, text: Callable[..., FakeText], segment: int
) -> None:
    model, data = lstm(registry), text(30)
    tokens = data.split("test")[: 1 + 6 * segment].clone()
    dynamic = Dynamic(lr=1e-2, segment=segment)
    parts = [with_test(data, tokens[: 1 + n * segment]) for n in (5, 6)]
    shorter, before = (evaluate_dynamic(model, part, dynamic)[0]["loss"] for part in parts)
    tokens[-1] = 2 + (tokens[-1] - 1) % (SIZE - 2)
    changed = evaluate_dynamic(model, with_test(data, tokens), dynamic)[0]["loss"]
    same = evaluate_dynamic(model, with_test(data, tokens[: 1 + 5 * segment]), dynamic)[0]["loss"]
    assert (same, changed != before) == (shorter, True)


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
    two, _ = evaluate_dynamic(Bigrams(), data, Dynamic(lr=0.05, decay=0.3, segment=4))
    assert two["loss"] == pytest.approx(expected / 8, rel=1e-6)

    longer = FakeText({"train": train, "val": train, "test": torch.cat([test, letters(5, 3, 4, 4)])}, SIZE)
    expected += loss(weight, letters(2, 5, 3, 4, 4).long())
    three, count = evaluate_dynamic(Bigrams(), longer, Dynamic(lr=0.05, decay=0.3, segment=4))
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
        first, second = (evaluate_dynamic(model, text(), Dynamic()) for _ in range(2))
    assert first == second
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training is training
    assert [parameter.grad for parameter in model.parameters()] == [None] * len([*model.parameters()])
    assert {p.requires_grad for p in out.parameters()} == {False}
    assert torch.equal(torch.get_rng_state(), random)


def test_the_batches_are_read_at_the_pace_of_the_evaluation(
    registry: Registry, text: Callable[..., FakeText], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gives them reports progress: once for reading the text, and once for evaluating it."""
    data, events = text(), list[str]()
    batches = [*TASK.lane_batches(data.split("test"), lanes=1, steps=20)]

    class Counted(list[Any]):
        def __iter__(self) -> Any:
            for batch in super().__iter__():
                yield batch
                events.append("batch")

    def gradients(*arguments: Any, right: Any = dynamic._gradients) -> Any:
        events.append("step")
        return right(*arguments)

    monkeypatch.setattr(dynamic, "_gradients", gradients)
    train = Reference(batches=[*TASK.lane_batches(data.split("train"), lanes=1, steps=20)][:1])
    subject = Subject(task="", landmarks={}, preprocess=data.preprocess, reference=train)
    Dynamic().analyze(lstm(registry), Counted(batches), subject=subject)
    assert events == ["batch", "batch", "step", "step", "batch", "step", "batch"]


def test_only_the_first_200_segments_of_the_training_split_set_the_rates(
    registry: Registry, text: Callable[..., FakeText]
) -> None:
    model, data = lstm(registry), text(400)

    def loss(changed: int | None = None) -> float:
        train = data.split("train").clone()
        if changed is not None:
            train[changed] = 2 + (train[changed] - 1) % (SIZE - 2)
        splits: dict[Any, Tensor] = {"train": train, "val": data.split("val"), "test": data.split("test")}
        return evaluate_dynamic(model, FakeText(splits, SIZE), Dynamic(lr=1e-2, segment=1))[0]["loss"]

    usual = loss()
    assert loss(changed=201) == usual
    assert loss(changed=200) != usual, "the last token that is predicted"
    assert loss(changed=0) != usual


def test_a_diverging_evaluation_is_stopped(registry: Registry, text: Callable[..., FakeText]) -> None:
    with pytest.raises(Diverged, match=r"diverged within \d+ tokens: the loss is (nan|inf)") as caught:
        evaluate_dynamic(lstm(registry), text(), Dynamic(lr=1e38, segment=2))
    assert caught.value.hint == "lower the learning rate (currently --option lr=1e+38)"


def test_a_value_out_of_range_is_refused(registry: Registry) -> None:
    with pytest.raises(OptionError, match=r"decay must be at most 1 \(got 1\.5\)"):
        make_analyzer(registry.analyzer("dynamic-evaluation"), {"decay": 1.5})


def test_a_model_with_a_context_length_is_refused(registry: Registry) -> None:
    subject = Subject(task="", landmarks={}, preprocess={}, context=128)
    with pytest.raises(OptionError, match=r"unlimited context, but this model reads at most 128 tokens"):
        Dynamic().analyze(lstm(registry), [], subject=subject)


@pytest.mark.gpu
@pytest.mark.skipif(GPU == "cpu", reason="there is no GPU")
@pytest.mark.parametrize("name", ["lstm", "awd-lstm"])
def test_a_gpu_gives_the_same_loss(registry: Registry, text: Callable[..., FakeText], name: str) -> None:
    model = lstm(registry, name)
    here, _ = evaluate_dynamic(model, text(), Dynamic())
    there, _ = evaluate_dynamic(model.to(GPU), text(), Dynamic())
    assert here["loss"] == pytest.approx(there["loss"], rel=1e-3)


def test_a_model_without_gradients_cannot_adapt(text: Callable[..., FakeText]) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.ones(()))

        def forward(self, tokens: Tensor, state: None = None) -> tuple[Tensor, None]:
            return 0 * self.unused.expand(*tokens.shape, SIZE), None

    with pytest.raises(DataError, match="all gradients on the training split are zero"):
        evaluate_dynamic(Constant(), text(), Dynamic())
    metrics, _ = evaluate_dynamic(Constant(), text(), Dynamic(lr=0))
    assert metrics["loss"] == pytest.approx(math.log(SIZE))
