"""On a GPU: training, stopping and resuming, evaluation, sampling, analysis."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from zoo.analysis.findings import Findings
from zoo.analysis.run import analyze
from zoo.config.recipe import Recipe
from zoo.data.opening import open_dataset
from zoo.errors import Interrupted
from zoo.evaluation.evaluate import evaluate
from zoo.inference.modules import ModuleReader
from zoo.inference.sampling import Sampling, sample
from zoo.models import weights
from zoo.models.recurrent import Differentiable
from zoo.registry.registry import Registry
from zoo.registry.weights_files import find_weights
from zoo.training import loop
from zoo.training.clock import Progress
from zoo.training.result import Result
from zoo.training.run import train

pytestmark = pytest.mark.gpu

TEXT = Recipe(
    architecture="lstm", dataset="files", model={"hidden_size": 32}, train={"epochs": 2, "batch_size": 8}
)
SEQUENCES = {
    "lstm": TEXT,
    "gru": replace(TEXT, architecture="gru"),
    "awd-lstm": replace(TEXT, architecture="awd-lstm", model={"hidden_size": 32, "activation_penalty": 2.0}),
    "min-gru": replace(TEXT, architecture="min-gru", model={"hidden_size": 32, "num_layers": 2}),
}
IMAGES = Recipe(
    architecture="resnet-lite",
    dataset="shapes",
    data={"train_size": 128, "val_size": 32, "test_size": 32},
    train={"epochs": 2, "batch_size": 32, "ema_decay": 0.9},
)


@pytest.fixture(params=[*SEQUENCES.values(), IMAGES], ids=[*SEQUENCES, "resnet-lite"])
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Recipe:
    if request.param is IMAGES:
        return IMAGES
    (tmp_path / "text.txt").write_text("a rolling stone gathers no moss. " * 300)
    return replace(request.param, data={"paths": str(tmp_path / "text.txt")})


def whole_and_resumed(recipe: Recipe, folder: Path) -> tuple[Result, Result]:
    """Return a run, and one that was stopped in its first epoch and resumed."""
    registry = Registry.discover()
    whole = train(recipe, registry, directory=folder / "whole", device="cuda")

    def stop(progress: Progress) -> None:
        if progress.is_step and progress.batch == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(recipe, registry, directory=folder / "stopped", device="cuda", report=stop)
    resumed = train(recipe, registry, directory=folder / "stopped", device="cuda", resume=True)
    return whole, resumed


def test_a_stopped_run_resumes_and_ends_with_the_same_metrics(recipe: Recipe, tmp_path: Path) -> None:
    whole, resumed = whole_and_resumed(recipe, tmp_path)
    assert resumed.metrics["val"] == pytest.approx(whole.metrics["val"], rel=0.05)


def test_weights_score_the_same_on_both_devices(recipe: Recipe, tmp_path: Path) -> None:
    registry = Registry.discover()
    file = train(recipe, registry, directory=tmp_path / "run", device="cuda").weights
    metrics = {}
    for device in ("cpu", "cuda"):
        model, card = weights.load(file, registry, device=device)
        metrics[device] = evaluate(model, card, registry, split="val", device=device)["metrics"]
    assert metrics["cpu"] == pytest.approx(metrics["cuda"], rel=1e-2)
    if card.task == "language-modelling":
        pieces = sample(ModuleReader(model, device="cuda"), card.preprocess, sampling=Sampling(length=20))
        assert len("".join(pieces)) == 20


def test_with_deterministic_kernels_a_resumed_run_has_the_same_bits(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, train={**recipe.train, "deterministic": True})
    whole, resumed = whole_and_resumed(recipe, tmp_path)
    assert Path(resumed.weights).read_bytes() == Path(whole.weights).read_bytes()


def test_no_step_waits_for_the_gpu(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step: Callable[..., Any] = loop.train_step

    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            with warnings.catch_warnings(action="ignore"):  # that this mode is a prototype
                torch.cuda.set_sync_debug_mode("error")
            return step(*args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop, "train_step", checked)
    train(recipe, Registry.discover(), directory=tmp_path / "run", device="cuda")


def test_a_small_set_of_images_is_kept_on_the_gpu(registry: Registry) -> None:
    data = open_dataset(registry.dataset("shapes"), {"train_size": 64, "val_size": 0, "test_size": 8})
    near = data.split("train").on("cuda")
    assert near is data.split("train").on("cuda")
    images, labels = near.__getitems__([3, 1])
    assert images.is_cuda
    assert labels.is_cuda
    assert torch.equal(images.cpu(), data.split("train").__getitems__([3, 1])[0])


def look(analyzer: str, registry: Registry, device: str, **options: Any) -> Findings:
    model, card = weights.load(find_weights(registry, "shapes-resnet20"), registry, device=device)
    data = {"train_size": 8, "test_size": 16}
    return analyze(analyzer, model, card, registry, split="test", data=data, device=device, **options)


@pytest.mark.parametrize("analyzer", ["cam", "grad-cam", "grad-cam++", "layer-cam", "score-cam", "eigen-cam"])
def test_maps_and_scores_equal_those_on_the_cpu(registry: Registry, analyzer: str) -> None:
    classes = [] if analyzer == "eigen-cam" else ["true"]  # its map is the same for every class
    gpu, cpu = (look(analyzer, registry, name, classes=classes, score=True) for name in ("cuda", "cpu"))
    assert gpu.analysis.maps is not None
    assert cpu.analysis.maps is not None
    assert gpu.analysis.maps.device.type == "cuda"
    torch.testing.assert_close(gpu.analysis.maps.cpu(), cpu.analysis.maps, rtol=1e-3, atol=1e-3)
    assert gpu.scores == pytest.approx(cpu.scores, abs=0.05)


@pytest.mark.parametrize("analyzer", ["activations", "confusion"])
def test_diagnoses_run_on_a_gpu(registry: Registry, analyzer: str, tmp_path: Path) -> None:
    files = look(analyzer, registry, "cuda").write(tmp_path)["files"]
    assert any(name.endswith(".png") for name in files)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_in_eval_mode_has_a_gradient_with_cudnn(kind: Callable[..., nn.RNNBase]) -> None:
    layer = kind(7, 9, 2, dropout=0.5).eval()
    tokens = torch.randn(5, 3, 7)
    expected = torch.autograd.grad(layer(tokens)[0].sum(), [*layer.parameters()])
    layer.cuda()
    with Differentiable():
        found = torch.autograd.grad(layer(tokens.cuda())[0].sum(), [*layer.parameters()])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-3)
