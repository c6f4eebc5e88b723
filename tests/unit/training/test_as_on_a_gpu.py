"""What training on a GPU asks of the code, tried on the CPU."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import HashStore  # pyright: ignore[reportPrivateImportUsage]
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainings import train
from tests.unit.training.test_golden import FAMILIES, Stripes
from tests.unit.training.test_readings import Unread, fitted
from zoo.config.recipe import Recipe
from zoo.console.reports import Progress
from zoo.distributed.ranks import joined
from zoo.errors import Interrupted, OptionError
from zoo.interfaces import make_task
from zoo.models.building import build_model
from zoo.models.precision import autocast
from zoo.models.recurrent import Trainable
from zoo.registry.registry import Registry
from zoo.training import loop
from zoo.training import step as training_step
from zoo_images.average_precision import histograms

# Kernels that on a GPU raise an error under torch.use_deterministic_algorithms, as its documentation lists
UNREPEATABLE = {
    "adaptive_avg_pool3d_backward",
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "cumsum",
    "fractional_max_pool2d_backward",
    "grid_sampler_2d_backward",
    "histc",
    "max_unpool2d",
    "nll_loss2d_forward",
    "put_",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
}


class Repeatable(TorchDispatchMode):
    """Refuse what does not repeat on a GPU, while only that is asked for."""

    def __enter__(self) -> Self:
        torch.use_deterministic_algorithms(True)
        return super().__enter__()

    def __exit__(self, *of: Any) -> None:
        super().__exit__(*of)
        torch.use_deterministic_algorithms(False)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = str(func).split(".")[1]
        assert name not in UNREPEATABLE or (name == "cumsum" and not args[0].is_floating_point()), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name", ["airbench", "camnet", "convnet", "convnet-bn", "mlp", "resnet-lite", "resnet20", "resnet34-cam"]
)
def test_images_are_classified_by_kernels_that_repeat(name: str, registry: Registry) -> None:
    model = build_model(
        registry.architecture(name), {"in_channels": 3, "image_size": 32, "num_classes": 4}, seed=0
    )
    with Repeatable():
        model.train()(torch.randn(2, 3, 32, 32)).square().sum().backward()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_takes_kernels_that_repeat(
    name: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    step: Callable[..., Tensor] = loop.train_step

    def checked(*args: Any, **kwargs: Any) -> Tensor:
        with Repeatable():
            return step(*args, **kwargs)

    monkeypatch.setattr(loop, "train_step", checked)
    fitted(name, registry)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_dropout_between_layers_is_that_of_torch(kind: Any, layers: int, batch_first: bool) -> None:
    torch.manual_seed(0)
    model = kind(5, 8, layers, dropout=0.4 if layers > 1 else 0.0, batch_first=batch_first)
    x, hidden = torch.randn(4, 6, 5), torch.randn(layers, 4 if batch_first else 6, 8)
    before = (hidden, hidden.flip(0)) if kind is nn.LSTM else hidden

    def results(training: bool) -> list[Tensor]:
        torch.manual_seed(1)
        output, state = model.train(training)(x, before)
        model.zero_grad()
        output.square().sum().backward()
        states = state if isinstance(state, tuple) else (state,)
        return [output.detach(), *states, *(parameter.grad.clone() for parameter in model.parameters())]

    for training in (True, False):
        expected = results(training)
        with Trainable("cpu"):
            found = results(training)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_compute_in_fp32_where_a_gpu_would_take_fp16(kind: Any) -> None:
    model, x = kind(5, 8, 2).train(), torch.randn(4, 6, 5)
    expected = model(x)
    with autocast("bf16", "cpu"), Trainable("cpu"):
        found = model(x.bfloat16().float())
        state: Any = found[1]
        half = tuple(part.bfloat16() for part in state) if isinstance(state, tuple) else state.bfloat16()
        again, _ = model(x, half)
    assert (found[0].dtype, again.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(found[0], expected[0], atol=1e-2, rtol=0)
    assert torch.equal(found[0], model(x.bfloat16().float())[0])


def test_recurrent_layers_keep_double_precision_and_take_keywords() -> None:
    model, x = nn.GRU(5, 8).double(), torch.randn(4, 6, 5).double()
    how: dict[str, Any] = {"has_biases": True, "num_layers": 1, "dropout": 0.0, "train": False}
    weights: list[Tensor] = [*model.parameters()]
    with autocast("bf16", "cpu"), Trainable("cpu"):
        found, _ = model(x)
        named, _ = torch.gru(
            x, torch.zeros(1, 6, 8).double(), weights, bidirectional=False, batch_first=False, **how
        )
    assert found.dtype == torch.float64
    assert torch.equal(found, named)


def test_counting_scores_does_not_wait() -> None:
    with Unread():
        histograms(torch.randn(6, 3), torch.rand(6, 3) < 0.5)


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("cuda", "2 processes on this machine need one GPU each, but it has only 1"),
        ("cuda:1", "chooses its own GPU"),
    ],
)
def test_processes_that_cannot_have_a_gpu_each_are_refused(
    device: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in (variables | {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("zoo.distributed.ranks.rendezvous", lambda url, **_: iter([(HashStore(), 0, 2)]))
    with pytest.raises(OptionError, match=told), joined(device):
        pass


def test_parts_of_a_compiled_step_do_not_share_memory_of_the_graph(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CUDA graph overwrites what it returned when the next part begins."""
    model = build_model(
        registry.architecture("mlp"), {"in_channels": 3, "image_size": 16, "num_classes": 4}, seed=0
    )
    config = FAMILIES["convnet/resnet-lite"][1].replace(
        {"grad_accum_steps": 2, "ema_decay": 0.0, "augment": ()}
    )
    returned: list[Tensor] = []

    def of_graph(parameter: Tensor) -> None:
        assert parameter.grad is not None
        returned.append(parameter.grad)

    def begin() -> None:
        for gradient in returned:
            gradient.fill_(torch.nan)
        returned.clear()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(of_graph)
    monkeypatch.setattr(training_step, "begin_compiled_step", begin)
    monkeypatch.setattr(loop, "compiled", lambda *args, **kwargs: nullcontext())
    loop.fit(
        model,
        make_task(registry, "classification"),
        Stripes(),
        config.replace({"compile": True, "epochs": 1}),
    )


def test_a_run_in_half_precision_goes_on_in_single(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a rolling stone gathers no moss. " * 60)
    recipe = Recipe(
        architecture="lstm",
        dataset="files",
        data={"paths": str(tmp_path / "text.txt")},
        model={"hidden_size": 16},
        train={"batch_size": 4, "bptt": 8},
    )
    steps = count(1)

    def stop(progress: Progress) -> None:
        if next(steps) == 3:
            signal.raise_signal(signal.SIGINT)

    half = replace(recipe, train={**recipe.train, "precision": "bf16"})
    with pytest.raises(Interrupted):
        train(half, registry, directory=tmp_path / "run", report=stop)
    single = replace(recipe, train={**recipe.train, "precision": "fp32"})
    train(single, registry, directory=tmp_path / "run", resume=True, accept_changes=True)
