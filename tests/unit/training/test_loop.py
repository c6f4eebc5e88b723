"""The training loop."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo.config.train_config import TrainConfig
from zoo.console.reports import Progress
from zoo.errors import DataError, Diverged, Interrupted, OptionError, RunError
from zoo.evaluation.measure import measure
from zoo.interfaces import Step
from zoo.registry.registry import Registry
from zoo.training.host import Host
from zoo.training.loop import fit
from zoo.training.state import TrainState
from zoo.training.store import Store
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

IMAGES = Classification(CLASSIFICATION)
TEXT = LanguageModeling(LANGUAGE_MODELING)


class Linear(nn.Module):
    """The smallest classifier; without BatchNorm, so that images in a batch do not meet."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.out = nn.Linear(3 * 8 * 8, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(images.flatten(1))


class Memory(Store):
    """A store that keeps captures in memory."""

    def __init__(self) -> None:
        self.saved: list[dict[str, Any]] = []
        self.best: list[int] = []

    def keep_best(self, state: TrainState) -> None:
        self.best.append(state.epoch)

    def restore(self, state: TrainState, *, device: str) -> None:
        pass

    def due(self, state: TrainState) -> bool:
        return False

    def save(self, state: TrainState) -> None:
        tensors, data = state.capture()
        self.saved.append(
            msgspec.structs.asdict(data.position) | {name: tensor.clone() for name, tensor in tensors.items()}
        )


def test_two_accumulated_half_batches_equal_a_whole_batch(images: Any) -> None:
    def trained(**config: Any) -> Tensor:
        model = Linear()
        made = TrainConfig(epochs=2, optimizer="sgd", lr=0.05, schedule="constant", precision="fp32")
        state = fit(model, IMAGES, images(36), made.replace(config))
        assert state.steps == 6
        return model.out.weight.detach()

    halves = trained(batch_size=8, grad_accum_steps=2)  # 8 + 8, 8 + 8, 4
    torch.testing.assert_close(halves, trained(batch_size=16), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["nonmono", "patience"])
def test_options_that_depend_on_validation_require_a_val_split(images: Any, name: str) -> None:
    message = f"^{name} requires a val split, which this data does not have(?m:$)"
    with pytest.raises(OptionError, match=message) as caught:
        fit(Linear(), IMAGES, images(36, val=0), configured().replace({name: 1}))
    assert (
        caught.value.hint == "add a val split, for example with --data val_size=... or --data val_share=..."
    )


def test_the_best_epoch_is_kept_and_kept_again_when_a_run_resumes_from_it(images: Any) -> None:
    memory = Memory()
    config = TrainConfig(epochs=3, optimizer="sgd", lr=0.05, batch_size=12)
    state = fit(Linear(), IMAGES, images(36), config, host=Host(store=memory))
    scores = [(row["val"]["accuracy"], -row["val"]["loss"]) for row in state.history]
    records = [epoch for epoch in (1, 2, 3) if all(scores[epoch - 1] > one for one in scores[: epoch - 1])]
    assert memory.best == records

    class Again(Memory):
        def restore(self, state: TrainState, *, device: str) -> None:
            state.history = [
                {"epoch": number, "steps": 0, "train": {"accuracy": accuracy, "loss": 1.0}}
                | {"val": {"accuracy": accuracy, "loss": 1.0}}
                for number, accuracy in ((1, 0.5), (2, 2.0))
            ]
            state.epoch = 2

    again = Again()
    fit(Linear(), IMAGES, images(36), config, host=Host(store=again))
    assert again.best == [2]


def test_training_and_measuring_leave_the_random_state_unchanged(
    images: Any, text: Any, registry: Any
) -> None:
    model = registry.architecture("lstm").load()(vocab_size=8, hidden_size=4)
    before = torch.get_rng_state(), random.getstate(), numpy_state()
    config = configured(batch_size=6, bptt=8, bptt_jitter=True, augment=("crop", "flip"))
    fit(model, TEXT, text(), config)
    fit(Linear(), IMAGES, images(), config)
    measure(model, TEXT, text(), "test")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), numpy_state()) == before[1:]


def numpy_state() -> tuple[list[int], int]:
    state = np.random.get_state(legacy=False)["state"]
    return state["key"].tolist(), state["pos"]


def losses(model: nn.Module, task: Any, data: Any, config: TrainConfig, **options: Any) -> list[float]:
    reports: list[Progress] = []
    fit(model, task, data, config, host=Host(report=reports.append), **options)
    return [progress.loss for progress in reports if progress.is_step]


class Fails(Linear):
    """A model that produces a NaN in one forward pass of training, or in evaluation after it."""

    mean: Tensor

    def __init__(self, at: int, where: str) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))
        self.at, self.where, self.calls = at, where, 0

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images) + self.mean
        if self.training:
            self.calls += 1
            if self.calls == self.at and self.where == "loss":
                return logits * math.nan
            if self.calls == self.at and self.where == "gradient":
                return logits + (logits - logits.detach()).sqrt()  # 0, but its slope is not finite
            if self.calls == self.at and self.where == "buffer":
                self.mean.fill_(math.nan)
        elif self.calls >= self.at and self.where == "evaluation":
            return logits * math.nan
        return logits


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("loss", "epoch 2, batch 2: the loss is nan at a learning rate of 0.05"),
        ("gradient", "epoch 2, batch 2: a gradient is not finite at a learning rate of 0.05"),
        ("buffer", "mean has values that are not finite"),
        ("evaluation", "the val loss is nan"),
    ],
)
def test_a_value_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(
    images: Any, where: str, message: str
) -> None:
    calls = {"loss": 6, "gradient": 6, "buffer": 8, "evaluation": 8}  # of the 8 in two epochs
    store = Memory()
    config = TrainConfig(
        epochs=2, batch_size=5, optimizer="sgd", lr=0.05, schedule="constant", precision="fp32"
    )
    with pytest.raises(Diverged) as caught:
        fit(Fails(calls[where], where), IMAGES, images(20), config, host=Host(store=store))
    assert message in str(caught.value)
    assert caught.value.exit_code == 3
    assert (
        caught.value.hint == "try --lr 0.005, or --clip-grad-norm 1; `zoo lr-find` suggests a learning rate"
    )
    (kept,) = store.saved
    assert kept["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in kept.values() if isinstance(value, Tensor))


@pytest.mark.parametrize("where", ["loss", "buffer", "evaluation"])
def test_the_hint_does_not_suggest_clipping_to_a_run_that_clips(images: Any, where: str) -> None:
    config = TrainConfig(batch_size=5, optimizer="sgd", lr=0.05, clip_grad_norm=2.0, precision="fp32")
    with pytest.raises(Diverged) as caught:
        fit(Fails(4, where), IMAGES, images(20), config)
    assert caught.value.hint == "try --lr 0.005; `zoo lr-find` suggests a learning rate"


@pytest.mark.parametrize("number", [2, 15])
def test_a_stop_finishes_the_step_and_saves(images: Any, number: int) -> None:
    store, reports = Memory(), list[Progress]()
    config = TrainConfig(batch_size=5, grad_accum_steps=2, epochs=3)
    with pytest.raises(Interrupted, match="stopped in epoch 1, batch 4") as caught:
        fit(
            Linear(),
            IMAGES,
            images(30),
            config,
            host=Host(store=store, report=reports.append, stop=lambda: number if len(reports) >= 3 else 0),
        )
    assert caught.value.exit_code == 128 + number
    assert (store.saved[-1]["batch"], store.saved[-1]["steps"], len(reports)) == (4, 2, 4)


def test_the_reported_loss_excludes_the_model_s_penalty(text: Any, registry: Registry) -> None:
    def reported(penalty: float) -> list[float]:
        model = registry.architecture("awd-lstm").load()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = model(vocab_size=8, hidden_size=4, activation_penalty=penalty)
        config = configured(batch_size=4, lr=1e-9, precision="fp32", bptt=8)
        return losses(made, TEXT, text(), config)

    assert reported(500.0) == pytest.approx(reported(0.0), abs=1e-3)


def test_after_a_stop_at_the_last_step_or_in_evaluation_only_evaluation_is_left(images: Any) -> None:
    config = TrainConfig(epochs=1, batch_size=5, precision="fp32")
    whole = fit(Linear(), IMAGES, images(20), config)

    class Stopped(Memory):
        state: TrainState

        def save(self, state: TrainState) -> None:
            super().save(state)
            self.state = state

    for asked_from in (4, 5):  # after the last step of four, or while validating
        store, asked = Stopped(), 0

        def stop(asked_from: int = asked_from) -> int:
            nonlocal asked
            asked += 1
            return 15 if asked >= asked_from else 0

        with pytest.raises(Interrupted, match="stopped in epoch 1, batch 4"):
            fit(Linear(), IMAGES, images(20), config, host=Host(store=store, stop=stop))
        assert store.saved[-1]["batch"] == 4
        tensors, data = store.state.capture()

        class Again(Memory):
            def restore(
                self,
                state: TrainState,
                *,
                device: str,
                tensors: Any = tensors,
                data: Any = data,
            ) -> None:
                state.restore(tensors, data, device=device)

        reports: list[Progress] = []
        state = fit(Linear(), IMAGES, images(20), config, host=Host(store=Again(), report=reports.append))
        assert [(progress.batch, progress.split is None) for progress in reports] == [(0, False)] * 2 + [
            (0, True)
        ]
        for row in (state.history[0], whole.history[0]):
            row.pop("clock", None)
        assert state.history == whole.history


def test_a_run_is_saved_within_an_epoch_when_a_save_is_due(images: Any) -> None:
    class Often(Memory):
        def due(self, state: TrainState) -> bool:
            return state.steps % 3 == 0

    store = Often()
    fit(Linear(), IMAGES, images(35), TrainConfig(epochs=2, batch_size=5), host=Host(store=store))
    places = [(kept["epoch"], kept["batch"]) for kept in store.saved]
    assert places == [(0, 3), (0, 6), (1, 0), (1, 2), (1, 5), (2, 0)]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.50 GB, max allowed: 20.40 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
@pytest.mark.parametrize("evaluating", [False, True])
def test_running_out_of_memory_suggests_a_smaller_batch(
    images: Any, error: Exception, evaluating: bool
) -> None:
    class Greedy(Linear):
        def forward(self, images: Tensor) -> Tensor:
            if self.training != evaluating:
                raise error
            return super().forward(images)

    with pytest.raises(RunError, match=r"^out of memory in epoch 1, batch \d, with batch_size=16") as caught:
        fit(Greedy(), IMAGES, images(36), TrainConfig(batch_size=16))
    assert caught.value.hint == (
        "try --batch-size 8 --grad-accum-steps 2; add --resume --accept-changes to continue the run"
    )


@pytest.mark.parametrize(
    "words", ["shapes cannot be multiplied", "an output that the graph allocated has been overwritten"]
)
def test_other_errors_of_a_model_pass_through(images: Any, words: str) -> None:
    class Wrong(Linear):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError(words)

    with pytest.raises(RuntimeError, match=f"^{words}"):
        fit(Wrong(), IMAGES, images(36), TrainConfig())


@pytest.mark.parametrize(
    ("val", "test", "expected"),
    [
        (9, 9, [{"train", "val"}, {"train", "val"}]),
        (0, 9, [{"train"}, {"train", "test"}]),
        (0, 0, [{"train"}, {"train"}]),
    ],
)
def test_val_is_measured_each_epoch_and_test_only_at_the_end_if_there_is_no_val(
    images: Any, val: int, test: int, expected: list[set[str]]
) -> None:
    state = fit(Linear(), IMAGES, images(20, val, test), TrainConfig(epochs=2, batch_size=6))
    assert [{"train", "val", "test"} & set(row) for row in state.history] == expected
    assert [(row["epoch"], row["steps"]) for row in state.history] == [(1, 4), (2, 8)]


def test_an_epoch_s_row_holds_the_metrics_of_the_averaged_model(images: Any) -> None:
    data = images()
    model = Linear()
    state = fit(model, IMAGES, data, TrainConfig(batch_size=6, ema_decay=0.9))
    assert state.history[-1]["val"] == measure(state.best, IMAGES, data, "val").metrics
    assert state.history[-1]["val"] != measure(model, IMAGES, data, "val").metrics


def test_a_smaller_last_batch_counts_by_its_images(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = images(1, 23), Linear()
    whole = measure(model, IMAGES, data, "val").metrics
    monkeypatch.setattr("zoo_images.image_task._EVAL_PIXELS", 5 * 8 * 8)
    assert measure(model, IMAGES, data, "val").metrics == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("kind", ["images", "text"])
def test_a_batch_that_is_too_large_at_once_is_measured_in_halves(
    images: Any, text: Any, registry: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Of a text, the second half reads on from the state after the first."""
    given: Any = Linear(), IMAGES, images(), "test"
    if kind == "text":
        lstm = registry.architecture("lstm").load()(vocab_size=8, hidden_size=4)
        given = lstm, TEXT, text(test=400), "test"
    whole = measure(*given)
    monkeypatch.setattr("zoo.evaluation.measure.MOST_BYTES", 100)
    halves = measure(*given)
    assert halves.count == whole.count
    assert halves.metrics == pytest.approx(whole.metrics, rel=1e-5)


def test_the_values_of_one_half_are_computed_before_the_next_runs(
    images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, the outputs of all halves would be in memory at once."""
    given: Any = Linear(), IMAGES, images(), "test"
    whole = measure(*given, with_items=True)
    events: list[str] = []

    def step(*arguments: Any) -> Step:
        found = Classification.step(IMAGES, *arguments)
        events.append("step")

        def items() -> Mapping[str, Tensor]:
            assert found.items is not None
            events.append("items")
            return found.items()

        return replace(found, items=items)

    monkeypatch.setattr("zoo.evaluation.measure.MOST_BYTES", 100)
    monkeypatch.setattr(IMAGES, "step", step)
    halves = measure(*given, with_items=True)
    assert events == ["step", "items"] * 2
    for name, values in whole.items.items():
        torch.testing.assert_close(halves.items[name], values)  # a CPU may round smaller batches otherwise


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_modes_and_gradients_unchanged(images: Any, training: bool) -> None:
    model = Linear().train(training)
    model.out.train(not training)  # such as a frozen BatchNorm
    model.out.weight.grad = torch.ones_like(model.out.weight)
    before = model.out.weight.detach().clone()
    measure(model, IMAGES, images(), "val")
    assert model.training is training
    assert model.out.training is not training
    assert torch.equal(model.out.weight.grad, torch.ones_like(before))
    assert torch.equal(model.out.weight, before)
    with pytest.raises(DataError, match="the test split is empty") as caught:
        measure(model, IMAGES, images(5, 5, 0), "test")
    assert caught.value.hint == "data is available in train and val; use --split val"
    assert model.training is training


class Carrier(nn.Module):
    """A language model whose state counts the tokens it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 8)
        self.read: list[int] = []

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.training:
            self.read.append(0 if state is None else int(state.detach()))
            assert state is None or not state.requires_grad
        logits = self.table(tokens)
        return logits, (0 if state is None else state) + len(tokens) + 0 * logits.sum()


def test_state_is_carried_detached_through_an_epoch_and_starts_over_with_the_next(text: Any) -> None:
    model = Carrier()
    fit(model, TEXT, text(101), configured(batch_size=4, epochs=2, bptt=8))
    assert model.read == [0, 8, 16, 24] * 2


def test_progress_says_where_the_run_is(images: Any) -> None:
    reports: list[Progress] = []
    config = TrainConfig(epochs=2, batch_size=6, lr=0.1)
    fit(Linear(), IMAGES, images(20), config, host=Host(report=reports.append))
    batches = [progress for progress in reports if progress.is_step]
    assert [(p.epoch, p.batch) for p in batches] == [
        (epoch, batch) for epoch in (1, 2) for batch in (1, 2, 3, 4)
    ]
    assert {(p.epochs, p.batches) for p in reports} == {(2, 4)}
    assert all(0 < p.lr < 0.1 and p.rate > 0 for p in batches)
    assert [p.left is None for p in batches] == [True, False, False, False] * 2
    assert all(p.left >= 0 for p in batches if p.left is not None)
    assert [p.row["epoch"] for p in reports if p.row] == [1, 2]
    evaluated = [(p.epoch, p.split, p.done, p.total) for p in reports if p.split]
    assert evaluated == [(epoch, "val", done, done) for epoch in (1, 2) for done in (0, 9)]
    assert {(p.unit, p.shown) for p in reports} == {("images", ("accuracy",))}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_stay_fp32_in_every_precision(images: Any, precision: str) -> None:
    seen: list[torch.dtype] = []
    model = Linear()
    model.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    fit(model, IMAGES, images(20, 0, 0), configured().replace({"precision": precision, "batch_size": 10}))
    assert set(seen) == {torch.float32 if precision == "fp32" else torch.bfloat16}
    assert model.out.weight.dtype == torch.float32


def test_learning_happens(images: Any) -> None:
    data = images(64, 32)
    state = fit(Linear(), IMAGES, data, TrainConfig(epochs=10, batch_size=16, lr=0.01))
    assert state.history[-1]["val"]["accuracy"] == 1.0


class Growing(nn.Module):
    """A language model with a memory of the last 20 tokens, and with weights that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 8)
        self.out = torch.nn.utils.weight_norm(nn.Linear(8, 8))

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        seen = self.table(tokens)  # (T, B, 8)
        memory = seen if state is None else torch.cat([state, seen])[-20:]
        return self.out(seen + memory.mean(0)), memory


class Saved(Memory):
    """Keeps what the last save within an epoch captured, and restores it if there is something."""

    def __init__(self, held: Any = None) -> None:
        super().__init__()
        self.held: Any = held

    def due(self, state: TrainState) -> bool:
        return state.steps == 5

    def save(self, state: TrainState) -> None:
        if state.batch:
            tensors, data = state.capture()
            self.held = {name: value.detach().clone() for name, value in tensors.items()}, data

    def restore(self, state: TrainState, *, device: str) -> None:
        if self.held:
            state.restore(*self.held, device=device)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about weight_norm
def test_a_state_that_grows_is_resumed_within_an_epoch(text: Any) -> None:
    config = configured(batch_size=4, precision="fp32", bptt=8)
    torch.manual_seed(0)
    first, store = Growing(), Saved()
    whole = fit(first, TEXT, text(301), config, host=Host(store=store))
    torch.manual_seed(0)
    again = fit(Growing(), TEXT, text(301), config, host=Host(store=Saved(store.held)))
    assert again.history[0]["train"] == whole.history[0]["train"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ({"carried/0": torch.zeros(3, 9, 9)}, "RuntimeError"),
        ({"sums/loss": torch.zeros(8, dtype=torch.uint8)}, ".*sums/loss"),
        ({"sums/loss": torch.zeros(2, 1)}, ".*sums/loss"),
        ({"sums/loss": torch.zeros(0)}, ".*sums/loss"),
    ],
)
def test_a_tensor_that_does_not_fit_is_told_by_the_first_step(
    text: Any, forged: dict[str, Tensor], reason: str
) -> None:
    config = configured(batch_size=4, precision="fp32", bptt=8)
    store = Saved()
    fit(Growing(), TEXT, text(301), config, host=Host(store=store))
    tensors, data = store.held
    store.held = tensors | forged, data
    with pytest.raises(RunError, match=f"^the first step after resuming failed: {reason}") as caught:
        fit(Growing(), TEXT, text(301), config, host=Host(store=store))
    assert "checkpoint may not match" in str(caught.value.hint)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_sums_of_other_names_are_refused_by_the_first_step(text: Any) -> None:
    config = configured(batch_size=4, precision="fp32", bptt=8)
    store = Saved()
    fit(Growing(), TEXT, text(301), config, host=Host(store=store))
    tensors, data = store.held
    store.held = {name.replace("sums/loss", "sums/entropy"): value for name, value in tensors.items()}, data
    with pytest.raises(RunError, match=r"its sums are entropy \(expected loss\)"):
        fit(Growing(), TEXT, text(301), config, host=Host(store=store))
